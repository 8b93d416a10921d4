"""Watches the latest requests of each service for drift from the reference of the model that answered them."""

import logging
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kserve_transformers.drift.reference import FILE, MIN_INSTANCES, Features, Reference, features
from kserve_transformers.drift.statistics import Counts, benjamini_hochberg
from kserve_transformers.metrics import DRIFT_ALARM, DRIFT_PSI, DRIFT_WINDOW
from kserve_transformers.observe import Ended, Exchange

logger = logging.getLogger(__name__)

RATE = 0.001  # of windows like the reference that alarm, at most
MIN_PSI = 0.1  # what is significant, but smaller, is no alarm
_JUDGE_EVERY = 50  # instances


@dataclass(frozen=True)
class Shift:
    """How a feature of a window compares with its reference."""

    psi: float  # the population stability index
    p_value: float  # of the window having come from the reference
    alarm: bool  # whether the window has drifted in this feature


class Window:
    """The latest instances, counted in the cells of a reference.

    Args:
        reference: of the model.
        size: how many instances, at most.
    """

    def __init__(self, reference: Reference, size: int) -> None:
        self._reference = reference
        self._size = size
        self._cells: deque[dict[str, int]] = deque()
        self._counts: dict[str, Counts] = {name: np.zeros_like(one.counts) for name, one in reference}

    def __len__(self) -> int:
        """How many instances there are."""
        return len(self._cells)

    def add(self, instance: Features) -> None:
        """Add an instance; the oldest goes where there are too many."""
        cells = {name: one.cell(instance[name]) for name, one in self._reference if name in instance}
        self._cells.append(cells)
        self._count(cells, 1)
        if len(self._cells) > self._size:
            self._count(self._cells.popleft(), -1)

    def judge(self) -> dict[str, Shift]:
        """The shift of each feature that enough instances have."""
        enough = min(MIN_INSTANCES, self._size)
        compared = {
            name: one.compare(self._counts[name]) for name, one in self._reference if self._counts[name].sum() >= enough
        }
        rejected = benjamini_hochberg([p_value for _, p_value in compared.values()], RATE)
        return {
            name: Shift(psi, p_value, unlikely and psi >= MIN_PSI)
            for (name, (psi, p_value)), unlikely in zip(compared.items(), rejected, strict=True)
        }

    def _count(self, cells: dict[str, int], by: int) -> None:
        for name, cell in cells.items():
            self._counts[name][cell] += by


@dataclass
class _Watched:
    """The window of a service, and the model in Triton whose answers it holds."""

    served: str
    window: Window
    since_judged: int = 0


class DriftMonitor:
    """Sets the metrics of drift; used by one thread.

    Args:
        repository: of models; the reference of one is in its folder.
        size: instances of a window.
    """

    def __init__(self, repository: Path, size: int) -> None:
        self._repository = repository
        self._size = size
        self._references: dict[str, Reference | None] = {}
        self._windows: dict[str, _Watched] = {}  # by service
        self._alarms: set[tuple[str, str]] = set()

    def see(self, exchange: Exchange, ended: Ended) -> None:
        """Add a request that ended; one that failed, or whose model has no reference, changes nothing."""
        reference = self._reference(exchange.served) if exchange.served and ended.succeeded else None
        if reference is None or exchange.predictions is None or exchange.served is None:
            return
        watched = self._windows.get(ended.service)
        if watched is None or watched.served != exchange.served:
            watched = self._windows[ended.service] = _Watched(exchange.served, Window(reference, self._size))
        for measured, prediction in zip(exchange.measured, exchange.predictions(), strict=True):
            watched.window.add(features(measured, prediction))
            watched.since_judged += 1
        DRIFT_WINDOW.labels(ended.service).set(len(watched.window))
        if watched.since_judged >= _JUDGE_EVERY:
            watched.since_judged = 0
            self._tell(ended.service, watched.window.judge())

    def _tell(self, service: str, shifts: Mapping[str, Shift]) -> None:
        for name, shift in shifts.items():
            DRIFT_PSI.labels(service, name).set(shift.psi)
            DRIFT_ALARM.labels(service, name).set(shift.alarm)
            known = (service, name) in self._alarms
            if shift.alarm and not known:
                logger.warning("%s drifts from its reference in %s: PSI %.2f", service, name, shift.psi)
                self._alarms.add((service, name))
            elif known and not shift.alarm:
                self._alarms.remove((service, name))

    def _reference(self, served: str) -> Reference | None:
        """The reference of a model; it is read when the model is first asked."""
        if served not in self._references:
            path = self._repository / served / FILE
            try:
                self._references[served] = Reference.read(path.read_bytes())
            except FileNotFoundError:
                self._references[served] = None
            except (OSError, ValueError) as exc:
                logger.warning("drift of %s is not watched: %s: %s", served, path, exc)
                self._references[served] = None
        return self._references[served]
