"""The inputs that calibrate and prove a quantised model: varied images, MNIST's digits, or windows of a series.

Calibration and proof never share a photo, a digit or a part of a series.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt

from exporters import config
from exporters.catalog import MODELS
from exporters.errors import TrainingDataError
from exporters.files import content_sha256
from exporters.training import anomaly, mnist
from kserve_transformers.arrays.crop import ResizeRule
from kserve_transformers.arrays.decoding import decode_image
from kserve_transformers.arrays.images.formats import SUFFIXES
from kserve_transformers.arrays.letterbox import Letterbox
from kserve_transformers.errors import ServingError

COUNT = 600
Part = Literal["calibration", "selection", "proof"]
Images = npt.NDArray[np.uint8]

# Photos that packages carry, by package and folder.
_PHOTOS: Mapping[str, Mapping[tuple[str, str], Sequence[str]]] = {
    "calibration": {
        ("skimage", "data"): (
            *("astronaut.png", "coffee.png", "rocket.jpg", "horse.png", "brick.png", "gravel.png"),
            *("ihc.png", "cell.png", "text.png", "microaneurysms.png"),
        ),
    },
    "proof": {
        ("skimage", "data"): (
            *("camera.png", "chelsea.png", "clock_motion.png", "motorcycle_left.png"),
            *("coins.png", "grass.png", "hubble_deep_field.jpg", "retina.jpg"),
        ),
        ("sklearn", "datasets/images"): ("china.jpg", "flower.jpg"),
        ("kserve_transformers", "page"): ("dog.jpg",),
    },
}
# Those that show nothing for which ImageNet has a class: which one a classifier names for them is chance.
_NO_OBJECT = frozenset(
    {
        *("astronaut.png", "brick.png", "cell.png", "coins.png", "grass.png", "gravel.png", "hubble_deep_field.jpg"),
        *("ihc.png", "microaneurysms.png", "retina.jpg", "text.png"),
    }
)
_SMALLEST_PART, _SMALLEST_OBJECT = 0.2, 0.5  # of a photo's area
_CALIBRATION_SHARE = 1 / 3  # of the user's own images
_MAX_PIXELS = 40_000_000
_LONGEST = 1024  # pixels; larger photos are reduced once, before they are varied
_BLOCK = 2  # lengths of a window; windows that begin in one block share many of their points


@dataclass(frozen=True)
class Inputs:
    """Inputs of a model."""

    arrays: Mapping[str, npt.NDArray[Any]]  # by tensor name, [N, ...]
    # of each input, the number of the photo, digit or part of a series that it was made of, [N]. Inputs of one source
    # resemble each other and count for less than as many independent ones.
    sources: npt.NDArray[np.intp]
    labels: npt.NDArray[np.intp] | None = None  # the right classes, [N]; None where nobody knows them

    def __len__(self) -> int:
        """The number of inputs."""
        return len(self.sources)


def varied(
    model_dir: Path,
    part: Part,
    count: int = COUNT,
    seed: int = 7,
    data: Path | None = None,
    report: Callable[[str], None] = lambda line: None,
) -> Inputs:
    """Make inputs for a model, as its transformer would prepare them. The same arguments give the same inputs.

    Args:
        model_dir: with config.pbtxt, whose input and parameters say what the model takes.
        part: what they are for; those of the proof have no source in common with the others. A classifier's selection
            and proof show one object each.
        count: of inputs; fewer where there are no more digits or windows.
        seed: of the variations.
        data: the user's: a folder of images, a folder with MNIST's four files, or a CSV file with one column.
        report: receives a line for each download.

    Raises:
        TrainingDataError: there are no data, or they are damaged, or too few.
        ConfigInvalidError: config.pbtxt is missing or malformed.
        WeightsUnavailableError: the public digits or series are unavailable.
    """
    stated = config.read_config(model_dir / config.FILENAME)
    if len(stated.input) != 1:
        raise TrainingDataError(f"{stated.name} has {len(stated.input)} inputs: only models with one can be quantised")
    tensor, dims = stated.input[0], tuple(stated.input[0].dims)
    parameters = {key: value.string_value for key, value in stated.parameters.items()}
    values: npt.NDArray[Any]
    labels = None
    if len(dims) == 1:
        values, sources = _windows(dims[0], part, count, seed, _series(stated.name, part, data, report))
    elif dims[-1] == 1:
        values, labels = _digits(part, count, seed, data, report)
        sources = np.arange(len(values))
    else:
        detects = any(output.name.partition("__")[0] == "boxes" for output in stated.output)
        objects = part != "calibration" and not detects
        originals = photos(part, data, objects)
        values, sources = _images(_prepare(dims, parameters, detects), originals, count, seed, objects)
    return Inputs({tensor.name: values}, sources, labels)


def photos(part: Part, data: Path | None = None, objects: bool = False) -> list[Images]:
    """The photos of one part, RGB.

    Args:
        part: which; calibration and selection have the same.
        data: a folder of the user's images, read recursively; None: those that packages carry.
        objects: of those that packages carry, only the ones that show an object which classifiers know.

    Raises:
        TrainingDataError: there are none, or one cannot be read.
    """
    if data is not None:
        return [_read(path) for path in _own(data, part)]
    found = []
    for (package, folder), names in _PHOTOS["proof" if part == "proof" else "calibration"].items():
        spec = importlib.util.find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            raise TrainingDataError(f"the package {package}, which carries images, is not installed: state --data DIR")
        chosen = [name for name in names if not (objects and name in _NO_OBJECT)]
        found += [_read(Path(spec.submodule_search_locations[0]) / folder / name) for name in chosen]
    return found


def _own(data: Path, part: Part) -> list[Path]:
    """The user's images of one part, by their content: a copy of an image is in the same part."""
    paths = [path for path in sorted(data.rglob("*")) if path.suffix.lower() in SUFFIXES and path.is_file()]
    digests = {content_sha256(path): path for path in paths}
    names = sorted(digests)
    if len(names) < 2:
        raise TrainingDataError(f"{data} has {len(names)} different images: name a folder with many by --data DIR")
    cut = max(1, round(len(names) * _CALIBRATION_SHARE))
    return [digests[name] for name in (names[cut:] if part == "proof" else names[:cut])]


