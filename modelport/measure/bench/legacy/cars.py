"""Flask and Keras's predict."""

import io
import sys

import numpy as np
from flask import Flask, Response, jsonify, request
from PIL import Image

from exporters import cars
from exporters.catalog import MODELS
from exporters.weights import Fetcher

app = Flask(__name__)
model = MODELS["cars"]
with Fetcher([model]) as fetcher:
    network, _ = cars.load(model, fetcher.obtain(model))
labels = cars.stanford_labels()


@app.post("/predict")
def predict() -> Response:
    """The five best makes and models for one image; the network scales the pixels itself."""
    image = Image.open(io.BytesIO(request.files["file"].read())).convert("RGB").resize((224, 224))
    (probabilities,) = network.predict(np.array(image, np.float32)[np.newaxis], verbose=0)
    best = probabilities.argsort()[::-1][:5]
    found = [{"class": labels[i], "confidence": round(100 * float(probabilities[i]), 1)} for i in best]
    return jsonify({"status": "success", "predictions": found, "top_prediction": found[0]})


if __name__ == "__main__":
    app.run("127.0.0.1", int(sys.argv[1]), threaded=True)
