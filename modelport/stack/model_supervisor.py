"""Reloads models that no longer give right answers, which Triton itself still reports as ready."""

from __future__ import annotations

import time
from collections.abc import Sequence

from kserve_transformers.assignment import triton_name
from modelport.environment import say
from modelport.stack.errors import StartError
from modelport.stack.transformer_server import TransformerServer
from modelport.stack.triton_server import TritonServer

FIRST_BACK_OFF_S = 5.0  # at least the time in which a replaced model shows that it is well
MAX_BACK_OFF_S = 60.0
# A model whose processes compute is late, not stalled: on a machine that has much else to do it is given this long.
LATE_S = 20.0
WORKED_S = 0.02


class ModelSupervisor:
    """Watches the results of the golden checks, and reloads one model at a time, with back-off.

    A model that was never ready is left alone: it is still being loaded, or its artefact is bad.

    Args:
        triton: serves the models.
        transformers: probe them.
    """

    def __init__(self, triton: TritonServer, transformers: Sequence[TransformerServer]) -> None:
        self._triton = triton
        self._transformers = transformers
        self._well: set[str] = set()
        self._back_off_s: dict[str, float] = {}
        self._not_before: dict[str, float] = {}
        self._unready_since: dict[str, float] = {}
        self._worked_s: dict[str, float] = {}

    def settle(self) -> None:
        """Let the models of a server that was started again show that they are well."""
        for model in self._well:
            self._not_before[model] = max(self._not_before.get(model, 0), time.monotonic() + FIRST_BACK_OFF_S)

    def check(self) -> None:
        """Replace the first model that went bad, if there is one and Triton is there to do it.

        One of several processes of a model may be gone while the others answer the golden sample.
        """
        for model in self._triton.crippled_models():
            if time.monotonic() > self._not_before.get(model, 0):
                self._replace(model, "a process of it is gone or stopped")
                return
        for report in (r for transformer in self._transformers for r in transformer.services().values()):
            for name, state in report["models"].items():
                model = triton_name(name, state.get("release"))
                if state["ready"]:
                    self._well.add(model)
                    self._unready_since.pop(model, None)
                    if time.monotonic() > self._not_before.get(model, 0) + MAX_BACK_OFF_S:
                        self._back_off_s.pop(model, None)
                elif model in self._well and time.monotonic() > self._not_before.get(model, 0):
                    if self._is_only_late(model):
                        continue
                    self._replace(model, state.get("reason", "no reason given"))
                    return

    def _is_only_late(self, model: str) -> bool:
        """Whether its processes have computed since the last check, the first one aside, and not for too long."""
        now = time.monotonic()
        first = model not in self._unready_since
        since = self._unready_since.setdefault(model, now)
        before, self._worked_s[model] = self._worked_s.get(model, 0.0), self._triton.seconds_worked(model)
        return first or (self._worked_s[model] - before > WORKED_S and now - since < LATE_S)

    def _replace(self, model: str, reason: str) -> None:
        if not self._triton.is_alive() or self._triton.is_stalled():
            return
        back_off_s = self._back_off_s.get(model, FIRST_BACK_OFF_S)
        self._back_off_s[model] = min(2 * back_off_s, MAX_BACK_OFF_S)
        say(f"model {model} is not ready ({reason}): replacing its process")
        began = time.monotonic()
        try:
            self._triton.replace_model(model)
        except StartError as error:
            say(str(error), error=True)
        else:
            say(f"model {model} is loaded again after {time.monotonic() - began:.1f} s")
        self._not_before[model] = time.monotonic() + back_off_s
