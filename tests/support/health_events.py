"""What a model's health is told, and the clock that it is told by."""

import math

from kserve_transformers.predictor.model_health import Finding, Observation

RIGHT = Observation(Finding.RIGHT, took_s=0.01)
WRONG = Observation(Finding.WRONG, "output scores is off by 1")
LOST = Observation(Finding.LOST, "the process is dead")
ERROR = Observation(Finding.ERROR, "the model answered an error", timeout_s=30.0)
LATE = Observation(Finding.LATE, "no answer in time", timeout_s=30.0)


class Clock:
    """A clock that only moves when it is told to; `latest` is the latest time that was read from it."""

    def __init__(self):
        self.now = 1000.0
        self.latest = -math.inf

    def __call__(self):
        self.latest = max(self.latest, self.now)
        return self.now
