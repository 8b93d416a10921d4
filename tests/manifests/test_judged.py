"""A deploy beside a judge that moves a canary's share in the cluster."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from kserve_transformers.judging.api import MANAGER
from modelport.manifests.deploying import PART_OF, checked
from modelport.manifests.judged import JUDGED, judged, refusals
from modelport.manifests.rendering import MANIFESTS, render


def service(name: str = "digits", stable: str = "old", percent: int | None = 25) -> dict[str, Any]:
    spec: dict[str, Any] = {"predictor": {"model": {"storageUri": f"s3://models/{name}/{stable}"}}}
    if percent is not None:
        predictor = {"name": "canary", "model": {"storageUri": f"s3://models/{name}/new"}}
        spec["canary"] = [{"trafficPercent": percent, "predictor": predictor}]
    return {"kind": "InferenceService", "metadata": {"name": name}, "spec": spec}


def job(active: int | None, name: str = "digits") -> dict[str, Any]:
    return {"metadata": {"name": "canary-judge", "labels": {JUDGED: name}}, "status": {"active": active}}


@pytest.mark.parametrize(
    ("declared", "jobs", "refused"),
    [
        pytest.param(service(percent=1), [job(1)], True, id="another share"),
        pytest.param(service(percent=None), [job(1)], True, id="no canary"),
        pytest.param(service(stable="new"), [job(1)], True, id="another stable release"),
        pytest.param(service(), [job(1)], False, id="what the judge has done"),
        pytest.param(service("cars", percent=1), [job(1)], False, id="another service"),
        pytest.param(service(percent=1), [job(1, "cars")], False, id="a judge of another service"),
        pytest.param(service(percent=1), [job(None)], False, id="the judge has ended"),
        pytest.param(service(percent=1), [], False, id="no judge"),
    ],
)
def test_a_deploy_waits_for_a_judge_at_work(declared, jobs, refused):
    told = list(refusals([declared], {"digits": service(), "cars": service("cars")}, jobs))
    assert bool(told) == refused
    if refused:
        assert told[0].startswith("a judge rolls out s3://models/digits/new, which has 25 % of digits now")
        assert "`modelport promote digits` or `modelport rollback digits`" in told[0]


def test_a_judge_is_deployed_only_where_there_is_something_to_judge():
    judge = {"kind": "Job", **job(None)}
    knative = {**service(percent=None), "status": {"deploymentMode": "Knative"}}
    assert list(refusals([judge], {"digits": service()}, [])) == []
    for present, reason in (
        ({"digits": knative}, "digits is served in Knative mode, whose canaryTrafficPercent no judge moves"),
        ({"digits": service(percent=None)}, "digits has no canary in Standard mode: `modelport canary`"),
        ({}, "digits has no canary"),
    ):
        (told,) = refusals([judge], present, [])
        assert told.startswith(f"there is nothing to judge: {reason}")


def test_fields_that_a_judge_manages_are_told_apart():
    there = service()
    assert not judged(there)
    there["metadata"]["managedFields"] = [{"manager": "kubectl"}]
    assert not judged(there)
    there["metadata"]["managedFields"].append({"manager": MANAGER, "operation": "Update"})
    assert judged(there)


def test_the_job_may_change_the_service_that_its_settings_name_and_no_other(tmp_path):
    manifests = Path(shutil.copytree(MANIFESTS, tmp_path / "manifests"))
    settings = manifests / "overlays" / "canary-judge" / "settings.yaml"
    settings.write_text(re.sub(r"(?m)^  service: .*$", "  service: digits", settings.read_text()))
    found = {one["kind"]: one for one in render("canary-judge", manifests)}
    rules = {rule["resources"][0]: (rule.get("resourceNames"), rule["verbs"]) for rule in found["Role"]["rules"]}
    assert rules == {
        "inferenceservices": (["digits"], ["get", "patch"]),
        "httproutes": (["digits", "digits-predictor"], ["get"]),
        "deployments": (["digits-predictor"], ["get"]),
        "configmaps": (["canary-judge"], ["get", "patch"]),
        "pods": (None, ["list"]),
    }
    assert found["Job"]["metadata"]["labels"][JUDGED] == "digits"
    selected = found["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"]
    assert selected == {"serving.kserve.io/inferenceservice": "digits"}


@pytest.mark.parametrize(
    ("overlay", "part"),
    [
        pytest.param("batch", "modelport-batch", id="a job"),
        pytest.param("canary-judge", "modelport-canary-judge", id="the judge"),
        pytest.param("storage-pvc", "modelport", id="services"),
    ],
)
def test_an_overlay_that_stands_beside_another_one_is_not_pruned_by_it(overlay, part, rendered, monkeypatch):
    monkeypatch.setattr("modelport.manifests.deploying.render", rendered)
    monkeypatch.setattr("modelport.manifests.deploying.placeholders", lambda _: [])
    assert {one["metadata"]["labels"][PART_OF] for one in checked(overlay)} == {part}
