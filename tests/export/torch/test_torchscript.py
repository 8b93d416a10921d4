"""Classifiers as TorchScript: they answer as eager PyTorch, on any device, with their makers' labels and rules."""

import functools
import hashlib
import json
import pickle
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from exporters import classifiers, torchscript
from exporters.catalog import EFFICIENTNET_LITE0, MOBILENET_V2, MODELS, WIDE_RESNET50_2, Model, Url
from exporters.config import read_config
from exporters.errors import ArtefactRefusedError, WeightsInvalidError
from exporters.repository import REPOSITORY
from exporters.samples import sample_image
from exporters.streamlining import streamlined
from exporters.weights import FetchedFile, Fetcher, Weights

# Frozen, batch normalisation is part of the convolutions: single precision rounds otherwise, over up to 50 layers.
ATOL = 1e-4
CLASSIFIERS = tuple(model.name for model in MODELS.values() if model.exporter == "exporters.classifiers")
Exported = tuple[Any, Path]


@functools.cache
def eager(name: str) -> Any:
    return classifiers.load(name, lite0_weights() if name == "efficientnet_lite0" else None)


@functools.cache
def lite0_weights() -> Path:
    with Fetcher([EFFICIENTNET_LITE0]) as fetcher:
        return fetcher.fetch(EFFICIENTNET_LITE0.files[0]).path


@pytest.fixture(scope="module")
def artefact(tmp_path_factory):
    """MobileNetV2, traced as it is served, saved and loaded again."""
    path = tmp_path_factory.mktemp("artefacts") / "model.pt"
    classifiers.trace(streamlined(eager("mobilenet_v2"))).save(str(path))
    return torchscript.load_artefact(path)


def images() -> npt.NDArray[np.uint8]:
    """The sample photo, its mirror image, and noise: a batch of three."""
    coffee = sample_image("efficientnet_lite0", "images__0")
    noise = np.random.default_rng(0).integers(0, 256, coffee.shape, np.uint8)
    return np.stack([coffee, coffee[:, ::-1], noise])


def test_the_artefact_answers_as_eager_pytorch_wherever_it_is_loaded_to(artefact):
    """tests/integration/test_parity.py compares all of them; what lies in a file as tensors goes where it is loaded."""
    network = eager("mobilenet_v2")

    single = classifiers.probabilities(artefact, images()[:1])
    batch = classifiers.probabilities(artefact, images())

    torchscript.require_device_neutral(artefact)
    np.testing.assert_allclose(single, classifiers.probabilities(network, images()[:1]), rtol=0, atol=ATOL)
    np.testing.assert_allclose(batch, classifiers.probabilities(network, images()), rtol=0, atol=ATOL)
    np.testing.assert_allclose(batch.sum(axis=1), 1, atol=1e-5)


def test_coffee_is_espresso():
    answer = classifiers.probabilities(eager("efficientnet_lite0"), images()[:1])[0]
    assert classifiers.labels()[int(answer.argmax())] == "espresso"
    assert answer.max() > 0.9


class Bound(torch.nn.Module):
    """A module with a common mistake."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return pixels + torch.ones(3, device=pixels.device)


def test_a_graph_that_is_bound_to_the_processor_is_refused():
    with torchscript.deprecated_but_served():
        traced: Any = torch.jit.trace(Bound(), torch.zeros(3))

    with pytest.raises(ArtefactRefusedError, match="bound to a device: cpu"):
        torchscript.require_device_neutral(traced)


def test_normalisation_is_the_makers(artefact):
    """Against torchvision's own transform, on images that need no resizing."""
    weights = classifiers.torchvision().models.MobileNet_V2_Weights.IMAGENET1K_V2
    transform = weights.transforms(resize_size=224)
    nchw = torch.from_numpy(images()).permute(0, 3, 1, 2)

    with torch.inference_mode():
        expected = torch.softmax(eager("mobilenet_v2").network(transform(nchw)), dim=1).numpy()

    np.testing.assert_allclose(classifiers.probabilities(artefact, images()), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("model", "weights"),
    [
        pytest.param(WIDE_RESNET50_2, "Wide_ResNet50_2_Weights", id="wide_resnet50_2"),
        pytest.param(MOBILENET_V2, "MobileNet_V2_Weights", id="mobilenet_v2"),
    ],
)
def test_the_catalog_says_what_torchvision_says(model, weights):
    stated = getattr(classifiers.torchvision().models, weights).DEFAULT
    rule = stated.transforms()

    assert [source.address for source in model.files[0].sources if isinstance(source, Url)] == [stated.url]
    assert stated.url.endswith(f"-{model.files[0].sha256}.pth")
    assert model.parameters["resize_size"] == str(rule.resize_size[0])
    assert rule.crop_size[0] == classifiers.SIZE
    assert model.parameters["interpolation"] == rule.interpolation.value
    assert model.accuracy.startswith(str(stated.meta["_metrics"]["ImageNet-1K"]["acc@1"]))
    assert stated.meta["categories"] == classifiers.labels()
    assert stated.name in model.source_page


