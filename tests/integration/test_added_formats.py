"""Users' models of other frameworks, made in their environments, are added and answer through one real stack."""

import base64
import json
import shutil
import subprocess

import cv2
import numpy as np
import pytest
from onnx_files import save_classifier
from serving import answering, checkout_without_models

from modelport.adding.__main__ import main
from modelport.environment import FRAMEWORKS
from modelport.services import choose
from modelport.stack.stack import StackSettings

pytestmark = pytest.mark.slow

_TORCH = """
import torch
from exporters.classifiers import torchvision
torch.manual_seed(0)
network = torchvision().models.mobilenet_v3_small(num_classes=6)
network.train()(torch.randn(4, 3, 96, 96))
torch.jit.trace(network.eval(), torch.rand(1, 3, 224, 224)).save("flowers.pt")
batch = {0: torch.export.Dim("batch")}
program = torch.export.export(network, (torch.rand(2, 3, 224, 224),), dynamic_shapes=(batch,))
torch.export.save(program, "program.pt2")
"""
_DETECTOR = """
import torch
class Colours(torch.nn.Module):
    "YOLOv8's form; finds red and blue squares that fill cells of 32 pixels."
    def forward(self, x):
        rows = []
        for stride in (8, 16, 32):
            red, green, blue = torch.nn.functional.avg_pool2d(x, stride).split(1, 1)
            scores = torch.sigmoid(40 * (torch.cat([red - blue, blue - red], 1) - (0.5 if stride == 32 else 9)))
            side = torch.arange(320 // stride) * stride + stride / 2
            y, x_ = torch.meshgrid(side, side, indexing="ij")
            size = torch.full_like(y, stride)
            boxes = torch.stack([x_, y, size, size]).unsqueeze(0).expand(x.shape[0], -1, -1, -1)
            rows.append(torch.cat([boxes, scores], 1).flatten(2))
        return torch.cat(rows, 2)
torch.jit.trace(Colours(), torch.rand(1, 3, 320, 320)).save("colours.torchscript")
"""
_KERAS = """
import keras
keras.utils.set_random_seed(1)
L = keras.layers
first = [keras.Input((64, 64, 3)), L.Rescaling(1 / 255), L.Conv2D(8, 3, strides=2, activation="relu")]
keras.Sequential([*first, L.GlobalAveragePooling2D(), L.Dense(6, activation="softmax")]).save("shapes.keras")
keras.Sequential([keras.Input((32, 1)), L.Conv1D(4, 5, padding="same"), L.Dense(1)]).export("pump", verbose=False)
"""
_IMAGES = ["--task=classification", "--labels=labels.txt", "--sample=photo.jpg"]
_ADDED = {
    "flowers.pt": [*_IMAGES, "--normalise=imagenet", "--size=224x224", "--resize=crop:256:224"],
    "program.pt2": [*_IMAGES, "--normalise=imagenet", "--resize=crop:256:224"],
    "hugging": ["--task=classification", "--sample=photo.jpg"],
    "colours.torchscript": ["--task=detection", "--labels=labels2.txt", "--sample=squares.png", "--normalise=0..1"],
    "shapes.keras": [*_IMAGES, "--resize=stretch"],
    "pump": ["--task=anomaly", "--threshold=0.5", "--sample=window.json"],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory, images):
    """The users' files."""
    folder = tmp_path_factory.mktemp("formats")
    for framework, program in {"torch": _TORCH + _DETECTOR, "tensorflow": _KERAS}.items():
        python = str(FRAMEWORKS[framework].python)
        subprocess.run([python, "-P", "-c", program], cwd=folder, check=True, capture_output=True)
    (folder / "labels2.txt").write_text("red\nblue\n")
    squares = np.full((320, 320, 3), 128, np.uint8)
    squares[160:192, 96:128] = 0, 0, 255  # BGR
    squares[64:96, 224:256] = 255, 0, 0
    cv2.imwrite(str(folder / "squares.png"), squares)
    (folder / "hugging").mkdir()
    save_classifier(folder / "hugging" / "model.onnx")
    names = dict(enumerate("abcdef"))
    (folder / "hugging" / "config.json").write_text(json.dumps({"id2label": names}))
    scaling = {"do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": False}
    resize = {"do_resize": True, "size": {"height": 32, "width": 32}, "resample": 2}
    (folder / "hugging" / "preprocessor_config.json").write_text(json.dumps(scaling | resize))
    (folder / "labels.txt").write_text("rose\ntulip\ndaisy\nlily\nviola\niris\n")
    (folder / "window.json").write_text(json.dumps(np.sin(np.arange(32) / 3).round(4).tolist()))
    shutil.copy(images / "coffee.jpg", folder / "photo.jpg")
    return folder


@pytest.fixture(scope="module")
def client(folder, free_ports):
    checkout = checkout_without_models(folder / "checkout")
    for file, options in _ADDED.items():
        stated = [one.replace("=labels", f"={folder}/labels") for one in options]
        stated = [one.replace("sample=", f"sample={folder}/") for one in stated]
        assert main(["add", str(folder / file), *stated, "--yes"], checkout) == 0
    services = choose("flowers", "program", "hugging", "colours", "shapes", "pump", path=checkout.declaration)
    settings = StackSettings(services, *free_ports(5), logs=checkout.root, repository=checkout.repository)
    with answering(settings) as client:
        yield client


@pytest.mark.parametrize("service", ["flowers", "program", "hugging", "shapes"])
def test_a_classifier_answers_its_golden_sample(service, client, folder):
    photo = (folder / "photo.jpg").read_bytes()
    answer = client.post(f"/{service}/classify", content=photo, headers={"Content-Type": "image/jpeg"}).json()
    golden = json.loads((folder / "checkout" / "model_repository" / service / "golden" / "answer.json").read_text())
    ((name, expected),) = golden["outputs"].items()
    assert name.startswith("probabilities")
    scores = [one["score"] for one in answer["predictions"]]
    np.testing.assert_allclose(scores, sorted(expected["values"], reverse=True)[:5], atol=expected["atol"] + 1e-4)
    assert answer["model"] == service


def test_an_anomaly_detector_answers_its_golden_sample(client, folder):
    window = json.loads((folder / "window.json").read_text())
    (answer,) = client.post("/pump/predict", json={"data": [window]}).json()["predictions"]
    golden = json.loads((folder / "checkout" / "model_repository" / "pump" / "golden" / "answer.json").read_text())
    expected = golden["outputs"]["mae"]
    assert answer["mae"] == pytest.approx(expected["values"][0], abs=expected["atol"])
    assert (answer["threshold"], answer["anomaly"]) == (0.5, answer["mae"] > 0.5)


def test_a_detector_of_pytorch_finds_what_was_drawn(client, folder):
    image = base64.b64encode((folder / "squares.png").read_bytes()).decode()
    answer = client.post("/colours/api/", json={"id": 1, "image": image}).json()
    found = {one["label"]: (one["bbox"], one["confidence"] > 0.99) for one in answer["detections"]}
    assert found == {"red": ([96, 160, 32, 32], True), "blue": ([224, 64, 32, 32], True)}
