"""The alert rules, unit-tested by Prometheus's own promtool: each fires in one case and stays silent in another."""

import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from promql import rule_groups, rules

RUNBOOK = (Path(__file__).parents[2] / "docs" / "operate.md").read_text()
ALERTS = {rule["alert"]: rule for rule in rules() if "alert" in rule}
Series = Mapping[str, str]  # in promtool's notation, a value a minute
needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed: apt-get install prometheus"
)

POD = 'namespace="modelport",pod="cars-1"'
CARS = {"namespace": "modelport", "service": "cars"}
MODEL = {"namespace": "modelport", "pod": "cars-1", "model": "cars"}


def requests(**outcomes: int) -> Series:
    """So many requests a minute by outcome, for eight hours."""
    return {
        f'modelport_requests_total{{{POD},service="cars",protocol="v1",outcome="{outcome.strip("_")}"}}': f"0+{n}x480"
        for outcome, n in outcomes.items()
    }


def seconds(under_5: int, under_10: int) -> Series:
    """A histogram that gets so many requests a minute in each bucket."""
    counts = {"5": under_5, "10": under_5 + under_10, "+Inf": under_5 + under_10}
    return {
        f'modelport_request_seconds_bucket{{{POD},service="cars",protocol="v1",le="{le}"}}': f"0+{n}x60"
        for le, n in counts.items()
    }


def steady(name: str, value: float, labels: str = 'model="cars"') -> Series:
    """One series that keeps its value."""
    return {f"{name}{{{POD},{labels}}}": f"{value}+0x120"}


def waiting(seconds: float) -> Series:
    """60 requests a minute that each wait so long."""
    labels = f'{POD},service="cars",stage="queue"'
    return {
        f"modelport_stage_seconds_sum{{{labels}}}": f"0+{60 * seconds}x60",
        f"modelport_stage_seconds_count{{{labels}}}": "0+60x60",
    }


@dataclass(frozen=True)
class Case:
    """Series, and what fires on them at a time: the labels, and the summary as it reaches people."""

    alert: str
    series: Series
    at: str
    labels: Mapping[str, str] = field(default_factory=dict)
    summary: str | None = None


FIRING = [
    Case(
        "ModelportServiceDown",
        steady("modelport_service_ready", 0, 'service="cars"'),
        "5m",
        CARS,
        "cars: no pod is ready",
    ),
    Case("ModelportFailingFast", requests(_200=90, _503=10), "2h", CARS, "cars: 10% of the requests fail"),
    Case("ModelportFailingFast", requests(OK=90, UNAVAILABLE=10), "2h", CARS, "cars: 10% of the requests fail"),
    Case("ModelportFailingSlowly", requests(_200=96, _504=4), "7h", CARS, "cars: 4% of the requests fail"),
    Case("ModelportSlow", seconds(0, 60), "30m", CARS, "cars: the 99th percentile of the request time is 9.95s"),
    Case("ModelportBusy", requests(_200=90, _429=10), "30m", CARS, "cars: 10% of the requests are refused as busy"),
    Case("ModelportQueue", waiting(0.75), "30m", CARS, "cars: requests wait 750ms in the model's queue"),
    Case(
        "ModelportModelNotReady",
        steady("modelport_model_ready", 0),
        "10m",
        MODEL,
        "cars in cars-1 fails its golden check",
    ),
    Case(
        "ModelportFallback",
        {f'modelport_fallbacks_total{{{POD},service="cars",model="cars",cause="too late"}}': "0+1x60"},
        "30m",
        {**CARS, "model": "cars", "cause": "too late"},
        "cars skips cars: too late",
    ),
    Case(
        "ModelportBreakerOpen",
        steady("modelport_breaker_open", 1),
        "10m",
        MODEL,
        "cars in cars-1 has an open circuit breaker",
    ),
    Case(
        "ModelportGoldenDrift",
        steady("modelport_golden_drift", 0.9),
        "10m",
        MODEL,
        "cars in cars-1 uses 90% of the error that its golden check allows",
    ),
    Case(
        "ModelportDrift",
        steady("modelport_drift_alarm", 1, 'service="cars",feature="brightness"'),
        "30m",
        {**CARS, "feature": "brightness"},
        "cars: brightness has drifted from the model's reference",
    ),
    Case(
        "ModelportRecordLost",
        {f'modelport_record_lost_total{{{POD},service="cars",reason="sink failed"}}': "0+3x60"},
        "30m",
        {**CARS, "reason": "sink failed"},
        "cars: requests are missing in the record: sink failed",
    ),
    Case(
        "ModelportUntrained",
        steady("modelport_model_info", 1, 'model="cars",release="r1",weights="untrained"'),
        "90m",
        {"namespace": "modelport", "model": "cars", "release": "r1"},
        "cars has untrained weights",
    ),
    Case(
        "ModelportRestarts",
        {
            f'process_start_time_seconds{{{POD},container="transformer-container",job="modelport/modelport"}}': (
                "100+0x5 200+0x5 300+0x5 400+0x5"
            )
        },
        "25m",
        {"namespace": "modelport", "pod": "cars-1", "container": "transformer-container"},
        "transformer-container in cars-1 restarted 3 times in 30 minutes",
    ),
    Case(
        "ModelportRestarts",
        {f'nv_inference_request_success{{{POD},container="kserve-container",model="cars"}}': "1+1x5 1+1x5 1+1x5 1+1x5"},
        "25m",
        {"namespace": "modelport", "pod": "cars-1", "container": "kserve-container"},
        "kserve-container in cars-1 restarted 3 times in 30 minutes",
    ),
    Case(
        "ModelportTargetDown",
        steady("up", 0, 'container="kserve-container",job="modelport/modelport"'),
        "10m",
        {"namespace": "modelport", "pod": "cars-1", "container": "kserve-container"},
        "kserve-container in cars-1 cannot be scraped by Prometheus",
    ),
    Case(
        "ModelportSilent",
        steady("modelport_service_ready", 1, 'service="cars"'),
        "20m",
        {},
        "no pod of Modelport reports metrics",
    ),
]
SILENT = [
    Case(
        "ModelportServiceDown",
        {
            'modelport_service_ready{namespace="modelport",pod="cars-1",service="cars"}': "0+0x60",
            'modelport_service_ready{namespace="modelport",pod="cars-2",service="cars"}': "1+0x60",
        },
        "10m",
    ),
    Case("ModelportFailingFast", requests(_200=95, _503=5), "2h"),
    Case("ModelportFailingFast", requests(_200=50, _400=20, _413=20, gone=10), "2h"),
    Case("ModelportFailingSlowly", requests(_200=98, _504=2), "7h"),
    Case("ModelportSlow", seconds(60, 0), "30m"),
    Case("ModelportBusy", requests(_200=96, _429=4), "30m"),
    Case("ModelportQueue", waiting(0.25), "30m"),
    Case("ModelportModelNotReady", steady("modelport_model_ready", 1), "10m"),
    Case(
        "ModelportFallback",
        {
            f'modelport_fallbacks_total{{{POD},service="cars",model="cars",cause="untrained"}}': "0+1x60",
            f'modelport_fallbacks_total{{{POD},service="cars",model="cars",cause="error"}}': "7+0x60",
        },
        "30m",
    ),
    Case("ModelportBreakerOpen", steady("modelport_breaker_open", 0), "10m"),
    Case("ModelportGoldenDrift", steady("modelport_golden_drift", 0.7), "10m"),
    Case("ModelportDrift", steady("modelport_drift_alarm", 0, 'service="cars",feature="brightness"'), "30m"),
    Case(
        "ModelportRecordLost",
        {f'modelport_record_lost_total{{{POD},service="cars",reason="sink failed"}}': "7+0x60"},
        "30m",
    ),
    Case("ModelportUntrained", steady("modelport_model_info", 1, 'model="cars",release="r1",weights="trained"'), "90m"),
    Case(
        "ModelportRestarts",
        {
            f'process_start_time_seconds{{{POD},container="transformer-container",job="modelport/modelport"}}': (
                "100+0x5 200+0x15"
            ),
            'process_start_time_seconds{namespace="other",pod="x",container="x",job="other"}': "1+1x25",
        },
        "25m",
    ),
    Case("ModelportTargetDown", steady("up", 1, 'container="kserve-container",job="modelport/modelport"'), "10m"),
    Case(
        "ModelportSilent",
        {**steady("modelport_service_ready", 1, 'service="cars"'), **steady("nv_inference_request_success", 1)},
        "20m",
    ),
]


