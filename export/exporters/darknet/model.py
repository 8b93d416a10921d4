"""A Darknet detector in the model repository: graph, configuration, labels and a golden answer by OpenCV."""

import codecs
import re
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from exporters import onnx_engine
from exporters.catalog import Placement
from exporters.config import Config, Tensor
from exporters.darknet.cfg import read_cfg
from exporters.darknet.graph import PAIRS, build_graph
from exporters.darknet.reference import detect
from exporters.darknet.weights import read_weights
from exporters.detections import Detections, differences, leading
from exporters.errors import ArtefactRefusedError, DarknetError
from exporters.golden import Golden
from exporters.repository import Exported, publish
from exporters.samples import sample_image
from exporters.weights import Provenance


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
        golden=Golden({"images": image}, leading(reference)),
        provenance=provenance,
        labels=labels,
        verify=lambda path: _verify(path, image, reference),
    )


def read_names(path: Path, classes: int) -> list[str]:
    """Read Darknet's names file: a label for each class of the network. See `read_lines`.

    Raises:
        DarknetError: it is not such a text, a label is empty, or their number is another one.
    """
    labels = read_lines(path)
    if len(labels) != classes:
        raise DarknetError(f"{path.name} has {len(labels)} labels, the network has {classes} classes: one a line")
    return labels


def read_lines(path: Path) -> list[str]:
    """Read labels, one a line. Blanks around them are dropped.

    Args:
        path: of a text in UTF-8, or in UTF-16 with a byte order mark; with any ends of lines.

    Raises:
        DarknetError: it is not such a text, or a label is empty.
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
    if "" in labels:
        raise DarknetError(f"{path.name} has {len(labels)} labels, but that in line {labels.index('') + 1} is empty")
    return labels


def resized_sample(height: int, width: int) -> npt.NDArray[np.uint8]:
    """The tracked sample of yolov3_tiny, UINT8 [height,width,3], RGB."""
    image = sample_image("yolov3_tiny", "images")
    if image.shape[:2] == (height, width):
        return image
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def _verify(artefact: Path, image: npt.NDArray[np.uint8], reference: Detections) -> None:
    found = onnx_engine.answer(artefact, "images", image[np.newaxis], ("boxes", "scores", "classes"))
    for one in differences({name: rows[0] for name, rows in found.items()}, reference):
        if not one.within:
            raise ArtefactRefusedError(f"{one} from OpenCV's: please report the cfg")
