"""A large photo compared with a small one: the additional cost, and whether the answers agree."""

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from kserve_transformers.arrays.boxes import box_iou
from modelport.measure.bench import servers
from modelport.measure.bench.cases import CASES, JPEG, LARGE, VGA, photo
from modelport.measure.bench.measuring import Load, measure
from modelport.measure.generator.requests import Request
from modelport.stack.server import exchange

GOAL_MS, GOAL_IOU = 25.0, 0.9
PATH = "/v1/models/detector:predict"
GRAIN = 4.0  # makes a file of 2.7 MB, as large as a phone's


@dataclass(frozen=True)
class Large:
    """A photo of 12 megapixels compared with the small one."""

    megabytes: float  # of its file
    more_ms: float  # additional processor time of the servers per request
    same_labels: bool  # whether the answers have the same labels in the same order
    iou: float  # the least overlap of any object, 0..1

    def line(self) -> str:
        """The result in one line."""
        cheap = "reached" if self.more_ms <= GOAL_MS else "MISSED"
        alike = "reached" if self.same_labels and self.iou >= GOAL_IOU else "MISSED"
        return (
            f"12 MP, {self.megabytes:.1f} MB: {self.more_ms:.1f} ms more CPU than VGA (goal <= {GOAL_MS:g}): {cheap}; "
            f"same labels: {self.same_labels}, minimum IoU {self.iou:.3f} (goal >= {GOAL_IOU}): {alike}"
        )


def compare(rounds: int, seconds: float) -> list[Large]:
    """Compare the detector on a photo in 0.3 and in 12 megapixels, the latter without and with grain."""
    photos = [photo(VGA), photo(LARGE), photo(LARGE, GRAIN)]
    requests = [Request(PATH, data, JPEG) for data in photos]
    used: list[list[float]] = [[] for _ in requests]
    with servers.ours("photos", CASES["detector"]) as served:
        pids = [process.pid for process in servers.running()]
        for turn in range(2 * rounds):
            order = range(len(requests))
            for number in order if turn % 2 == 0 else reversed(order):
                load = Load("raw body", requests[number], 1, seconds)
                used[number].append(measure("photos", "ours", turn, served.port, load, pids).server_cpu_ms)
        found = [_detections(served.port, request) for request in requests]
    small, small_ms = found[0], statistics.median(used[0])
    return [
        Large(len(data) / 1e6, statistics.median(costs) - small_ms, *_agreement(small, large))
        for data, costs, large in zip(photos[1:], used[1:], found[1:], strict=True)
    ]


def _agreement(small: Sequence[dict[str, Any]], large: Sequence[dict[str, Any]]) -> tuple[bool, float]:
    same = [one["label"] for one in small] == [one["label"] for one in large] and bool(small)
    return same, float(np.diag(box_iou(_boxes(small, VGA), _boxes(large, LARGE))).min()) if same else 0.0


def _detections(port: int, request: Request) -> list[dict[str, Any]]:
    _, answer = exchange(port, request.path, request.body, request.headers, timeout_s=60)
    detections: list[dict[str, Any]] = json.loads(answer)["predictions"][0]["detections"]
    return detections


def _boxes(detections: Sequence[dict[str, Any]], size_wh: tuple[int, int]) -> npt.NDArray[np.float32]:
    """Xyxy [N,4], as shares of the image's sides."""
    xywh = np.array([one["bbox"] for one in detections], np.float32).reshape(-1, 4)
    xyxy = np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1)
    return (xyxy / np.array(size_wh * 2, np.float32)).astype(np.float32)
