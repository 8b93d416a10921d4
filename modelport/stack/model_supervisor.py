"""Replaces models that are dead, wrong or stalled, which Triton itself still reports as ready; slow ones it leaves."""

import time
from collections.abc import Callable, Sequence
from threading import Thread
from typing import Any

from kserve_transformers.assignment import triton_name
from modelport.environment import say
from modelport.stack.diagnosis import Diagnosis, Verdict
from modelport.stack.errors import StartError
from modelport.stack.transformer_server import TransformerServer
from modelport.stack.triton_server import TritonServer

FIRST_PAUSE_S = 5.0  # at least the time in which a replaced model shows that it is well
MAX_PAUSE_S = 60.0
# Conditions that a transformer reports. "dead" is what Triton said of a process, and it says so of one that is starved:
# its processes show whether it is.
OWES, WRONG = ("slow", "stalled", "dead"), ("wrong",)


class ModelSupervisor:
    """Diagnoses models by their processes and golden checks. It replaces one at a time, with growing pauses.

    A model that was never ready is left alone: it is still being loaded, or its artefact is bad.

    Args:
        triton: serves the models.
        transformers: probe them.
        tell: called with a model's name in Triton, before it is replaced.
    """

    def __init__(
        self,
        triton: TritonServer,
        transformers: Sequence[TransformerServer],
        tell: Callable[[str], None] = lambda model: None,
    ) -> None:
        self._triton = triton
        self._transformers = transformers
        self._tell = tell
        self._diagnoses: dict[str, Diagnosis] = {}
        self._well: set[str] = set()
        self._pauses_s: dict[str, float] = {}
        self._not_before: dict[str, float] = {}
        self._replacement: tuple[str, Thread] | None = None

    def settle(self) -> None:
        """Let the models of a server that was started again show that they are well."""
        self._diagnoses.clear()
        for model in self._well:
            self._not_before[model] = max(self._not_before.get(model, 0), time.monotonic() + FIRST_PAUSE_S)

    def check(self) -> None:
        """Look at every model, and begin to replace the first that needs it; returns at once."""
        replacing = self._replacement[0] if self._replacement and self._replacement[1].is_alive() else None
        reports = self._reports()
        for model in self._triton.models:
            report = reports.get(model, {})
            if model == replacing:
                continue
            if report.get("ready"):
                self._well.add(model)
                if time.monotonic() > self._not_before.get(model, 0) + MAX_PAUSE_S:
                    self._pauses_s.pop(model, None)
            condition = report.get("condition") if model in self._well else None
            sight = self._triton.model_sight(model, condition in OWES, condition in WRONG)
            verdict = self._diagnoses.setdefault(model, Diagnosis()).judge(sight)
            may = replacing is None and time.monotonic() > self._not_before.get(model, 0) and self._triton.answers()
            if verdict.curable and may:
                replacing = model
                self._begin(model, verdict, str(report.get("reason", "")))

    def wait(self) -> None:
        """Return when nothing is being replaced."""
        if self._replacement:
            self._replacement[1].join()

    def _reports(self) -> dict[str, Any]:
        """What the transformers say of each model of this Triton; of several, one that does not call it ready."""
        reports: dict[str, Any] = {}
        for service in (one for transformer in self._transformers for one in transformer.services().values()):
            for name, state in service["models"].items():
                model = triton_name(name, state.get("release"))
                if reports.get(model, {}).get("ready", True):
                    reports[model] = state
        return reports

    def _begin(self, model: str, verdict: Verdict, reason: str) -> None:
        pause_s = self._pauses_s.get(model, FIRST_PAUSE_S)
        self._pauses_s[model] = min(2 * pause_s, MAX_PAUSE_S)
        say(f"model {model} is {verdict.value}{f' ({reason})' if reason else ''}: replacing its processes")
        self._tell(model)
        thread = Thread(target=self._replace, args=(model, verdict, pause_s), daemon=True)
        self._replacement = model, thread
        thread.start()

    def _replace(self, model: str, verdict: Verdict, pause_s: float) -> None:
        began = time.monotonic()
        try:
            self._triton.replace_model(model, kill=verdict is not Verdict.WRONG)
        except StartError as error:
            say(str(error), error=True)
        else:
            say(f"model {model} is loaded again after {time.monotonic() - began:.1f} s")
        self._not_before[model] = time.monotonic() + pause_s
        self._diagnoses.pop(model, None)
