"""Flask under gunicorn and Keras's predict: one worker with eight threads."""

import numpy as np
from flask import Flask, Response, jsonify, request

from exporters import anomaly, training_record
from modelport.measure.bench.legacy.weights import obtain

app = Flask(__name__)
weights = obtain("anomaly").path(anomaly.WEIGHTS)
network = anomaly.load(weights)
record = training_record.read("anomaly", weights)
threshold = float(record.parameters["threshold"]) if record else 1.0


@app.post("/predict")
def predict() -> Response:
    """The error of each window against the threshold."""
    windows = np.array(request.get_json()["data"], np.float32)
    errors = np.abs(windows - network.predict(windows, verbose=0)).mean(axis=1).tolist()
    return jsonify({"predictions": [{"mae": e, "threshold": threshold, "anomaly": e > threshold} for e in errors]})
