"""Switches a running stack to another release of a service; the current one answers until the new one is proven."""

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

from kserve_transformers.assignment import triton_name
from kserve_transformers.predictor.release import ReleaseError, ReleaseFiles, RequiredSignature
from kserve_transformers.predictor.signature import PublicKeys
from modelport.stack.errors import StackError, StartError, UpdateError
from modelport.stack.live_models import LiveModels
from modelport.stack.transformer_server import TransformerServer
from modelport.stack.triton_server import TritonServer

INITIAL = "initial"
TAKE_OVER_S = 90.0  # learning, warming up, and a busy machine
POLL_INTERVAL_S = 0.1

Say = Callable[[str], None]


class Updater:
    """Updates one stack, one update at a time.

    Args:
        chains: the models of each service at the start.
        live: the folder that Triton and the transformer see.
        triton: serves the models.
        transformer: calls them.
        keys: of which one must have signed a release; None: releases need no signature.
    """

    def __init__(
        self,
        chains: Mapping[str, Sequence[str]],
        live: LiveModels,
        triton: TritonServer,
        transformer: TransformerServer,
        keys: PublicKeys | None = None,
    ) -> None:
        self._first = chains
        self._chains = dict(chains)
        self._live = live
        self._triton = triton
        self._transformer = transformer
        self._keys = keys
        self._lock = Lock()

    def update(self, service: str, name: str, folder: Path, say: Say, chain: Sequence[str] = ()) -> None:
        """Load a release beside the present one, let it take over once it proved itself, and unload the other.

        Args:
            service: whose models.
            name: of the release; `initial`: what the stack was started with.
            folder: of the release, verified.
            say: takes a line for each step.
            chain: the models of the release, in order; none: those that serve.

        Raises:
            UpdateError: the release did not take over; the stack is as it was before.
        """
        if not self._lock.acquire(blocking=False):
            raise UpdateError("another update is under way: wait for its end")
        try:
            self._update(service, None if name == INITIAL else name, folder, say, chain)
        finally:
            self._lock.release()

    def _update(self, service: str, new: str | None, folder: Path, say: Say, chain: Sequence[str]) -> None:
        if service not in self._chains:
            raise UpdateError(f"this stack does not serve {service}: it serves {', '.join(self._chains)}")
        before = list(self._chains[service])
        models = list(chain or before) if new else list(self._first[service])
        old = self._live.release_of(before[0])
        if new == old:
            raise UpdateError(f"{service} is served by {new or INITIAL} already")
        missing = [model for model in models if new and not (folder / model).is_dir()]
        if missing:
            raise UpdateError(f"{folder} does not hold {missing[0]}, which this stack needs for {service}")
        if self._keys and new:  # before Triton reads its files
            try:
                ReleaseFiles(folder, models[0], required=RequiredSignature(self._keys, (service,))).check()
            except (ReleaseError, OSError) as error:
                raise UpdateError(f"{new} is refused, {old or INITIAL} answers as before: {error}") from error
            say(f"the signature of {new} holds")
        try:
            self._load(models, new, folder, say)
            say(f"checking the golden samples of {new or INITIAL}, while {old or INITIAL} answers")
            self._live.assign(models, new)
            self._live.chain(service, models)
            self._wait(service, models, new)
        except StackError as error:
            say(f"{error}: taking it back")
            self._live.chain(service, before)
            self._live.assign(before, old)
            with contextlib.suppress(StackError):  # where it does not come back, it goes by Triton's own draining
                self._wait(service, before, old, patient=True)
            self._unload(models, new)
            self._live.assign([model for model in models if model not in before], None)
            raise UpdateError(
                f"{new or INITIAL} did not take over, {old or INITIAL} answers as before: {error}"
            ) from error
        say(f"{new or INITIAL} answers now; {old or INITIAL} has no requests left")
        self._chains[service] = models
        self._unload(before, old)
        self._live.assign([model for model in before if model not in models], None)
        say(f"{old or INITIAL} is unloaded")

    def _load(self, models: Sequence[str], release: str | None, folder: Path, say: Say) -> None:
        for model in models:
            name = triton_name(model, release)
            if release:
                self._live.add(model, release, folder / model)
            say(f"loading {name} beside what serves")
            self._triton.load_model(name)

    def _unload(self, models: Sequence[str], release: str | None) -> None:
        for model in models:
            with contextlib.suppress(StartError):  # Triton may be starting again, without it
                self._triton.unload_model(triton_name(model, release))
            self._live.discard(model, release)

    def _wait(self, service: str, models: Sequence[str], release: str | None, patient: bool = False) -> None:
        """Until all models answer by this release, and nobody waits for an answer of another one.

        Raises:
            UpdateError: one refuses it (unless `patient`), or it takes too long.
        """
        deadline = time.monotonic() + TAKE_OVER_S
        while True:
            states: Mapping[str, Any] = self._transformer.services().get(service, {}).get("models", {})
            waiting = [model for model in models if not _follows(states.get(model), release)]
            if not waiting and list(states) == models:
                break
            refusals = [states[model]["refused"] for model in waiting if "refused" in states.get(model, {})]
            refused = [one["reason"] for one in refusals if one["release"] == (release or INITIAL)]
            if refused and not patient:
                raise UpdateError(f"{waiting[0]}: {refused[0]}")
            if time.monotonic() > deadline:
                late = ", ".join(waiting) or f"the chain of {service}"
                raise UpdateError(f"{late} did not follow within {TAKE_OVER_S:g} s")
            time.sleep(POLL_INTERVAL_S)


def _follows(state: Mapping[str, Any] | None, release: str | None) -> bool:
    return state is not None and state.get("release") == release and not state.get("draining")
