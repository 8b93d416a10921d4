"""Flask, threaded, and OpenCV's DNN module on Darknet's own files: base64 in, boxes out.

One network for all requests, behind a lock, since cv2.dnn's networks are not thread-safe; OpenCV's own threads use
all cores for each image.
"""

import base64
import sys
import threading

import cv2
import numpy as np
from flask import Flask, Response, abort, jsonify, request

from modelport.measure.bench.legacy.weights import obtain

SIZE, CONFIDENCE, OVERLAP = 416, 0.3, 0.45

app = Flask(__name__)
files = obtain("yolov3_tiny")
network = cv2.dnn.readNetFromDarknet(str(files.path("yolov3-tiny.cfg")), str(files.path("yolov3-tiny.weights")))
labels = files.path("coco.names").read_text().splitlines()
layers = network.getUnconnectedOutLayersNames()
lock = threading.Lock()


@app.post("/api/")
def detect() -> Response:
    """The boxes in one image."""
    sent = request.get_json()
    image = cv2.imdecode(np.frombuffer(base64.b64decode(sent["image"]), np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        abort(400)
    height, width = image.shape[:2]
    blob = cv2.dnn.blobFromImage(image, 1 / 255, (SIZE, SIZE), swapRB=True, crop=False)
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
