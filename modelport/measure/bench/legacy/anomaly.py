"""Flask under gunicorn and Keras's predict: one worker with eight threads."""

import numpy as np
from flask import Flask, jsonify, request

from exporters import anomaly, training_record
from exporters.catalog import MODELS
from exporters.weights import Fetcher

app = Flask(__name__)
with Fetcher([MODELS["anomaly"]]) as fetcher:
    weights = fetcher.obtain(MODELS["anomaly"]).path(anomaly.WEIGHTS)
network = anomaly.load(weights)
threshold = float(training_record.read("anomaly", weights).parameters["threshold"])


@app.post("/predict")
def predict():
    """The error of each window against the threshold."""
    windows = np.array(request.get_json()["data"], np.float32)
    errors = np.abs(windows - network.predict(windows, verbose=0)).mean(axis=1).tolist()
    return jsonify({"predictions": [{"mae": e, "threshold": threshold, "anomaly": e > threshold} for e in errors]})
