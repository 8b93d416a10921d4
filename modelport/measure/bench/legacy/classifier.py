"""Flask, threaded, and a torchvision network in eager PyTorch with torchvision's own transforms."""

import io
import sys

import torch
from flask import Flask, Response, jsonify, request
from PIL import Image

from exporters import classifiers
from exporters.catalog import MODELS
from exporters.weights import Fetcher

app = Flask(__name__)
name = sys.argv[2]
with Fetcher([MODELS[name]]) as fetcher:
    weights = fetcher.obtain(MODELS[name])
served = classifiers.load(name, next(iter(weights.files.values())).path if weights else None)
network = served.network.to(memory_format=torch.contiguous_format)  # PyTorch's default; ours has another
labels = classifiers.labels()
architecture = classifiers.ARCHITECTURES[name]
transforms = classifiers.torchvision().transforms
prepare = transforms.Compose(
    [
        transforms.Resize(int(MODELS[name].parameters["resize_size"])),
        transforms.CenterCrop(classifiers.SIZE),
        transforms.ToTensor(),
        transforms.Normalize([v / 255 for v in architecture.mean], [v / 255 for v in architecture.std]),
    ]
)


@app.post("/classify")
def classify() -> Response:
    """The five best classes for one image."""
    image = Image.open(io.BytesIO(request.files["file"].read())).convert("RGB")
    with torch.no_grad():
        probabilities = torch.softmax(network(prepare(image).unsqueeze(0))[0], 0)
    scores, classes = probabilities.topk(5)
    best = zip(scores.tolist(), classes.tolist(), strict=True)
    return jsonify({"predictions": [{"label": labels[index], "score": score} for score, index in best]})


if __name__ == "__main__":
    app.run("127.0.0.1", int(sys.argv[1]), threaded=True)
