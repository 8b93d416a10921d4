"""A release is tried on a share of the traffic, given up, tried again, promoted and rolled back; no request is lost."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial

from modelport.cluster.checks import NOT_PROMISED, Check
from modelport.cluster.kubectl import READY_TIMEOUT_S, wait_until
from modelport.cluster.releases import NEXT
from modelport.cluster.trial import BrokenPromiseError, Trial, release_of
from modelport.manifests.findings import at
from modelport.manifests.release_file import Choice

PERCENT = 30
MEASURED = 150  # requests, of which the canary's share is taken: its standard deviation is 4 of 100
TOLERANCE = 15


def _start(trial: Trial, service: str) -> str:
    return _changed(trial, service, _canary(trial, service), partial(_share, trial, service))


def _first(trial: Trial, service: str) -> str:
    """The overlay declares a canary where nothing is yet."""
    trial.cluster.delete("inferenceservice", service, trial.namespace)
    wait_until(lambda: not trial.pods(service, ready=False), "the service is gone", READY_TIMEOUT_S)
    trial.deploy({service: _canary(trial, service)})
    with trial.traffic(service) as traffic:
        share = _share(trial, service)
    return f"beside a stable release, {share}; {traffic.require_none_lost()}"


def _canary(trial: Trial, service: str) -> Choice:
    return replace(trial.choices[service], canary=NEXT, percent=PERCENT)


def _share(trial: Trial, service: str) -> str:
    """Under traffic: what the canary gets of it."""
    wait_until(lambda: trial.serving(service, NEXT), "the canary is Ready", READY_TIMEOUT_S, trial.explain)
    wait_until(lambda: _by_release(trial, service).get(NEXT), "the gateway sends requests to the canary", 300)
    before = _by_release(trial, service)
    wait_until(lambda: sum((_minus(_by_release(trial, service), before)).values()) >= MEASURED, "traffic flows", 300)
    now = _minus(_by_release(trial, service), before)
    percent = 100 * now.get(NEXT, 0) / sum(now.values())
    if abs(percent - PERCENT) > TOLERANCE:
        raise BrokenPromiseError(f"the canary got {percent:.0f} % of {sum(now.values())} requests, not {PERCENT} %")
    return f"the canary got {percent:.0f} % for {PERCENT} %"


def _end(trial: Trial, service: str) -> str:
    if not trial.serving(service, NEXT):
        trial.deploy({service: _canary(trial, service)})
        wait_until(lambda: trial.serving(service, NEXT), "the canary is Ready", READY_TIMEOUT_S, trial.explain)
    return _changed(trial, service, trial.choices[service], lambda: _gone(trial, service))


def _promote(trial: Trial, service: str) -> str:
    with trial.traffic(service) as traffic:
        trial.deploy({service: _canary(trial, service)})
        wait_until(lambda: trial.serving(service, NEXT), "the canary is Ready", READY_TIMEOUT_S, trial.explain)
        time.sleep(3)
        trial.deploy({service: Choice(NEXT, NEXT, 0)})
        serves_only(trial, service, NEXT)
        time.sleep(3)
    return traffic.require_none_lost()


def _roll_back(trial: Trial, service: str) -> str:
    stable = trial.choices[service]
    trial.deploy({service: Choice(NEXT, NEXT, 0)})
    serves_only(trial, service, NEXT)
    return _changed(trial, service, stable, lambda: serves_only(trial, service, stable.stable))


def _changed(trial: Trial, service: str, choice: Choice, seen: Callable[[], str]) -> str:
    with trial.traffic(service) as traffic:
        time.sleep(3)
        trial.deploy({service: choice})
        what = seen()
        time.sleep(3)
    return f"{what}; {traffic.require_none_lost()}"


def _gone(trial: Trial, service: str) -> str:
    """Wait until a canary is gone, which gets no more than its share meanwhile."""
    before, got = _by_release(trial, service), Counter[str]()

    def gone() -> bool:
        with suppress(BrokenPromiseError):  # a pod ended before its metrics were read
            now = _minus(_by_release(trial, service), before)
            got.update({release: max(0, number - got[release]) for release, number in now.items()})
        return not trial.serving(service, NEXT)

    wait_until(gone, "the canary is gone", READY_TIMEOUT_S, trial.explain)
    if 100 * got[NEXT] > (PERCENT + TOLERANCE) * got.total():
        raise BrokenPromiseError(f"on its way out the canary got {got[NEXT]} of {got.total()} requests")
    return f"the canary is gone, with {got[NEXT]} of {got.total()} requests on its way out"


def serves_only(trial: Trial, service: str, release: str) -> str:
    """Wait until all pods of a service are of one release."""

    def settled() -> bool:
        return trial.rolled_out(service) and {release_of(pod) for pod in trial.pods(service)} == {release}

    wait_until(settled, f"{release} alone serves", READY_TIMEOUT_S, trial.explain)
    return f"{release} alone serves"


def _by_release(trial: Trial, service: str) -> Mapping[str, int]:
    pods = trial.pods(service)
    answered, found = trial.answered(pods), dict[str, int]()
    for pod in pods:
        found[release_of(pod)] = found.get(release_of(pod), 0) + answered[at(pod, "metadata.name")]
    return found


def _minus(now: Mapping[str, int], before: Mapping[str, int]) -> Mapping[str, int]:
    return {release: number - before.get(release, 0) for release, number in now.items()}


def inapplicable(trial: Trial, service: str) -> str:
    """Why there are no canaries."""
    return "" if trial.splits(service) else NOT_PROMISED


def _whole(trial: Trial, service: str) -> str:
    """In Standard mode the stable release is there beside its canary from the first moment."""
    return inapplicable(trial, service) or ("" if trial.in_knative else NOT_PROMISED)


CHECKS = (
    Check("canary-first", "a canary that is declared on an empty cluster gets its share alone", _first, _whole),
    Check("canary-start", "a canary gets its share", _start, inapplicable, keeps=True),
    Check("canary-end", "a canary is given up", _end, inapplicable),
    Check("canary-promote", "a canary is promoted", _promote, inapplicable, keeps=True),
    Check("canary-roll-back", "a promoted release is rolled back", _roll_back, inapplicable),
)
