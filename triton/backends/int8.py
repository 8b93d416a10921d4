"""int8 networks, which `modelport quantise` puts beside an artefact: served only where they prove themselves.

Processors compute int8 in different ways, and some lose accuracy. So the network is asked a golden set when it loads,
on the processor that is to serve it. Where it fails, the artefact itself is served.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt
from modelport_backend import BackendError, Tensors, TensorSpec
from openvino_model import Network, by_name

FOLDER = "int8"
FILES = ("model.xml", "model.bin", "golden.npz")
GOLDEN_BATCH = 4


class Int8Error(Exception):
    """An int8 network that must not be served here; the message says why."""


class Int8Network:
    """A network that has given the right answers to its golden set on this processor."""

    def __init__(
        self, folder: Path, threads: int, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], batches: bool
    ) -> None:
        """Load it and ask the golden set.

        Args:
            folder: with model.xml, model.bin, proof.json and golden.npz, see exporters/quantising/artefact.py.
            threads: for one inference; 0: OpenVINO chooses.
            inputs: as config.pbtxt describes them.
            outputs: likewise.
            batches: whether the model batches.

        Raises:
            Int8Error: it is damaged, does not fit config.pbtxt, or fails the golden set.
        """
        try:
            proof = json.loads((folder / "proof.json").read_text())
            for name in FILES:
                if hashlib.sha256((folder / name).read_bytes()).hexdigest() != proof["files"][name]:
                    raise Int8Error(f"{name} is not the file that was proven")
            self.network = Network(folder / "model.xml", threads, inputs, outputs, batches, by_name(batches))
            with np.load(BytesIO((folder / "golden.npz").read_bytes()), allow_pickle=False) as golden:
                count, wrong = self._ask(proof["golden"], inputs[0], dict(golden))
            allowed = int(proof["golden"]["allowed"])
        except (OSError, ValueError, LookupError, TypeError, AttributeError, BadZipFile, BackendError) as error:
            raise Int8Error(f"{FOLDER}/ cannot be used ({type(error).__name__}: {error})") from error
        if not count or wrong > allowed:
            raise Int8Error(f"{wrong} of {count} golden answers are wrong on this processor, {allowed} may be")
        self.passed = f"{count - wrong} of {count} golden answers are right on this processor"

    def run(self, inputs: Tensors) -> Tensors:
        """Outputs of one inference, by name."""
        return self.network.run(inputs)

    def _ask(self, stated: Mapping, spec: TensorSpec, golden: Mapping[str, npt.NDArray]) -> tuple[int, int]:
        """How many golden inputs there are, and how many of the answers are wrong."""
        rows = restored(golden["inputs"], spec.dims)
        wrong = 0
        for start in range(0, len(rows), GOLDEN_BATCH):
            part = slice(start, start + GOLDEN_BATCH)
            outputs = self.run({spec.name: rows[part]})
            wrong += int(np.count_nonzero(differs(stated, outputs, {name: golden[name][part] for name in golden})))
        return len(rows), wrong


def restored(stored: npt.NDArray, dims: Sequence[int]) -> npt.NDArray:
    """Golden inputs of the model's size: images are stored reduced, each pixel is repeated.

    exporters/quantising/golden_set.py has the same few lines, held equal by a test: a backend runs in NVIDIA's image,
    where only its own folder can be imported.
    """
    if stored.shape[1:] == tuple(dims):
        return stored
    rows, columns = (np.arange(size) * stored.shape[axis] // size for axis, size in ((1, dims[0]), (2, dims[1])))
    return np.ascontiguousarray(stored[:, rows][:, :, columns])


def differs(stated: Mapping, outputs: Tensors, expected: Mapping[str, npt.NDArray]) -> npt.NDArray[np.bool_]:
    """Which answers lead to another decision than the expected one, [N].

    Args:
        stated: `decision`, and what belongs to it: class, the most probable class of `output`; above, whether `output`
            is above `threshold`; box, the class and the place of the best box.
        outputs: of the network, [N, ...] each.
        expected: class: `class` [N]; above: `above` [N]; box: `classes` [N] and `boxes` [N,4].
    """
    if stated["decision"] == "class":
        return np.argmax(outputs[stated["output"]], axis=-1) != expected["class"]
    if stated["decision"] == "above":
        return (outputs[stated["output"]][:, 0] > stated["threshold"]) != expected["above"]
    if stated["decision"] == "box":
        moved = np.abs(outputs["boxes"][:, 0] - expected["boxes"]).max(-1)
        return (outputs["classes"][:, 0] != expected["classes"]) | ~(moved <= stated["moved"])
    raise ValueError(f"the golden set has an unknown decision {stated['decision']!r}")
