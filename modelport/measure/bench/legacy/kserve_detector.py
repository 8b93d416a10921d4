"""Plain KServe: preprocess returns an InferRequest, which the SDK's own client sends to Triton as JSON.

Letterbox, threshold, NMS and the network with its top-k are ours, so that only the transport differs.
"""

import argparse
import base64
from typing import Any

import cv2
import kserve
import numpy as np
from kserve import InferInput, InferRequest, InferResponse, Model, ModelServer, logging

from kserve_transformers.arrays.boxes import class_wise_nms, xyxy_to_xywh
from kserve_transformers.arrays.letterbox import Letterbox
from modelport.samples import REPOSITORY

SIZE_WH = (416, 416)


class Detector(Model):  # type: ignore[misc]
    """The detector's transformer."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._labels = (REPOSITORY / name / "labels.txt").read_text().splitlines()
        self.ready = True

    def preprocess(self, payload: dict[str, Any], headers: object = None) -> InferRequest:
        """Images to one tensor."""
        boxes, rows = [], []
        for one in payload["instances"]:
            data = np.frombuffer(base64.b64decode(one["image"]["b64"]), np.uint8)
            rgb: Any = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB)
            box = Letterbox.fit((rgb.shape[1], rgb.shape[0]), SIZE_WH)
            boxes.append(box)
            rows.append(box.draw(rgb))
        tensor = InferInput(name="images", shape=[len(rows), *SIZE_WH, 3], datatype="UINT8")
        tensor.set_data_from_numpy(np.stack(rows), binary_data=False)
        request = InferRequest(model_name=self.name, infer_inputs=[tensor])
        request.letterboxes = boxes
        return request

    async def predict(
        self, payload: InferRequest, headers: object = None, response_headers: object = None
    ) -> InferResponse:
        """By the SDK's REST client."""
        response = await super().predict(payload, headers, response_headers)
        response.letterboxes = payload.letterboxes
        return response

    def postprocess(
        self, result: InferResponse, headers: object = None, response_headers: object = None
    ) -> dict[str, Any]:
        """Boxes above the threshold, after class-wise NMS."""
        tensors = {output.name: output.as_numpy() for output in result.outputs}
        found = []
        rows = zip(tensors["boxes"], tensors["scores"], tensors["classes"], result.letterboxes, strict=True)
        for boxes, scores, classes, letterbox in rows:
            likely = scores >= 0.3
            boxes = letterbox.undo(boxes[likely])
            kept = class_wise_nms(boxes, scores[likely], classes[likely], 0.45)
            names = [self._labels[int(index)] for index in classes[likely][kept]]
            best = zip(names, scores[likely][kept].tolist(), xyxy_to_xywh(boxes[kept]).tolist(), strict=True)
            found.append({"detections": [{"label": n, "confidence": s, "bbox": b} for n, s, b in best]})
        return {"predictions": found}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(parents=[kserve.model_server.parser])
    options, _ = parser.parse_known_args()
    logging.configure_logging()
    ModelServer().start([Detector(options.model_name)])