def _read(path: Path) -> Images:
    try:
        rgb = decode_image(path.read_bytes(), _MAX_PIXELS).rgb
    except (OSError, ServingError) as exc:
        raise TrainingDataError(f"{path} cannot be read ({exc}): remove it from the data") from exc
    scale = _LONGEST / max(rgb.shape[:2])
    return rgb if scale >= 1 else np.asarray(cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))


def _prepare(dims: Sequence[int], parameters: Mapping[str, str], detects: bool) -> Callable[[Images], Images]:
    """How the transformer makes a model's input [H,W,3] of an image."""
    height, width, _ = dims
    if not detects:
        return ResizeRule.from_parameters(parameters, (width, height)).apply
    place = Letterbox.stretch if parameters.get("resize_mode") == "stretch" else Letterbox.fit
    return lambda rgb: place((rgb.shape[1], rgb.shape[0]), (width, height)).draw(rgb)


def _images(
    prepare: Callable[[Images], Images], originals: Sequence[Images], count: int, seed: int, objects: bool
) -> tuple[Images, npt.NDArray[np.intp]]:
    """Each photo as it is, then variations of all in turn; objects: each shows one object, and most of it."""
    made = []
    for number in range(count):
        generator = np.random.default_rng([seed, number])
        first = number % len(originals)
        made.append(
            prepare(originals[first] if number < len(originals) else _vary(originals, first, generator, objects))
        )
    return np.stack(made), np.arange(count) % len(originals)


