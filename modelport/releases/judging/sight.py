"""What a judge sees of a canary on this machine: the counters of the stack's Envoy, and the canary's golden answers."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families

from exporters.files import replace_file
from kserve_transformers.judging.judge import Counts, Tally
from modelport.manifests.release_file import FIRST_RELEASE, Choice
from modelport.releases.errors import RolloutError
from modelport.stack.envoy.counters import Counters, read_counters
from modelport.stack.running import Running, running
from modelport.stack.server import LOOPBACK

MIN_STABLE = 100  # answers of the stable side, from which its 95th percentile is taken
_SLOW_SHARE = 0.05
_TIMEOUT_S = 5.0


class UnseenError(Exception):
    """Nothing can be counted now; the message says why."""


@dataclass(frozen=True)
class Baseline:
    """The counters when a step began; a judge that starts again goes on from them.

    `stack` says which run of a stack they are of; slower than `slow_ms` is slow.
    """

    stack: str
    choice: Choice
    canary: Counters
    stable: Counters
    slow_ms: float

    def write(self, file: Path) -> None:
        """Write it to a file."""
        file.parent.mkdir(parents=True, exist_ok=True)
        replace_file(file, json.dumps(asdict(self)).encode())

    @classmethod
    def read(cls, file: Path) -> Baseline | None:
        """What was written; None where nothing was, or not by this version."""
        try:
            told = json.loads(file.read_text())
            sides = {name: told[name] for name in ("canary", "stable")}
            for side in sides.values():
                side["within"] = {float(bound): count for bound, count in side["within"].items()}
            counters = {name: Counters(**side) for name, side in sides.items()}
            return cls(told["stack"], Choice(**told["choice"]), slow_ms=told["slow_ms"], **counters)
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return None


@dataclass(frozen=True)
class Sight:
    """Counts what happens to a service's canary since its step began.

    The baseline is kept in `file`; port None: the only stack that serves a canary overlay.
    """

    service: str
    file: Path
    port: int | None = None

    def counts(self, choice: Choice) -> Counts:
        """The counts since the step of `choice` began.

        Raises:
            UnseenError: the canary does not serve yet, or no longer, or the stable side has had too few requests.
            RolloutError: several stacks run.
        """
        stack = overlay_stack(self.port)
        if stack is None:
            where = f" on port {self.port}" if self.port else ""
            raise UnseenError(f"no stack with an overlay runs{where}: `make serve OVERLAY=canary-standard`")
        port = _canary_port(stack, self.service, choice.canary)
        try:
            found = read_counters(stack.port + 1)
        except httpx.HTTPError as error:
            raise UnseenError(f"Envoy's port {stack.port + 1} does not answer ({error!r})") from error
        canary, stable, history = sides(found, self.service)
        run, before = run_of(stack), Baseline.read(self.file)
        if before is None or (before.stack, before.choice) != (run, choice):
            before = Baseline(run, choice, canary, stable, slow_ms(history))
            before.write(self.file)
        return difference(before, canary, stable, _golden_drift(port))


def overlay_stack(port: int | None) -> Running | None:
    """The only stack with an overlay, or the one on a port; None where there is none.

    Raises:
        RolloutError: there are several.
    """
    found = [stack for stack in running(port) if stack.overlay]
    if len(found) > 1:
        ports = ", ".join(str(stack.port) for stack in found)
        raise RolloutError(f"stacks run on the ports {ports}: name one with --port (make: ARGS='--port N')")
    return found[0] if found else None


def run_of(stack: Running) -> str:
    """Tells one run of a stack from others, whose counters begin anew."""
    return f"{stack.pid} {stack.started}"


def sides(found: Mapping[str, Counters], service: str) -> tuple[Counters, Counters, Counters]:
    """The counters of a service's canary, of the stable release beside it, and of that before there was a canary too.

    The last ones are of a cluster that Envoy drops at some time: they only tell how fast the release is.
    """
    name = re.escape(service)
    route = f"(?:modelport-)?{name}"

    def matching(pattern: str) -> Counters:
        return sum((one for cluster, one in found.items() if re.fullmatch(pattern, cluster)), Counters())

    return matching(f"{route}/{name}-canary"), matching(f"{route}/{name}"), matching(f"{route}(/{name})?")


def slow_ms(stable: Counters) -> float:
    """The first bound of Envoy's histogram at or above the 95th percentile.

    Raises:
        UnseenError: there are fewer than MIN_STABLE answers.
    """
    total = max(stable.within.values(), default=0)
    if total < MIN_STABLE:
        raise UnseenError(f"the stable release has given {total} answers, of {MIN_STABLE} that tell how fast it is")
    return min(bound for bound, count in stable.within.items() if count >= (1 - _SLOW_SHARE) * total)


def difference(before: Baseline, canary: Counters, stable: Counters, golden_drift: float | None) -> Counts:
    """The counts since a baseline."""
    canary, stable = canary - before.canary, stable - before.stable
    return Counts(
        _tally(canary.failed, canary.failed + canary.good),
        _tally(stable.failed, stable.failed + stable.good),
        _slow(canary, before.slow_ms),
        _slow(stable, before.slow_ms),
        golden_drift=golden_drift,
    )


def _slow(counters: Counters, bound_ms: float) -> Tally:
    total = counters.within.get(math.inf, 0)
    return _tally(total - counters.within.get(bound_ms, 0), total)


def _tally(bad: int, total: int) -> Tally:
    """Nothing where counters went back: Envoy dropped the cluster and made it anew."""
    return Tally(bad, total) if 0 <= bad <= total else Tally()


def _canary_port(stack: Running, service: str, release: str) -> int:
    endpoint = f"{service}-canary"
    name = endpoint if release == FIRST_RELEASE else f"{endpoint}@{release}"
    if name not in stack.transformers:
        raise UnseenError(f"{name} does not serve on port {stack.port}: it starts, or the stack's output says why not")
    return stack.transformers[name]


def _golden_drift(port: int) -> float | None:
    """The largest one of the canary's models; None where it does not tell."""
    try:
        text = httpx.get(f"http://{LOOPBACK}:{port}/metrics", timeout=_TIMEOUT_S).text
        families = [*text_string_to_metric_families(text)]
    except (httpx.HTTPError, ValueError):
        return None
    found = [one.value for family in families for one in family.samples if one.name == "modelport_golden_drift"]
    return max((value for value in found if not math.isnan(value)), default=None)