def promtool(*arguments: str) -> str:
    result = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def expected(case: Case) -> list[dict[str, Any]]:
    if case.summary is None:
        return []
    rule = ALERTS[case.alert]
    annotations = {**rule["annotations"], "summary": case.summary}
    return [{"exp_labels": {**rule["labels"], **case.labels}, "exp_annotations": annotations}]


def unit_tests(cases: list[Case], folder: Path) -> Path:
    """The cases in promtool's form, beside the rules out of the PrometheusRule."""
    (folder / "rules.yml").write_text(yaml.safe_dump(rule_groups()))
    tests = [
        {
            "name": case.alert,
            "interval": "1m",
            "input_series": [{"series": name, "values": values} for name, values in case.series.items()],
            "alert_rule_test": [{"eval_time": case.at, "alertname": case.alert, "exp_alerts": expected(case)}],
        }
        for case in cases
    ]
    file = folder / "tests.yml"
    file.write_text(yaml.safe_dump({"rule_files": ["rules.yml"], "evaluation_interval": "1m", "tests": tests}))
    return file


@needs_promtool
def test_the_rules_are_well_formed(tmp_path):
    unit_tests([], tmp_path)
    assert f"{len(list(rules()))} rules found" in promtool("check", "rules", str(tmp_path / "rules.yml"))


@needs_promtool
@pytest.mark.parametrize("cases", [pytest.param(FIRING, id="fires"), pytest.param(SILENT, id="stays silent")])
def test_each_alert(cases, tmp_path):
    assert {case.alert for case in cases} == set(ALERTS)
    promtool("test", "rules", str(unit_tests(cases, tmp_path)))


@needs_promtool
def test_a_wrong_expectation_is_found(tmp_path):
    case = next(case for case in FIRING if case.alert == "ModelportBusy")
    wrong = Case(case.alert, requests(_200=96, _429=4), case.at, case.labels, case.summary)
    with pytest.raises(AssertionError, match="ModelportBusy"):
        promtool("test", "rules", str(unit_tests([wrong], tmp_path)))


@pytest.mark.parametrize("alert", ALERTS)
def test_the_runbook_says_what_to_do(alert):
    assert ALERTS[alert]["annotations"]["runbook"] == f"docs/operate.md#{alert.lower()}"
    assert re.search(rf"(?m)^### {alert}\n+[A-Z*`]", RUNBOOK), "no section in docs/operate.md"
    assert ALERTS[alert]["labels"]["severity"] in {"page", "ticket"}