def _vary(originals: Sequence[Images], first: int, generator: np.random.Generator, objects: bool) -> Images:
    """A part of a photo, or four parts of several photos side by side; mirrored, relit, blurred and compressed."""
    smallest = _SMALLEST_OBJECT if objects else _SMALLEST_PART
    if not objects and generator.random() < 0.25:
        others = generator.integers(len(originals), size=3)
        side = int(generator.integers(160, 320))
        tiles = [cv2.resize(_cut(originals[at], generator, smallest), (side, side)) for at in (first, *others)]
        image = np.vstack([np.hstack(tiles[:2]), np.hstack(tiles[2:])])
    else:
        image = _cut(originals[first], generator, smallest)
    if generator.random() < 0.5:
        image = image[:, ::-1]
    tint, exponent = generator.uniform(0.8, 1.2, 3), float(np.exp(generator.uniform(-0.5, 0.5)))
    lit = 255 * np.clip(image / 255 * tint, 0, 1) ** exponent + generator.uniform(-20, 20)
    image = np.clip(np.rint(lit), 0, 255).astype(np.uint8)
    if generator.random() < 0.25:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), float(generator.uniform(0.5, 2.0))), np.uint8)
    _, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(generator.integers(40, 96))])
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), np.uint8)  # channels keep their order


def _cut(image: Images, generator: np.random.Generator, smallest: float) -> Images:
    """A part of an image with this share of its area or more, about as wide as it is high."""
    height, width = image.shape[:2]
    area, stretch = generator.uniform(smallest, 1) * height * width, np.exp(generator.uniform(-0.4, 0.4))
    h, w = (
        max(1, min(side, round(float(length))))
        for side, length in ((height, np.sqrt(area / stretch)), (width, np.sqrt(area * stretch)))
    )
    y, x = int(generator.integers(height - h + 1)), int(generator.integers(width - w + 1))
    return image[y : y + h, x : x + w]


def _digits(
    part: Part, count: int, seed: int, data: Path | None, report: Callable[[str], None]
) -> tuple[Images, npt.NDArray[np.intp]]:
    """Training digits to calibrate, test digits to prove."""
    digits = mnist.read_digits(mnist.data_files(data, report), "t10k" if part == "proof" else "train")
    chosen = np.random.default_rng(seed).permutation(len(digits.labels))[:count]
    return digits.images[chosen], digits.labels[chosen].astype(np.intp)


def _windows(
    length: int, part: Part, count: int, seed: int, series: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.intp]]:
    """Windows from everywhere in a series; every second one is shifted, stretched or struck by a spike."""
    if len(series) < 2 * length:
        raise TrainingDataError(f"{len(series)} points are too few for {part}: {2 * length} or more are needed")
    generator, deviation = np.random.default_rng(seed), float(series.std())
    starts = np.linspace(0, len(series) - length, count).astype(np.intp)
    windows = np.lib.stride_tricks.sliding_window_view(series, length)[starts].copy()
    for window in windows[1::2]:
        middle = window.mean()
        window[:] = middle + (window - middle) * generator.uniform(0.5, 1.5) + deviation * generator.normal(0, 0.5)
        window[generator.integers(length)] += deviation * generator.normal(0, 4)
    return windows.astype(np.float32), starts // (_BLOCK * length)


def _series(name: str, part: Part, data: Path | None, report: Callable[[str], None]) -> npt.NDArray[np.float32]:
    """A series for the model of this name: the archive's where it was trained on that, else the user's."""
    if data is not None:
        points = anomaly.read_column(data, None)
        cut = round(len(points) * _CALIBRATION_SHARE)
        return points[cut:] if part == "proof" else points[:cut]
    if name not in MODELS:
        raise TrainingDataError(f"no series is known that fits {name}: state a CSV file with one column by --data FILE")
    files = anomaly.public_files(report)
    clean, points = (anomaly.read_column(files[name], "value") for name in ("train", "test"))
    return points[len(clean) :] if part == "proof" else clean  # the whole begins with the clean part
