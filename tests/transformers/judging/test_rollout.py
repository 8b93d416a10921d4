"""A judge in a cluster, against an API server and pods of the test's own over HTTP."""

import copy
import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from kserve_transformers.judging import rollout, shares
from kserve_transformers.judging.api import MANAGER, Api, ApiError
from kserve_transformers.judging.counting import Step
from kserve_transformers.judging.rollout import NO_CANARY, PROMOTED, REVERTED, TAKEN_OVER, Rollout
from kserve_transformers.observe import Ended, Exchange
from kserve_transformers.record.events import Origin, render

OLD, NEW = "s3://models/digits/old", "s3://models/digits/new"
STEPS = (25, 50, 100)
SERVICE, STATE = "inferenceservices/digits", "configmaps/canary-judge"
CANARY_ADDRESS, STABLE_ADDRESS = "127.0.0.2", "127.0.0.3"
LOOK = 2000  # requests of each side between two looks


class Cluster:
    """An API server with one service, KServe's part in it, and the metrics of two pods.

    Attributes:
        objects: by KIND/NAME.
        failures: in per cent, of the canary's requests.
        looks: how often the pods were listed.
        at_look: called at a look, by its number.
        refuses: statuses of the next answers of the API server.
        shares: every share and end of the canary that a patch made.
    """

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = {
            SERVICE: service(25),
            STATE: {},
            "deployments/digits-predictor": deployment(OLD),
            "httproutes/digits-predictor": {"metadata": {"generation": 1}, "spec": {"rules": []}},
        }
        self.failures, self.traffic, self.looks = 0, LOOK, 0
        self.counted = {CANARY_ADDRESS: [0, 0], STABLE_ADDRESS: [0, 0]}
        self.at_look: dict[int, Callable[[], None]] = {}
        self.refuses: list[int] = []
        self.shares: list[int | None] = []

    def answer(self, method: str, path: str, body: bytes, host: str) -> tuple[int, Any]:
        if path == "/metrics":
            return 200, self._metrics(host)
        if self.refuses and (status := self.refuses.pop(0)):
            return status, {"message": "not now"}
        where, _, query = path.partition("?")
        *_, kind, name = where.split("/")
        if name == "pods":
            self.looks += 1
            self.at_look.pop(self.looks, lambda: None)()
            return 200, {
                "items": [pod("digits-canary-predictor-1", CANARY_ADDRESS), pod("digits-predictor-1", STABLE_ADDRESS)]
            }
        key = f"{kind}/{name}"
        if key not in self.objects:
            return 404, {"message": f"{key} not found"}
        if method == "PATCH":
            assert query == f"fieldManager={MANAGER}"
            if not self._patch(key, json.loads(body)):
                return 422, {"message": "the server rejected our request: testing path failed"}
        return 200, self.objects[key]

    def _patch(self, key: str, patch: Any) -> bool:
        if isinstance(patch, dict):
            data = self.objects[key].setdefault("data", {})
            for name, value in patch["data"].items():
                data.pop(name, None) if value is None else data.update({name: value})
            return True
        new = copy.deepcopy(self.objects[key])
        for one in patch:
            *path, last = [int(part) if part.isdecimal() else part for part in one["path"].split("/")[1:]]
            place = new
            for part in path:
                place = place[part]
            if one["op"] == "test" and place[last] != one["value"]:
                return False
            if one["op"] == "replace":
                place[last] = one["value"]
            if one["op"] == "remove":
                del place[last]
        self.objects[key] = new
        canary = new["spec"].get("canary")
        self.shares.append(canary[0]["trafficPercent"] if canary else None)
        self.objects["deployments/digits-predictor"] = deployment(new["spec"]["predictor"]["model"]["storageUri"])
        return True

    def _metrics(self, host: str) -> str:
        counted = self.counted[host]
        failed = self.traffic * self.failures // 100 if host == CANARY_ADDRESS else 0
        counted[0] += self.traffic - failed
        counted[1] += failed
        labels = 'service="digits",protocol="v1"'
        lines = [
            f'modelport_requests_total{{{labels},outcome="200"}} {counted[0]}',
            f'modelport_requests_total{{{labels},outcome="502"}} {counted[1]}',
            f'modelport_request_seconds_bucket{{{labels},le="0.1"}} {sum(counted)}',
            f'modelport_request_seconds_bucket{{{labels},le="+Inf"}} {sum(counted)}',
            'modelport_requests_total{service="other",protocol="v1",outcome="502"} 1000000',
            'modelport_golden_drift{model="mnist"} 0.01',
        ]
        return "\n".join([*lines, ""])


def service(percent: int, stable: str = OLD, canary: str = NEW) -> dict[str, Any]:
    one = {"trafficPercent": percent, "predictor": {"name": "canary", "model": {"storageUri": canary}}}
    return {"spec": {"predictor": {"model": {"storageUri": stable}}, "canary": [one]}}


