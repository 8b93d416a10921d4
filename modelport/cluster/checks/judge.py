"""A Job judges a canary: a good release is promoted by steps, a slow one reverted, and silence moves nothing."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

from kserve_transformers.judging.rollout import REVERTED
from kserve_transformers.judging.shares import Shares
from kserve_transformers.observe import Ended, Exchange
from kserve_transformers.record.events import Origin, render
from modelport.cluster.checks import NOT_PROMISED, Check, canary
from modelport.cluster.checks.canary import serves_only
from modelport.cluster.kubectl import READY_TIMEOUT_S, wait_until
from modelport.cluster.releases import NEXT, SLOW
from modelport.cluster.trial import BrokenPromiseError, Trial
from modelport.manifests.findings import at
from modelport.manifests.judged import JUDGED, refusals
from modelport.manifests.release_file import FIRST_RELEASE
from modelport.manifests.rendering import dump

JOB, OVERLAY = "canary-judge", "canary-judge"
CREDENTIALS = "canary-judge-credentials"
PAIRS = 200
NO_BUCKET = "the record is in the test's own bucket, and the overlay's models are not"
STEPS = (30, 60, 100)
EVERY_S = 5
LOOKS = 12  # at silence
JUDGED_TIMEOUT_S = 1500.0
CALLERS = 4


def _promotes(trial: Trial, service: str) -> str:
    first, second, _ = STEPS
    with trial.traffic(service, CALLERS) as traffic, _judging(trial, service, NEXT):
        _share_is(trial, service, second)
        (pod,) = _judges(trial, "Running")
        trial.signal(pod, signal.SIGKILL, "judge")
        _refuses_a_deploy(trial, service, first)
        _ended(trial, "Complete")
        if trial.store and f"shadow pairs: 0 of {PAIRS}" not in _log(trial):
            raise BrokenPromiseError(f"the judge did not count the shadow's pairs: {_log(trial)}")
        serves_only(trial, service, NEXT)
        time.sleep(3)
    killed = len(_judges(trial, "Failed"))
    if killed != 1:
        raise BrokenPromiseError(f"{killed} judges failed, and one was killed: {_log(trial)}")
    _remove(trial)
    return f"promoted by {first} and {second} %, by two judges, the first killed; {traffic.require_none_lost()}"


def _reverts(release: str, agreeing: bool, trial: Trial, service: str) -> str:
    with trial.traffic(service, CALLERS) as traffic, _judging(trial, service, release, agreeing):
        _ended(trial, "Failed")
        (pod,) = _judges(trial, "Failed")
        code = at(pod, "status.containerStatuses.0.state.terminated.exitCode")
        if code != REVERTED:
            raise BrokenPromiseError(f"the judge ended with {code}: {_log(trial)}")
        serves_only(trial, service, trial.choices[service].stable)
    answered = traffic.require_none_lost()
    told = next(line for line in _log(trial).splitlines() if " revert: " in line)
    _remove(trial)
    return f"{told.partition(' ')[2]}; {answered}"


def _holds(trial: Trial, service: str) -> str:
    with _judging(trial, service, NEXT):
        time.sleep(LOOKS * EVERY_S)
        _share_is(trial, service, STEPS[0], timeout_s=0)
        log, running = _log(trial), _judges(trial, "Running")
    _remove(trial)
    if " hold: " not in log or not running:
        raise BrokenPromiseError(f"the judge does not hold: {log}")
    return f"{STEPS[0]} % after {LOOKS} looks: {log.splitlines()[-1].partition(' ')[2]}"


@contextmanager
def _judging(trial: Trial, service: str, release: str, agreeing: bool = True) -> Iterator[None]:
    """A release with its first share, and a judge, which is left behind for its log where all goes well.

    The judge reads a record of the release as a shadow, whose answers agree or not, where the test has a bucket.
    """
    trial.deploy({service: replace(trial.choices[service], canary=release, percent=STEPS[0])})
    wait_until(lambda: trial.serving(service, release), "the canary is Ready", READY_TIMEOUT_S, trial.explain)
    settings = {"service": service, "steps": ",".join(map(str, STEPS)), "every": str(EVERY_S)}
    settings["record"] = _record(trial, service, release, agreeing) if trial.store else ""
    trial.cluster.apply(trial.beside(OVERLAY, settings))
    try:
        yield
    except Exception:
        print(_log(trial), flush=True)  # noqa: T201 (it is removed with the namespace)
        _remove(trial)
        raise


def _record(trial: Trial, service: str, release: str, agreeing: bool) -> str:
    """The address of a record of the stable release's answers and of a shadow's, in the test's bucket."""
    assert trial.store is not None  # noqa: S101
    stable = trial.choices[service].stable
    sides = [
        ("predictor", "none" if stable == FIRST_RELEASE else stable, True),
        ("shadow-predictor", release, agreeing),
    ]
    lines = []
    for number in range(PAIRS):
        for host, name, right in sides:
            exchange = Exchange(f"request-{number}", model="model", release=name)
            exchange.predictions = lambda right=right: [{"digit": 5 if right else 3, "confidence": 0.9}]
            origin = Origin(f"{service}-{host}-1", trial.namespace)
            lines.append(render(exchange, Ended(service, "v1", "200", 0.01), origin, -1))
    folder = f"record-{release}-{'same' if agreeing else 'other'}"
    trial.store.copy(b"".join(lines), 1, f"{folder}/{service}/2026-01-01", ".jsonl")
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": CREDENTIALS, "namespace": trial.namespace}}
    trial.cluster.apply([{**secret, "stringData": trial.store.environment}])
    return f"s3://{trial.store.bucket}/{folder}"


