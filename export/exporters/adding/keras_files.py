""".keras files of users. See exporters.adding.formats."""

import dataclasses
import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy.typing as npt

from exporters import tensorflow_runtime
from exporters.adding import tensorflow_networks
from exporters.adding.plan import ChannelOrder, Description, Fact, Hints, Plan
from exporters.adding.tensorflow_scaling import Network
from exporters.errors import ArtefactRefusedError, UnclearModelError, UnknownFormatError, first_line

# Layers that run code of the file's, or read other files.
_REFUSED = {
    "Lambda": "a Lambda layer is Python code: write it with keras.ops or layers",
    "TFSMLayer": "it loads a SavedModel from another folder: add that folder",
    "TorchModuleWrapper": "it wraps a network of PyTorch: export that",
    "JaxLayer": "it wraps a function of JAX",
    "FlaxLayer": "it wraps a network of JAX",
    "TextVectorization": "it works on texts",
    "StringLookup": "it works on texts",
}
_FUNCTIONS = ("keras.activations", "keras.src.activations", "keras.initializers", "keras.src.initializers")
# How keras.applications scale pixels before the network, by the beginning of its name: mean, std and channel order.
_Rule = tuple[tuple[float, ...], tuple[float, ...], ChannelOrder]
_CAFFE: _Rule = ((103.939, 116.779, 123.68), (1.0,), "bgr")
_TORCH: _Rule = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375), "rgb")
_SIGNED: _Rule = ((127.5,), (127.5,), "rgb")
_APPLICATIONS: Mapping[str, _Rule] = {
    "mobilenet_": _SIGNED,
    "mobilenetv2_": _SIGNED,
    "inception_": _SIGNED,
    "xception": _SIGNED,
    "NASNet": _SIGNED,
    "nasnet": _SIGNED,
    **{f"resnet{depth}v2": _SIGNED for depth in (50, 101, 152)},
    **{f"resnet{depth}": _CAFFE for depth in (50, 101, 152)},
    "vgg1": _CAFFE,
    "densenet": _TORCH,
}


def describe(path: Path, hints: Hints) -> Description:
    """Look at the network."""
    model = _load(path)
    found = tensorflow_networks.described(_network(model), "keras", {}, hints)
    if found.mean is not None or not found.layout:
        return found
    names = [model.name, *(layer.name for layer in model.layers)]
    known = [(name, rule) for name in names for start, rule in _APPLICATIONS.items() if name.startswith(start)]
    if not known:
        return found
    name, (mean, std, order) = known[0]
    fact = Fact("scaling", f"of {name}", "keras.applications scales so outside of the network", False, "--normalise")
    return dataclasses.replace(found, mean=mean, std=std, channel_order=order, facts=(*found.facts, fact))


def build(path: Path, plan: Plan, artefact: Path) -> None:
    """Write model.savedmodel."""
    tensorflow_networks.build(_network(_load(path)), plan, artefact)


def reference(path: Path, plan: Plan, samples: npt.NDArray[Any]) -> dict[str, npt.NDArray[Any]]:
    """Keras' answers."""
    return tensorflow_networks.reference(_network(_load(path)), plan, samples)


def _load(path: Path) -> Any:
    refuse_dangerous(path)
    tensorflow_runtime.start()
    import keras

    try:
        return keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as exc:  # Keras' errors have no common base
        raise UnknownFormatError(
            f"{path.name} cannot be read by Keras {keras.__version__} ({first_line(exc)}): where it has classes of its "
            "own, export it as a SavedModel, model.export('folder'), and add that"
        ) from exc


def _network(model: Any) -> Network:
    inputs = model.inputs
    if len(inputs) != 1:
        names = ", ".join(tensor.name for tensor in inputs)
        raise UnclearModelError(f"the model has {len(inputs)} inputs ({names}): one of images or windows is served")
    outputs = list(getattr(model, "output_names", [])) or ["output"]

    def call(given: Any) -> dict[str, Any]:
        answer = model(given, training=False)
        if isinstance(answer, Mapping):
            return dict(answer)
        return dict(zip(outputs, answer if isinstance(answer, list | tuple) else [answer], strict=False))

    return Network(call, inputs[0].name, str(inputs[0].dtype), tuple(inputs[0].shape))


def refuse_dangerous(path: Path) -> None:
    """Refuse a file that could run code, or read other files, when it is loaded.

    Raises:
        ArtefactRefusedError: names the layer.
        UnknownFormatError: the file is damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if len(archive.namelist()) != len(set(archive.namelist())):
                raise ArtefactRefusedError(f"{path.name} has files of the same name: save it again")
            config = json.loads(archive.read("config.json"))
            for name in archive.namelist():
                if name.endswith(".h5"):
                    _refuse_links(path.name, archive.read(name))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as exc:
        raise UnknownFormatError(f"{path.name} is damaged ({first_line(exc)}): save it again") from exc
    for entry in _entries(config):
        kind, module = str(entry.get("class_name")), str(entry.get("module") or "keras")
        settings = entry.get("config")
        if kind in _REFUSED:
            layer = settings.get("name", kind) if isinstance(settings, Mapping) else kind
            raise ArtefactRefusedError(f"{path.name} has the layer {layer} ({kind}): {_REFUSED[kind]}")
        if kind == "__lambda__" or "__lambda__" in entry or (kind == "function" and not module.startswith(_FUNCTIONS)):
            raise ArtefactRefusedError(f"{path.name} names the Python function {settings}: use layers of Keras' own")
        if "class_name" in entry and module.partition(".")[0] not in ("keras", "builtins"):
            raise ArtefactRefusedError(
                f"{path.name} has the class {kind} of {module}, which is not Keras' own: export it as a SavedModel, "
                "model.export('folder'), and add that"
            )


def _refuse_links(name: str, content: bytes) -> None:
    """Refuse weights that lie in other files: HDF5 would read these."""
    import h5py

    def links(group: Any) -> Iterator[Any]:
        for key in group:
            yield group.get(key, getlink=True)
            if isinstance(group.get(key, getlink=True), h5py.HardLink):
                if isinstance(group[key], h5py.Group):
                    yield from links(group[key])
                elif group[key].external or group[key].is_virtual:
                    yield group[key]

    with h5py.File(io.BytesIO(content), "r") as weights:
        if not all(isinstance(link, h5py.HardLink) for link in links(weights)):
            raise ArtefactRefusedError(f"{name} keeps weights in another file: save it again")


def _entries(value: Any) -> Iterator[Mapping[str, Any]]:
    """Every object in JSON, at any depth."""
    left = [value]
    while left:
        one = left.pop()
        if isinstance(one, dict):
            yield one
            left += one.values()
        elif isinstance(one, list):
            left += one