def test_the_lite0_weights_are_the_packages():
    """The size and resize rule are the makers': crop 224 of 256 (a padding of 32), bicubic."""
    assert hashlib.sha256(lite0_weights().read_bytes()).hexdigest().startswith("57934424")
    assert EFFICIENTNET_LITE0.parameters == {
        "resize_mode": "center_crop",
        "resize_size": "256",
        "interpolation": "bicubic",
    }


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_labels_are_the_thousand_of_imagenet(name):
    labels = (REPOSITORY / name / "labels.txt").read_text().splitlines()
    assert len(labels) == len(set(labels)) == 1000
    assert (labels[0], labels[281], labels[967], labels[999]) == ("tench", "tabby", "espresso", "toilet tissue")


def state_dict(path: Path) -> Path:
    torch.save(classifiers.ARCHITECTURES["mobilenet_v2"].build().state_dict(), path)
    return path


def given(model: Model, path: Path) -> Weights:
    return Weights({model.files[0].name: FetchedFile(path, hashlib.sha256(path.read_bytes()).hexdigest())})


def test_trained_weights_are_exported_as_such_and_untrained_ones_with_a_warning(tmp_path):
    folder = tmp_path / "mobilenet_v2"

    untrained = classifiers.export(MOBILENET_V2, None, folder)
    config = read_config(folder / "config.pbtxt")
    assert config.parameters["warning"].string_value.startswith("untrained")
    assert config == read_config(REPOSITORY / "mobilenet_v2" / "config.pbtxt")
    again = classifiers.export(MOBILENET_V2, None, folder)
    trained = classifiers.export(MOBILENET_V2, given(MOBILENET_V2, state_dict(tmp_path / "own.pth")), folder)

    assert [untrained.changed, again.changed, trained.changed] == [True, False, True]
    assert [untrained.version, again.version, trained.version] == [1, 1, 2]
    config = read_config(folder / "config.pbtxt")
    assert "warning" not in config.parameters
    assert config.parameters["accuracy"].string_value == "72.154 % top-1 on ImageNet"
    answer = json.loads((folder / "golden" / "answer.json").read_text())["outputs"]["probabilities__0"]
    assert answer != json.loads((REPOSITORY / "mobilenet_v2" / "golden" / "answer.json").read_text())["outputs"]


class Bomb:
    """What pickle would run."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("exploded"),))


@pytest.mark.parametrize(
    "write",
    [
        pytest.param(lambda path: torch.save({"features": Bomb()}, path), id="a state dict with a program in it"),
        pytest.param(lambda path: path.write_bytes(pickle.dumps(Bomb())), id="a pickle"),
        pytest.param(lambda path: torch.save({"other": torch.zeros(1)}, path), id="another network's"),
        pytest.param(lambda path: path.write_bytes(state_dict(path).read_bytes()[:100000]), id="cut short"),
    ],
)
def test_files_that_are_no_weights_are_refused_and_never_run(write, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "own.pth")

    with pytest.raises(WeightsInvalidError, match=r"own\.pth is not a state dict of mobilenet_v2"):
        classifiers.load("mobilenet_v2", tmp_path / "own.pth")
    assert not (tmp_path / "exploded").exists()


def script(path: Path, module: torch.nn.Module) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.script(module.eval()).save(str(path))
    return path


class Reading(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.from_file("/etc/hostname", size=1, dtype=torch.uint8)


class Printing(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if bool(x.sum() > 0):
            print("seen")
        return x


class Waking(torch.nn.Module):
    @torch.jit.export
    def __getstate__(self) -> bool:
        return True

    @torch.jit.export
    def __setstate__(self, state: bool) -> None:
        self.training = state

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


@pytest.mark.parametrize(
    ("module", "complaint"),
    [
        pytest.param(Reading(), "uses aten::from_file", id="reads a file"),
        pytest.param(Printing(), "uses prim::Print", id="prints, in a branch"),
        pytest.param(Waking(), "runs code when it is loaded", id="runs when loaded"),
    ],
)
def test_what_does_more_than_arithmetic_is_refused(module, complaint, tmp_path):
    with pytest.raises(ArtefactRefusedError, match=complaint):
        torchscript.refuse_dangerous(script(tmp_path / "model.pt", module))


class Calling:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("run",)


def test_a_pickle_that_calls_python_is_refused_unread(tmp_path, capsys):
    path = script(tmp_path / "model.pt", torch.nn.ReLU())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("model/extra.pkl", pickle.dumps(Calling()))
    with pytest.raises(ArtefactRefusedError, match="has a pickle that calls"):
        torchscript.refuse_dangerous(path)
    assert capsys.readouterr().out == ""


class Added(torch.nn.Module):
    __module__ = "__main__"  # TorchScript calls it __torch__.Added, without a module

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + 1


def test_a_module_of_a_script_is_harmless(tmp_path):
    torchscript.refuse_dangerous(script(tmp_path / "model.pt", Added()))