def _remove(trial: Trial) -> None:
    """As `make undeploy OVERLAY=canary-judge` does: the state too, for the next judge; and the test's credentials."""
    trial.cluster.run("delete", "--ignore-not-found", "-f", "-", stdin=dump(trial.beside(OVERLAY, {})))
    trial.cluster.run("delete", "secret", CREDENTIALS, f"--namespace={trial.namespace}", "--ignore-not-found")


def _share_is(trial: Trial, service: str, percent: int, timeout_s: float = JUDGED_TIMEOUT_S) -> None:
    def reached() -> bool:
        found = Shares.of(trial.cluster.get("inferenceservice", service, trial.namespace) or {})
        return found is not None and found.percent == percent

    wait_until(reached, f"the canary gets {percent} %", timeout_s, partial(_log, trial))


def _refuses_a_deploy(trial: Trial, service: str, percent: int) -> None:
    declared = trial.rendered({**trial.choices, service: replace(trial.choices[service], canary=NEXT, percent=percent)})
    there = trial.cluster.get("inferenceservice", service, trial.namespace) or {}
    jobs = trial.cluster.items("job", trial.namespace, JUDGED)
    if not list(refusals(declared, {service: there}, jobs)):
        raise BrokenPromiseError("a deploy in the middle would have overwritten the judge's share")


def _ended(trial: Trial, how: str) -> None:
    def ended() -> set[str]:
        conditions = at(trial.cluster.get("job", JOB, trial.namespace) or {}, "status.conditions", [])
        return {one["type"] for one in conditions if one["status"] == "True"} & {"Complete", "Failed"}

    found = wait_until(ended, "the judge ends", JUDGED_TIMEOUT_S, partial(_log, trial))
    if found != {how}:
        raise BrokenPromiseError(f"the judge's Job is {', '.join(found)}: {_log(trial)}")


def _judges(trial: Trial, phase: str) -> list[Mapping[str, object]]:
    found = trial.cluster.items("pod", trial.namespace, f"batch.kubernetes.io/job-name={JOB}")
    return [pod for pod in found if at(pod, "status.phase") == phase]


def _log(trial: Trial) -> str:
    return str(at(trial.cluster.get("configmap", JOB, trial.namespace) or {}, "data.log", ""))


def inapplicable(trial: Trial, service: str) -> str:
    """No judge moves the shares of Knative's revisions."""
    return canary.inapplicable(trial, service) or (NOT_PROMISED if trial.in_knative else "")


CHECKS = (
    Check("judge-promotes", "a judge promotes a good release, and one that is killed goes on", _promotes, inapplicable),
    Check(
        "judge-reverts",
        "a judge reverts a release that keeps callers waiting",
        partial(_reverts, SLOW, True),
        inapplicable,
    ),
    Check(
        "judge-pairs",
        "a judge reverts a release whose answers as a shadow differed",
        partial(_reverts, NEXT, False),
        lambda trial, service: inapplicable(trial, service) or ("" if trial.store else NO_BUCKET),
    ),
    Check("judge-holds", "a judge without traffic moves nothing", _holds, inapplicable),
)
