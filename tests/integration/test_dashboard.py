"""Every query of the dashboard and every alert, on a real Prometheus that scrapes the running stack under load."""

import json
import math
import random
import shutil
import time
from collections.abc import Collection
from typing import Any

import httpx
import pytest
import yaml
from promql import dashboard, filled_in, panels, rules, selectors, unfiltered
from waiting import wait_for

from kserve_transformers.settings import Limits
from modelport.measure.generator.load import Load, RunningLoad
from modelport.measure.generator.requests import Request
from modelport.measure.prometheus.prometheus import COMPONENTS, Pod, Prometheus
from modelport.measure.traffic import infer_request, requests
from modelport.samples import PHOTO
from modelport.services import choose
from modelport.stack.demo import sample_requests

pytestmark = [
    pytest.mark.slow,
    pytest.mark.stack,
    pytest.mark.skipif(
        shutil.which("prometheus") is None, reason="prometheus is not installed: apt-get install prometheus"
    ),
]
LOAD_S = 15
RATE_INTERVAL = "30s"
ALL = list(panels(dashboard()))
ELSEWHERE = ("modelport_drift_psi", "modelport_drift_alarm")  # exist with a reference of drift: test_record.py


BAD_EVERY = 8


class AsOf(Prometheus):
    """Evaluates queries at one moment: a scrape that comes late leaves none of its target's series for the next."""

    moment: float | None = None

    def query(self, expr: str, at: float | None = None) -> list[dict[str, Any]]:
        """The series of an instant query: [{"metric": labels, "value": [time, text]}]; in seconds since the epoch."""
        at = self.moment if at is None else at
        return self._get("query", query=expr, **({} if at is None else {"time": at}))["result"]

    def targets(self) -> list[dict[str, Any]]:
        return self._get("targets", state="active")["activeTargets"]

    def rules(self) -> list[dict[str, Any]]:
        """Every rule with its health and state."""
        return [rule for group in self._get("rules")["groups"] for rule in group["rules"]]

    def _get(self, what: str, **parameters: str | float) -> dict[str, Any]:
        answer = self._client.get(f"/api/v1/{what}", params=parameters).json()
        if answer["status"] != "success":
            raise ValueError(f"{parameters.get('query', what)}: {answer['error']}")
        return answer["data"]


def mixed_requests() -> tuple[Request, ...]:
    """Requests of every service, protocol and kind of outcome, so that every series exists."""
    as_json, as_image = {"content-type": "application/json"}, {"content-type": "image/jpeg"}
    good = [request for kind, request in requests().items() if kind != "detector many"]
    good += [Request(sent.path, sent.body, sent.headers) for _, _, sent in sample_requests(choose())]
    good += [
        Request("/v1/models/classifier:predict", PHOTO.read_bytes(), as_image),
        infer_request("classifier"),
        infer_request("detector"),
    ]
    instances = json.dumps({"instances": [{"b64": ""}] * (Limits().instances + 1)}).encode()
    bad = [
        Request("/v1/models/detector:predict", b"{", as_json),
        Request("/classifier/classify", b"no image", as_image),
        Request("/v1/models/cars:predict", instances, as_json),
        Request("/detector/api/", PHOTO.read_bytes(), as_image | {"x-request-timeout-ms": "1"}),
        Request("/v2/models/nobody/infer", b"{}", as_json),
        infer_request("classifier", instance=b"no image"),
    ]
    mixed = [request for one in bad for request in (*random.Random(0).sample(good, BAD_EVERY), one)]
    return (*good, *mixed)


def outcomes(prometheus: Prometheus) -> set[tuple[str, str]]:
    found = prometheus.query("sum by (protocol, outcome) (modelport_requests_total) > 0", time.time())
    return {(series["metric"]["protocol"], series["metric"]["outcome"]) for series in found}


@pytest.fixture(scope="module")
def prometheus(stack, free_ports, tmp_path_factory):
    """Has scraped the stack under load."""
    settings = stack.stack.settings
    pod = Pod("local-0", "local", settings.http_port, settings.triton_metrics_port)
    prometheus = AsOf(pod, tmp_path_factory.mktemp("prometheus"), *free_ports(1))
    prometheus.start()
    load = RunningLoad(stack.http, Load(mixed_requests(), callers=3))
    try:
        time.sleep(LOAD_S)
        wait_for(lambda: {("grpc", "OK"), ("v1", "200"), ("own", "504")} <= outcomes(prometheus))
        while prometheus.moment is None or {one["value"][1] for one in prometheus.query("up")} != {"1"}:
            prometheus.moment = time.time()
            time.sleep(3)  # what was being scraped then has been, with or without success
    finally:
        load.stop()
    yield prometheus
    prometheus.stop()


