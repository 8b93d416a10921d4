"""Only signed releases become Ready; any other one never does, and the release before goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from modelport.cluster.checks import NOT_PROMISED, Check
from modelport.cluster.checks.canary import serves_only
from modelport.cluster.checks.disruption import refused, runs
from modelport.cluster.releases import NEXT, UNTRUSTED
from modelport.cluster.trial import Trial
from modelport.manifests.release_file import Choice


def _signed(trial: Trial, service: str) -> str:
    with trial.traffic(service) as traffic:
        trial.deploy({service: Choice(NEXT, NEXT, 0)})
        told = serves_only(trial, service, NEXT)
    return f"{told}; {traffic.require_none_lost()}"


def _untrusted(release: str) -> Callable[[Trial, str], str]:
    def check(trial: Trial, service: str) -> str:
        choice = replace(trial.choices[service], stable=release, canary=release)
        return refused(trial, service, lambda: trial.deploy({service: choice}), runs)

    return check


def _none(trial: Trial, service: str) -> str:
    return "" if trial.requires_signature else NOT_PROMISED


CHECKS = (
    Check("signed-release", "a release that the key signed serves", _signed, _none),
    *(
        Check(f"signature-{name}", f"{what}: never Ready, the release before goes on", _untrusted(name), _none)
        for name, what in UNTRUSTED.items()
    ),
)
