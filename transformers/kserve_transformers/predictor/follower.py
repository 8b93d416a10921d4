"""Follows what a supervisor says about a model while the server runs: its release, and replaced processes.

On a laptop, `modelport update` changes the release.

A server in a pod has one release for its whole life and no follower: only `--follow_releases` starts one.
"""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from kserve_transformers.assignment import assigned_release, replacements, triton_name
from kserve_transformers.predictor.limits import PredictorLimits
from kserve_transformers.predictor.model_health import ModelHealth, Trial
from kserve_transformers.predictor.release import ReleaseFiles, RequiredSignature
from kserve_transformers.predictor.served import PROBE_ERRORS, Served, observed
from kserve_transformers.predictor.transport import Transport

logger = logging.getLogger(__name__)


class ReleaseFollower:
    """Lets the assigned release of a model take over once it has proven itself; the present one serves until then.

    Args:
        model: the model's name.
        repository: the model repository; None where it cannot be read.
        transport: to Triton.
        health: of the model; it is told who takes over.
        limits: of the trial, and how often to read the assignment.
        changed: called after a release took over.
        required: the signature that releases must have.

    Attributes:
        assigned: the assigned release as last read; None: the repository's own model.
        refused: the release that was to take over and did not, and why.
    """

    def __init__(
        self,
        model: str,
        repository: Path | None,
        transport: Transport,
        health: ModelHealth[Served],
        limits: PredictorLimits,
        changed: Callable[[], None],
        required: RequiredSignature | None = None,
    ) -> None:
        self.assigned: str | None = None
        self.refused: tuple[str | None, str] | None = None
        self._model = model
        self._repository = repository
        self._transport = transport
        self._health = health
        self._limits = limits
        self._changed = changed
        self._required = required
        self._files: ReleaseFiles | None = None  # of the release that was learned last
        self._replaced: tuple[str, int] | None = None  # which model in Triton serves, and how often it was replaced

    def read(self) -> None:
        """Read which release is assigned, and what was replaced; a file that cannot be read changes nothing."""
        try:
            self.assigned = assigned_release(self._repository, self._model)
            serving = self._health.serving
            name = triton_name(self._model, serving.release if serving else self.assigned)
            replaced = name, replacements(self._repository, name)
        except (OSError, ValueError) as exc:
            logger.warning("model %s keeps its release: %s", self._model, exc)
            return
        if self._replaced and self._replaced[0] == name and self._replaced != replaced:
            self._health.process_lost()
            self._changed()
        self._replaced = replaced

    async def learn(self) -> Served:
        """Check the files of the assigned release, and learn what it declares.

        Raises:
            Exception: one of `PROBE_ERRORS`.
        """
        release, repository, timeout_s = self.assigned, self._repository, self._limits.learn_timeout_s
        if repository is not None:
            if self._files is None or self._files.release != release:
                self._files = ReleaseFiles(repository, self._model, release, self._required)
            await asyncio.to_thread(self._files.check)
        return await Served.learn(self._transport, repository, self._model, release, timeout_s)

    async def follow(self) -> None:
        """Read the assignment and try the release it names, until cancelled."""
        while True:
            await asyncio.sleep(self._limits.follow_interval_s)
            self.read()
            serving = self._health.serving
            if serving is None or serving.release == self.assigned:  # what is assigned is learned by a probe
                self.refused = None
            else:
                await self._try()

    async def _try(self) -> None:
        release, name = self.assigned, self.assigned or "initial"
        try:
            served = await self.learn()
            trial = Trial(served, self._limits.warm_up_inferences)
            while not trial.over:
                trial.answered((await served.golden_check(self._transport, self._limits.warm_up_timeout_s)).reason)
            reason = trial.reason
        except PROBE_ERRORS as exc:
            reason = observed(exc).reason
        if reason is None:
            self._health.took_over(trial)
            self._changed()
            self.refused = None
            logger.info("model %s: release %s serves now", self._model, name)
        elif (release, reason) != self.refused:
            self.refused = (release, reason)
            logger.warning("model %s keeps its release, %s is refused: %s", self._model, name, reason)
