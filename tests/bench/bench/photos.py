"""A large photo beside a small one: what it costs more, and whether both are answered alike."""

from __future__ import annotations

import http.client
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench import servers
from bench.cases import CASES, JPEG, LARGE, VGA, Request, photo
from bench.figures import Spread
from bench.measuring import Load, measure
from kserve_transformers.arrays.boxes import box_iou
from local_stack.server import LOOPBACK

GOAL_MS, GOAL_IOU = 25.0, 0.9
PATH = "/v1/models/detector:predict"


@dataclass(frozen=True)
class Photos:
    """The comparison.

    Attributes:
        small_ms, large_ms: processor time of the servers, a request.
        same_labels: whether both have the same objects.
        iou: least of all objects' overlaps, 0..1.
    """

    small_ms: Spread
    large_ms: Spread
    same_labels: bool
    iou: float

    def lines(self) -> list[str]:
        """For people."""
        more = self.large_ms.median - self.small_ms.median
        cheap = "reached" if more <= GOAL_MS else "MISSED"
        alike = "reached" if self.same_labels and self.iou >= GOAL_IOU else "MISSED"
        return [
            f"12 MP: {more:.1f} ms more CPU than VGA ({self.small_ms.median:.1f} ms; goal <= {GOAL_MS:g}): {cheap}",
            f"same labels: {self.same_labels}, least IoU {self.iou:.3f} (goal >= {GOAL_IOU}): {alike}",
        ]


def compare(rounds: int, seconds: float) -> Photos:
    """The detector's answers to one photo of 0.3 and of 12 megapixels, in turn."""
    used: dict[tuple[int, int], list[float]] = {VGA: [], LARGE: []}
    requests = {size: Request(PATH, photo(size), JPEG) for size in used}
    with servers.ours("photos", CASES["detector"]) as served:
        pids = [process.pid for process in servers.running()]
        for turn in range(2 * rounds):
            for size in used if turn % 2 == 0 else reversed(used):
                load = Load("raw body", requests[size], 1, seconds)
                used[size].append(measure("photos", "ours", turn, served.port, load, pids).server_cpu_ms)
        small, large = (_detections(served.port, requests[size]) for size in used)
    small_boxes, large_boxes = _boxes(small, VGA), _boxes(large, LARGE)
    same = [one["label"] for one in small] == [one["label"] for one in large] and bool(small)
    iou = float(np.diag(box_iou(small_boxes, large_boxes)).min()) if same else 0.0
    return Photos(Spread.of(used[VGA]), Spread.of(used[LARGE]), same, iou)


def _detections(port: int, request: Request) -> list[dict[str, Any]]:
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=60)
    try:
        connection.request("POST", request.path, request.body, dict(request.headers))
        detections: list[dict[str, Any]] = json.loads(connection.getresponse().read())["predictions"][0]["detections"]
        return detections
    finally:
        connection.close()


def _boxes(detections: Sequence[dict[str, Any]], size_wh: tuple[int, int]) -> np.ndarray:
    """xyxy, in shares of the picture's sides."""
    xywh = np.array([one["bbox"] for one in detections], np.float32).reshape(-1, 4)
    return np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1) / np.tile(np.float32(size_wh), 2)
