"""Flask, threaded, and OpenCV's DNN module on Darknet's own files: base64 in, boxes out.

One network for all requests, behind a lock, since cv2.dnn's networks are not safe to share; OpenCV's own threads use
all cores for each picture.
"""

import base64
import sys
import threading

import cv2
import numpy as np
from flask import Flask, jsonify, request

from exporters.catalog import MODELS
from exporters.weights import Fetcher

SIZE, CONFIDENCE, OVERLAP = 416, 0.3, 0.45

app = Flask(__name__)
model = MODELS["yolov3_tiny"]
with Fetcher([model]) as fetcher:
    files = fetcher.obtain(model)
network = cv2.dnn.readNetFromDarknet(str(files.path("yolov3-tiny.cfg")), str(files.path("yolov3-tiny.weights")))
labels = files.path("coco.names").read_text().splitlines()
layers = network.getUnconnectedOutLayersNames()
lock = threading.Lock()


@app.post("/api/")
def detect():
    """The boxes of one picture."""
    sent = request.get_json()
    picture = cv2.imdecode(np.frombuffer(base64.b64decode(sent["image"]), np.uint8), cv2.IMREAD_COLOR)
    height, width = picture.shape[:2]
    blob = cv2.dnn.blobFromImage(picture, 1 / 255, (SIZE, SIZE), swapRB=True, crop=False)
    with lock:
        network.setInput(blob)
        outputs = network.forward(layers)
    boxes, scores, classes = [], [], []
    for output in outputs:
        for row in output:
            best = int(np.argmax(row[5:]))
            if row[5 + best] > CONFIDENCE:
                x, y, w, h = row[:4] * np.array([width, height, width, height])
                boxes.append([int(x - w / 2), int(y - h / 2), int(w), int(h)])
                scores.append(float(row[5 + best]))
                classes.append(best)
    kept = np.array(cv2.dnn.NMSBoxes(boxes, scores, CONFIDENCE, OVERLAP)).flatten()
    found = [{"label": labels[classes[i]], "confidence": scores[i], "bbox": boxes[i]} for i in kept]
    return jsonify({"id": sent["id"], "detections": found})


if __name__ == "__main__":
    app.run("127.0.0.1", int(sys.argv[1]), threaded=True)
