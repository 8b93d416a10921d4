"""The golden sample of a model: a request, and the answer of the framework that the weights are from."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from exporters.errors import RepositoryError
from exporters.files import replace_file
from kserve_transformers.arrays.golden import Expected, read_answer


@dataclass(frozen=True)
class Golden:
    """A sample request and the answer that it must give.

    Both are by tensor name; an input UINT8 [H,W,3] (RGB) or [H,W,1] is stored as PNG, anything else as JSON.
    """

    inputs: Mapping[str, npt.NDArray[np.generic]]
    outputs: Mapping[str, Expected]


def write_golden(model_dir: Path, golden: Golden) -> bool:
    """Write golden/. Returns whether anything changed.

    An answer that differs from the stored one by no more than a tenth of its tolerance is not written: processors
    round differently.
    """
    changed = False
    for name, value in golden.inputs.items():
        changed |= _write_input(model_dir / "golden", name, value)
    path = model_dir / "golden" / "answer.json"
    if _agrees(path, golden.outputs):
        return changed
    outputs = {
        name: {"values": _rounded(expected.values), "atol": expected.atol} for name, expected in golden.outputs.items()
    }
    return replace_file(path, (json.dumps({"outputs": outputs}, indent=1) + "\n").encode()) or changed


def read_image(path: Path) -> npt.NDArray[np.uint8]:
    """Read the image of a golden sample: UINT8 [H,W,3], RGB, or [H,W,1].

    Raises:
        RepositoryError: the file is missing or not an image.
    """
    pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise RepositoryError(f"{path} is missing or damaged: restore it (git checkout)")
    rgb = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB) if pixels.ndim == 3 else pixels[..., np.newaxis]
    return np.asarray(rgb, np.uint8)


def _write_input(folder: Path, name: str, value: npt.NDArray[np.generic]) -> bool:
    if value.dtype != np.uint8:
        return replace_file(folder / f"{name}.json", (json.dumps(_rounded(value)) + "\n").encode())
    path = folder / f"{name}.png"
    # Releases of libpng compress the same pixels to different bytes.
    if path.is_file() and np.array_equal(read_image(path), value):
        return False
    bgr = value[..., ::-1].astype(np.uint8) if value.shape[-1] == 3 else value.astype(np.uint8)
    return replace_file(path, cv2.imencode(".png", bgr, [cv2.IMWRITE_PNG_COMPRESSION, 9])[1].tobytes())


def _agrees(path: Path, outputs: Mapping[str, Expected]) -> bool:
    if not path.is_file():
        return False
    present = read_answer(path)
    return present.keys() == outputs.keys() and all(
        present[name].values.shape == expected.values.shape
        and present[name].atol == expected.atol
        and np.allclose(present[name].values, expected.values, rtol=0, atol=expected.atol / 10)
        for name, expected in outputs.items()
    )


def _rounded(values: npt.NDArray[np.generic]) -> object:
    return np.round(values.astype(np.float64), 6).tolist() if values.dtype.kind == "f" else values.tolist()