def without_canary(address: str) -> dict[str, Any]:
    return {"spec": {"predictor": {"model": {"storageUri": address}}}}


def deployment(address: str) -> dict[str, Any]:
    numbers = dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), 3)
    template = {"spec": {"initContainers": [{"name": "storage-initializer", "args": [address, "/mnt/models"]}]}}
    status = {"observedGeneration": 7, **numbers}
    return {"metadata": {"generation": 7}, "spec": {"replicas": 3, "template": template}, "status": status}


def pod(name: str, address: str) -> dict[str, Any]:
    status = {"conditions": [{"type": "Ready", "status": "True"}], "podIP": address, "containerStatuses": []}
    return {"metadata": {"uid": name, "ownerReferences": [{"name": name}]}, "status": status}


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    found = Cluster()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            host = self.headers["host"].partition(":")[0]
            status, answer = found.answer(self.command, self.path, body, host)
            content = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_PATCH = do_GET  # noqa: N815 (the server's name)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    monkeypatch.setattr(shares, "SETTLE_S", 0)
    monkeypatch.setattr(rollout, "POLL_S", 0)
    (tmp_path / "namespace").write_text("modelport\n")
    with ThreadingHTTPServer(("", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        api = Api(f"http://127.0.0.1:{server.server_port}", tmp_path)
        yield found, Rollout(api, "digits", STEPS, 0.0, "canary-judge", server.server_port)
        server.shutdown()


def log(cluster: Cluster) -> list[str]:
    return [line.split(" ")[1] for line in cluster.objects[STATE]["data"]["log"].splitlines()]


def test_a_good_release_is_promoted_step_by_step(cluster):
    found, judge = cluster
    assert judge.run() == PROMOTED
    assert found.shares == [50, 50, 0, None]  # the stable predictor gets the release before the canary loses its share
    assert found.objects[SERVICE] == without_canary(NEW)
    assert [what for what in log(found) if what != "hold:"] == ["canary:", "promote:", "ended:"]


def test_a_failing_release_is_reverted(cluster):
    found, judge = cluster
    found.failures = 10
    assert judge.run() == REVERTED
    assert found.shares == [0, None]
    assert found.objects[SERVICE] == without_canary(OLD)
    assert "revert:" in log(found)


def test_silence_moves_nothing_and_whoever_changes_the_share_has_the_last_word(cluster):
    found, judge = cluster
    found.traffic = 0
    found.at_look[30] = lambda: found.objects.update({SERVICE: service(33)})
    assert judge.run() == TAKEN_OVER
    assert (found.shares, found.objects[SERVICE]) == ([], service(33))
    assert log(found) == ["hold:", "somebody"]


def test_a_change_between_the_look_and_the_patch_stays(cluster, monkeypatch):
    found, judge = cluster
    patch = Api.patch

    def late(api: Api, group: str, kind: str, name: str, change: Any) -> None:
        if kind == "inferenceservices":
            found.objects[SERVICE] = service(33)
        patch(api, group, kind, name, change)

    monkeypatch.setattr(Api, "patch", late)
    assert judge.run() == TAKEN_OVER
    assert found.objects[SERVICE] == service(33)


def test_a_judge_that_is_killed_leaves_the_share_and_goes_on_with_its_counts(cluster):
    found, judge = cluster
    found.traffic = 20  # too few to decide

    def kill() -> None:
        found.refuses = [403]  # from here on, this judge sees nothing

    found.at_look[10] = kill
    with pytest.raises(ApiError):
        judge.run()
    assert (found.shares, found.objects[SERVICE]) == ([], service(25))
    before = Step.from_json(found.objects[STATE]["data"]["step"])
    assert before is not None
    assert 20 <= before.canary.total == before.stable.total < 200  # since the stable side's speed was known
    found.traffic, found.refuses = 0, []
    found.at_look[15] = lambda: found.objects.update({SERVICE: service(33)})
    assert judge.run() == TAKEN_OVER
    after = Step.from_json(found.objects[STATE]["data"]["step"])
    assert after is not None
    assert (after.releases, after.percent, after.slow_s) == (before.releases, 25, before.slow_s)
    assert after.canary.total in (before.canary.total, before.canary.total + 20)  # the last look before its end


def recorded(folder: Path, number: int, digit: int) -> None:
    """The record of a request and of its copy, which the shadow answered with a digit of its own."""
    sides = [("digits-predictor", "old", 5), ("digits-shadow-predictor-1", "new", digit)]
    lines = []
    for host, release, found in sides:
        ended = Ended("digits", "v1", "200", 0.01)
        exchange = Exchange(f"id-{number}", model="mnist", release=release)
        exchange.predictions = lambda found=found: [{"predicted_digit": found, "confidence": 0.9}]
        lines.append(render(exchange, ended, Origin(host, "modelport"), -1))
    file = folder / "digits" / "2026-11-26" / f"10-{number:04}.jsonl"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"".join(lines))


def test_a_release_whose_answers_differed_when_it_was_a_shadow_is_reverted(cluster, tmp_path):
    found, judge = cluster
    judge.record = str(tmp_path / "record")
    for number in range(60):
        recorded(tmp_path / "record", number, 3 if number % 2 else 5)
    assert judge.run() == REVERTED
    assert found.objects[SERVICE] == without_canary(OLD)
    assert "shadow pairs: 30 of 60" in found.objects[STATE]["data"]["log"]


def test_a_release_is_held_until_the_record_has_its_answers(cluster, tmp_path):
    found, judge = cluster
    judge.record = str(tmp_path / "record")

    def fill() -> None:
        for number in range(60):
            recorded(tmp_path / "record", number, 5)

    found.at_look[10] = lambda: (tmp_path / "record").mkdir()
    found.at_look[20] = fill
    assert judge.run() == PROMOTED
    assert found.shares == [50, 50, 0, None]
    told = found.objects[STATE]["data"]["log"]
    assert "the record cannot be read: " in told
    assert "the record has no answers of new as a shadow of old: " in told
    assert "shadow pairs: 0 of 60" in told


def test_a_failing_release_is_reverted_without_a_record(cluster, tmp_path):
    found, judge = cluster
    judge.record, found.failures = str(tmp_path / "record"), 10
    assert judge.run() == REVERTED
    assert found.shares == [0, None]


@pytest.mark.parametrize(
    ("there", "reason"),
    [
        pytest.param(
            {"spec": {"predictor": {"canaryTrafficPercent": 10, "model": {"storageUri": NEW}}}},
            "canaryTrafficPercent no judge moves",
            id="a canary of Knative",
        ),
        pytest.param(
            {**without_canary(OLD), "metadata": {"annotations": {"serving.kserve.io/deploymentMode": "Knative"}}},
            "in Knative mode",
            id="Knative mode",
        ),
        pytest.param(
            {"spec": {**service(25)["spec"], "canary": service(25)["spec"]["canary"] * 2}}, "several", id="two canaries"
        ),
        pytest.param(without_canary(OLD), "has no canary in Standard mode", id="no canary"),
    ],
)
def test_what_no_judge_moves_is_refused(there, reason, cluster, capsys):
    found, judge = cluster
    found.objects[SERVICE] = there
    assert judge.run() == NO_CANARY
    assert reason in capsys.readouterr().out
    assert reason in found.objects[STATE]["data"]["log"]
    assert (found.shares, found.objects[SERVICE]) == ([], there)


@pytest.mark.parametrize(
    ("there", "ending", "outcome", "left", "made"),
    [
        pytest.param(service(50, NEW), None, PROMOTED, NEW, [0, None], id="the stable predictor had the release"),
        pytest.param(service(0, NEW), None, PROMOTED, NEW, [None], id="the canary had lost its share"),
        pytest.param(service(0), None, REVERTED, OLD, [None], id="reverted, and the canary was still there"),
        pytest.param(without_canary(NEW), "0", PROMOTED, NEW, [], id="all was done"),
        pytest.param(without_canary(OLD), "3", REVERTED, OLD, [], id="all was done, reverted"),
        pytest.param(without_canary(OLD), None, NO_CANARY, OLD, [], id="there never was a canary"),
    ],
)
def test_a_judge_that_was_killed_while_it_ended_a_rollout_ends_it(
    there: dict[str, Any], ending: str | None, outcome: int, left: str, made: list[int | None],
    cluster: tuple[Cluster, Rollout],
) -> None:  # fmt: skip
    found, judge = cluster
    found.objects[SERVICE] = there
    found.objects["deployments/digits-predictor"] = deployment(there["spec"]["predictor"]["model"]["storageUri"])
    if ending:
        found.objects[STATE] = {"data": {"ending": ending}}
    assert judge.run() == outcome
    assert found.objects[SERVICE] == without_canary(left)
    assert found.shares == made


def test_an_api_server_that_does_not_answer_is_asked_again(cluster):
    found, judge = cluster
    found.refuses = [500, 429, 0, 503] + [0, 0, 500] * 5
    assert judge.run() == PROMOTED
    assert found.shares == [50, 50, 0, None]


def test_an_api_server_that_refuses_ends_the_judge(cluster):
    found, judge = cluster
    found.refuses = [403]
    with pytest.raises(ApiError, match="GET inferenceservices digits: 403: not now"):
        judge.run()
    assert found.shares == []
