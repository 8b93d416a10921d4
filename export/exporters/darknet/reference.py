"""OpenCV's Darknet importer: the reference of the exported graphs, with which it shares no code."""

import re
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from exporters.detections import Detections
from exporters.errors import DarknetError

# OpenCV discards scores up to 0.2 unless the section sets another threshold.
_YOLO, _ALL_SCORES = re.compile(r"^\s*\[\s*yolo\s*\]\s*$", re.MULTILINE), "[yolo]\nthresh=0"


def detect(cfg: Path, weights: Path, image: npt.NDArray[np.uint8], pairs: int) -> Detections:
    """Run a Darknet model in OpenCV.

    Args:
        cfg: the network.
        weights: its weights.
        image: UINT8 [H,W,3], RGB, of the network's input size.
        pairs: the number of pairs.

    Returns:
        The pairs with the highest scores; fewer where the network has fewer.

    Raises:
        DarknetError: OpenCV cannot read or run the model.
    """
    text = _YOLO.sub(_ALL_SCORES, cfg.read_text(encoding="utf-8-sig", errors="replace"))
    try:
        network = cv2.dnn.readNetFromDarknet(np.frombuffer(text.encode(), np.uint8), np.fromfile(weights, np.uint8))
        network.setInput(cv2.dnn.blobFromImage(image, 1 / 255))
        heads = network.forward(network.getUnconnectedOutLayersNames())
    except cv2.error as exc:
        raise DarknetError(f"OpenCV cannot run {cfg.name}, so the export cannot be verified: {exc.err}") from exc
    rows = np.concatenate(heads)  # [boxes, 5 + classes]: centre, size, objectness, scores
    order = np.argsort(-rows[:, 5:], axis=None, kind="stable")[:pairs]
    row, classes = np.divmod(order, rows.shape[1] - 5)
    centre, half = rows[row, :2], rows[row, 2:4] / 2
    boxes = np.concatenate([centre - half, centre + half], axis=1)
    return Detections(boxes, rows[row, 5 + classes], classes.astype(np.int32))