def test_page_of_alerts_is_there(prometheus):
    assert httpx.get(prometheus.alerts_page(), timeout=60).is_success


def complaints(prometheus: Prometheus, expr: str, labels: Collection[str] = ()) -> list[str]:
    """What is wrong with a query: a series that does not exist, no answer, no number, or a label without a value."""
    found = [f"nothing is called {selector}" for selector in selectors(expr) if not prometheus.query(selector)]
    result = prometheus.query(expr)
    if not any(math.isfinite(float(series["value"][1])) for series in result):
        found.append(f"{len(result)} series, none with a number")
    found += [f"no label {label}" for label in labels if not all(series["metric"].get(label) for series in result)]
    return found


@pytest.mark.parametrize("panel", ALL, ids=lambda panel: f"{panel.row}: {panel.title}")
def test_a_panel_shows_something(panel, prometheus):
    for query in panel.queries:
        if any(name in query.expr for name in ELSEWHERE):
            continue
        assert complaints(prometheus, filled_in(query.expr, RATE_INTERVAL), query.labels) == []


@pytest.mark.parametrize("rule", list(rules()), ids=lambda rule: rule.get("alert", rule.get("record")))
def test_a_rule_has_something_to_watch(rule, prometheus):
    if any(name in rule["expr"] for name in ELSEWHERE):
        return
    summary = rule.get("annotations", {}).get("summary", "")
    labels = [word.split(".")[1].rstrip("} ") for word in summary.split() if word.startswith("$labels.")]
    assert complaints(prometheus, unfiltered(rule["expr"]), labels) == []


def test_a_chosen_service_narrows_its_panels(prometheus):
    query = next(panel for panel in ALL if panel.title == "Requests by service").queries[0]
    chosen = prometheus.query(filled_in(query.expr, RATE_INTERVAL, service="cars", pod="local-0"))
    assert [series["metric"]["service"] for series in chosen] == ["cars"]
    assert prometheus.query(filled_in(query.expr, RATE_INTERVAL, pod="another")) == []


def test_keda_has_something_to_scale_on(prometheus):
    (patch,) = yaml.safe_load((COMPONENTS / "keda" / "kustomization.yaml").read_text())["patches"]
    (metric,) = yaml.safe_load(patch["patch"])["spec"]["predictor"]["autoScaling"]["metrics"]
    query = metric["external"]["metric"]["query"]
    assert complaints(prometheus, query.replace("SERVICE", "local")) == []


def labels_of_up(prometheus: Prometheus) -> list[dict[str, str]]:
    return [target["labels"] for target in prometheus.targets() if target["health"] == "up"]


def test_the_pod_monitor_picks_the_two_containers(prometheus):
    wait_for(lambda: len(labels_of_up(prometheus)) >= 2)  # one that answered late is down until the next scrape
    labels = labels_of_up(prometheus)
    assert sorted(found["container"] for found in labels) == ["kserve-container", "transformer-container"]
    for found in labels:
        assert (found["job"], found["namespace"], found["pod"]) == ("modelport/modelport", "modelport", "local-0")
        assert found["serving_kserve_io_inferenceservice"] == "local"


def test_prometheus_evaluates_the_rules(prometheus):
    evaluated = {rule["name"]: (rule["health"], rule.get("lastError", "")) for rule in prometheus.rules()}
    assert set(evaluated) == {rule.get("alert", rule.get("record")) for rule in rules()}
    assert set(evaluated.values()) == {("ok", "")}


@pytest.mark.parametrize(
    ("expr", "labels", "expected"),
    [
        pytest.param("sum(rate(modelport_request_total[1m]))", [], "nothing is called", id="wrong name"),
        pytest.param('modelport_stage_seconds_sum{stage="inference"}', [], "nothing is called", id="wrong value"),
        pytest.param("modelport_in_flight or modelport_waiting", [], "nothing is called", id="hidden by or"),
        pytest.param("modelport_in_flight * on (service) modelport_service_ready", [], "0 series", id="wrong join"),
        pytest.param("sum by (service) (modelport_in_flight)", ["service"], "no label", id="wrong label"),
        pytest.param("0 * modelport_in_flight / 0", [], "none with a number", id="no number"),
    ],
)
def test_a_mistake_is_found(expr, labels, expected, prometheus):
    assert expected in " ".join(complaints(prometheus, expr, labels))
