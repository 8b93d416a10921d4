"""A Darknet detector in the model repository: graph, configuration, labels and a golden answer by OpenCV."""

import codecs
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import onnxruntime

from exporters.catalog import Placement
from exporters.config import Config, Tensor
from exporters.darknet.cfg import read_cfg
from exporters.darknet.graph import PAIRS, build_graph
from exporters.darknet.reference import Detections, detect
from exporters.darknet.weights import read_weights
from exporters.errors import ArtefactRefusedError, DarknetError
from exporters.golden import Expected, Golden
from exporters.repository import Exported, publish
from exporters.samples import sample_image
from exporters.weights import Provenance

BOX_ATOL, SCORE_ATOL = 2e-3, 5e-3
_GOLDEN_ROWS = 3


def export_detector(
    cfg: Path, weights: Path, names: Path, model_dir: Path, provenance: Provenance, placement: Placement
) -> Exported:
    """Export Darknet's three files as the model that is named like the folder.

    Raises:
        DarknetError: a file is malformed, or uses a part of the format that is not supported.
        ArtefactRefusedError: the graph does not answer as OpenCV does.
    """
    network = read_cfg(cfg)
    labels = read_names(names, network.classes)
    graph = build_graph(network, read_weights(weights, network))
    image = resized_sample(network.height, network.width)
    reference = detect(cfg, weights, image, PAIRS)
    config = Config(
        name=model_dir.name,
        platform="onnxruntime_onnx",
        inputs=(Tensor("images", "TYPE_UINT8", (network.height, network.width, 3)),),
        outputs=(
            Tensor("boxes", "TYPE_FP32", (PAIRS, 4)),
            Tensor("scores", "TYPE_FP32", (PAIRS,)),
            Tensor("classes", "TYPE_INT32", (PAIRS,), labels=True),
        ),
        parameters={"resize_mode": network.resize_mode} if network.resize_mode else {},
        placement=placement,
        gpu_instances=1,
    )
    return publish(
        model_dir,
        filename="model.onnx",
        build=lambda path: _write(path, graph.SerializeToString(deterministic=True)),
        config=config,
        golden=Golden({"images": image}, _leading(reference)),
        provenance=provenance,
        labels=labels,
        verify=lambda path: _verify(path, image, reference),
    )


def read_names(path: Path, classes: int) -> list[str]:
    """Read Darknet's names file: a label for each class of the network, one a line. Blanks around labels are dropped.

    Args:
        path: of a text in UTF-8, or in UTF-16 with a byte order mark; with any ends of lines.
        classes: of the network.

    Raises:
        DarknetError: it is not such a text, a label is empty, or their number is another one.
    """
    content = path.read_bytes()
    encoding = "utf-16" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as exc:
        raise DarknetError(f"{path.name} is not a text file in UTF-8 or UTF-16: is it the names?") from exc
    if "\0" in text:
        raise DarknetError(f"{path.name} is not a text file: is it the names?")
    labels = [line.strip() for line in re.split(r"\r\n|\r|\n", text.rstrip())]
    if len(labels) != classes:
        raise DarknetError(f"{path.name} has {len(labels)} labels, the network has {classes} classes: one a line")
    if "" in labels:
        raise DarknetError(f"{path.name} has {classes} labels, but that in line {labels.index('') + 1} is empty")
    return labels


def resized_sample(height: int, width: int) -> npt.NDArray[np.uint8]:
    """The tracked sample of yolov3_tiny, UINT8 [height,width,3], RGB."""
    image = sample_image("yolov3_tiny", "images")
    if image.shape[:2] == (height, width):
        return image
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def _separated(scores: npt.NDArray[np.float32]) -> int:
    """The number of leading rows whose order does not change within the tolerance of scores."""
    close = np.flatnonzero(-np.diff(scores) <= 2 * SCORE_ATOL)
    return int(close[0]) if close.size else len(scores)


def _leading(reference: Detections) -> Mapping[str, Expected]:
    rows = min(_GOLDEN_ROWS, _separated(reference.scores))
    outputs = {"scores": Expected(reference.scores[:_GOLDEN_ROWS], SCORE_ATOL)}
    if rows:
        outputs["boxes"] = Expected(reference.boxes[:rows], BOX_ATOL)
        outputs["classes"] = Expected(reference.classes[:rows], 0.0)
    return outputs


def _verify(artefact: Path, image: npt.NDArray[np.uint8], reference: Detections) -> None:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(artefact, options, providers=["CPUExecutionProvider"])
    boxes, scores, classes = (
        output[0] for output in session.run(["boxes", "scores", "classes"], {"images": image[None]})
    )
    rows = _separated(reference.scores)
    pairs = len(reference.scores)
    differences: Sequence[tuple[str, npt.NDArray[np.floating], float]] = (
        ("scores", scores[:pairs] - reference.scores, SCORE_ATOL),
        ("boxes", boxes[:rows] - reference.boxes[:rows], BOX_ATOL),
        ("classes", classes[:rows] - reference.classes[:rows], 0.0),
    )
    for name, difference, atol in differences:
        worst = float(np.abs(difference).max(initial=0.0))
        if not worst <= atol:
            raise ArtefactRefusedError(
                f"{name} differ by {worst:.2g} from OpenCV's, more than {atol}: please report the cfg"
            )
