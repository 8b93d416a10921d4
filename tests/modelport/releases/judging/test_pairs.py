"""Verdicts on a shadow from records that a test makes up; every copy of a request is accounted for."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from release_files import own_manifests

from kserve_transformers.record.reading import Recorded
from modelport.manifests.release_file import read
from modelport.releases.__main__ import main
from modelport.releases.comparison.verdict import (
    DIFFERENT,
    INTERCHANGEABLE,
    SAMPLES,
    Verdict,
    findings,
    undecided,
    verdict,
)
from modelport.releases.judging.pairs import (
    SHADOW_RULES,
    Account,
    account,
    count_lost,
    measures,
    observations,
)
from modelport.stack.envoy.counters import Counters

RELEASE = "2026-11-22-0123456789ab"
COUNT = 1000
Change = Callable[[int, Recorded], Recorded | None]


def detections(number: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(number)
    return [
        {"label": label, "confidence": 0.8, "bbox": [*rng.integers(0, 300, 2).tolist(), 100, 80]}
        for label in ("dog", "cat", "bicycle")
    ]


def stable(number: int, task: str = "digits") -> Recorded:
    prediction = (
        {"predicted_digit": number % 10, "confidence": 0.9}
        if task == "digits"
        else {"id": None, "detections": detections(number)}
    )
    instance = {"sha256": "0", "bytes": 9, "type": "image/png"}
    source = f"http://{task}-predictor/{task}"
    return Recorded(
        f"id-{number}", task, "v1", "200", number, 0.01, source, "m", "initial", [instance], {}, [prediction]
    )


def copy(one: Recorded) -> Recorded:
    return replace(one, source=one.source.replace("-predictor", "-shadow-predictor"), release=RELEASE)


def same(_: int, one: Recorded) -> Recorded:
    return one


def swapped(_: int, one: Recorded) -> Recorded:
    (prediction,) = one.predictions
    digit = {3: 5, 5: 3}.get(prediction["predicted_digit"], prediction["predicted_digit"])
    return replace(one, predictions=[{**prediction, "predicted_digit": digit}])


def shifted(number: int, one: Recorded) -> Recorded:
    """In 5 per cent of the images, by a quarter of a box."""
    if number % 20:
        return one
    (prediction,) = one.predictions
    moved = [{**d, "bbox": [d["bbox"][0] + 25, *d["bbox"][1:]]} for d in prediction["detections"]]
    return replace(one, predictions=[{**prediction, "detections": moved}])


def unsure(_: int, one: Recorded) -> Recorded:
    (prediction,) = one.predictions
    return replace(one, predictions=[{**prediction, "confidence": 0.5}])


def slow(_: int, one: Recorded) -> Recorded:
    return replace(one, seconds=2 * one.seconds)


def failing(number: int, one: Recorded) -> Recorded:
    return replace(one, status="502", predictions=(), instances=()) if number % 4 == 0 else one


def hung(_: int, __: Recorded) -> None:
    return None


def crashing(number: int, one: Recorded) -> Recorded | None:
    return one if number % 3 != 1 else None


def judged(task: str, change: Change, envoy: Counters | None, percent: int = 100) -> tuple[Account, Verdict]:
    both = [stable(number, task) for number in range(COUNT)]
    changed = [change(number, one) for number, one in enumerate(both[: COUNT * percent // 100])]
    copied = [copy(one) for one in changed if one]
    found = account([*both, *copied], RELEASE)
    count_lost(found, envoy, percent)
    return found, verdict(findings(measures(found, observations(found)), SHADOW_RULES))


@pytest.mark.parametrize("counted", [True, False], ids=["Envoy counts", "nobody counts"])
@pytest.mark.parametrize(
    ("task", "change", "expected"),
    [
        pytest.param("digits", same, INTERCHANGEABLE, id="identical digits"),
        pytest.param("detector", same, INTERCHANGEABLE, id="identical boxes"),
        pytest.param("digits", swapped, DIFFERENT, id="labels swapped"),
        pytest.param("detector", shifted, DIFFERENT, id="boxes shifted in 5 per cent of the images"),
        pytest.param("digits", unsure, DIFFERENT, id="other scores"),
        pytest.param("digits", slow, DIFFERENT, id="slow"),
        pytest.param("digits", failing, DIFFERENT, id="failing"),
        pytest.param("digits", hung, DIFFERENT, id="hung"),
        pytest.param("digits", crashing, DIFFERENT, id="crashing"),
    ],
)
def test_verdicts(task, change, expected, counted):
    found, verdict_ = judged(task, change, Counters(sent=COUNT) if counted else None)
    assert verdict_ is expected
    assert found.copies == COUNT


def test_without_copies_nothing_is_decided():
    found = account([stable(number) for number in range(10)], RELEASE)
    count_lost(found, Counters(), 20)
    assert measures(found, observations(found)) == {}
    assert found.rows() == [("copies", "0"), ("compared", "0")]


def test_a_few_pairs_do_not_decide():
    both = [stable(number) for number in range(10)]
    found = account([*both, *map(copy, both)], RELEASE)
    assert verdict(findings(measures(found, observations(found)), SHADOW_RULES)) == undecided(SAMPLES)


def test_every_copy_is_accounted_for_once():
    both = [stable(number) for number in range(20)]
    records = [*both[:10], *map(copy, both[:10])]  # 10 pairs
    records += [replace(both[10], status="415"), replace(copy(both[10]), status="415")]  # refused by both
    records += [both[11], replace(copy(both[11]), status="504", predictions=(), instances=())]  # the shadow failed
    records += [replace(both[12], status="gone"), copy(both[12])]  # the caller went away
    records += [both[13], both[13], copy(both[13]), copy(both[13])]  # an id that a caller uses again and again
    records += [copy(both[14])]  # the stable side lost its record
    records += [replace(one, predictions=(), instances=()) for one in (both[15], copy(both[15]))]  # metadata
    records += [replace(copy(both[16]), release="2026-01-01-000000000000")]  # a former shadow
    records += [both[17], both[18]]  # not copied, or lost
    found = account(reversed(records), RELEASE)
    count_lost(found, Counters(sent=25, overflowed=2, timed_out=3, unreachable=1, active=1), 50)
    assert dict(found.rows()) == {
        "copies": "28",
        "compared": "10",
        "refused by both": "1",
        "nothing to compare": "1",
        "the shadow failed with 504": "1",
        "the stable side failed": "1",
        "ids that came twice": "2",
        "of a former shadow": "1",
        "lost: no record of the stable side": "1",
        "lost on the shadow's side: still under way": "1",
        "lost on the shadow's side: no answer in time": "3",
        "lost on the shadow's side: no connection": "1",
        "lost on the shadow's side: too many under way": "2",
        "lost on the shadow's side: ended without a record": "3",
    }


@pytest.mark.parametrize(("percent", "copied", "lost"), [(20, 190, 0), (20, 100, 100), (20, 0, 200), (100, 999, 1)])
def test_where_nobody_counts_copies_only_what_is_no_chance_is_lost(percent, copied, lost):
    both = [stable(number) for number in range(COUNT)]
    found = account([*both, *map(copy, both[:copied])], RELEASE)
    count_lost(found, None, percent)
    assert sum(found.lost.values()) == lost


@pytest.fixture
def command(tmp_path):
    """Runs `modelport shadow digits` on a copy of the manifests; port 1 has no stack."""
    places = [
        f"--manifests={own_manifests(tmp_path)}",
        f"--releases={tmp_path / 'releases'}",
        f"--record={tmp_path / 'record'}",
    ]

    def run(*arguments: str) -> int:
        return main(["shadow", "digits", *arguments, *places, "--port=1", f"--out={tmp_path / 'out'}"])

    return run


def event(one: Recorded, kind: str) -> dict[str, Any]:
    data = {"predictions": one.predictions} if kind == "response" else {"instances": one.instances, "parameters": {}}
    return {
        "type": f"org.kubeflow.serving.inference.{kind}",
        "id": one.request_id,
        "source": one.source,
        "inferenceservicename": one.service,
        "protocol": one.protocol,
        "status": one.status,
        "durationus": round(one.seconds * 1e6),
        "time": "2100-01-01T00:00:00.000000Z",
        "model": one.model,
        "release": one.release,
        "data": data,
    }


@pytest.mark.parametrize(("change", "exit_code"), [(same, 0), (swapped, 3)])
def test_a_shadow_is_started_judged_and_ended(change, exit_code, command, tmp_path, capsys):
    assert command() == 1
    assert "has had no shadow: `modelport shadow digits RELEASE`" in capsys.readouterr().err
    assert command(RELEASE, "--percent=100", "--unchecked") == 0
    choice = read(tmp_path / "manifests")["digits"]
    assert (choice.shadow, choice.shadow_percent, choice.stable, choice.percent) == (RELEASE, 100, "initial", 0)
    assert command() == 1
    assert "modelport serve --record DIR" in capsys.readouterr().err
    both = [stable(number) for number in range(COUNT)]
    records = [*both, *(copy(changed) for number, one in enumerate(both) if (changed := change(number, one)))]
    file = tmp_path / "record" / "digits" / "2100-01-01" / "00-a-0001.jsonl"
    file.parent.mkdir(parents=True)
    lines = [json.dumps(event(one, kind)) for one in records for kind in ("request", "response")]
    file.write_text("\n".join([*lines, '{"torn']))
    assert command() == exit_code
    told = capsys.readouterr().out
    assert "of the record: 1 torn lines, 0 events alone" in told
    assert "verdict: " in told
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results["measures"]["agreement"]["count"] == COUNT
    prom = (tmp_path / "out" / "shadow.prom").read_text()
    assert f'modelport_shadow_requests{{service="digits",release="{RELEASE}",outcome="compared"}} {COUNT}\n' in prom
    assert f'modelport_shadow_verdict{{service="digits",release="{RELEASE}"}} {exit_code}\n' in prom
    assert (tmp_path / "out" / "report.md").exists()
    assert command("--end") == 0
    assert read(tmp_path / "manifests")["digits"].shadow_percent == 0
    assert command("--end") == 1
    assert "no shadow to end" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        pytest.param(["--percent=20"], "name the release", id="a share without a release"),
        pytest.param([RELEASE, "--end"], "--end takes no release", id="end and start"),
        pytest.param([RELEASE], "there is no release", id="unknown release"),
    ],
)
def test_refused_commands(arguments, reason, command, capsys):
    assert command(*arguments) == 1
    assert reason in capsys.readouterr().err
