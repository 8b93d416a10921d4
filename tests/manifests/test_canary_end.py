"""A canary loses its traffic before it loses its pods."""

from typing import Any

import pytest

from kserve_transformers.judging.shares import leads_to_canary
from modelport.manifests.canary_end import without_share
from modelport.manifests.findings import at

ADDRESS = "spec.predictor.model.storageUri"


def service(release: str, percent: int | None = None, canary: str = "next") -> dict[str, Any]:
    spec: dict[str, Any] = {"predictor": {"model": {"storageUri": f"s3://models/digits/{release}"}}}
    if percent is not None:
        predictor = {"name": "canary", "model": {"storageUri": f"s3://models/digits/{canary}"}}
        spec["canary"] = [{"trafficPercent": percent, "predictor": predictor}]
    return {"kind": "InferenceService", "metadata": {"name": "digits", "namespace": "modelport"}, "spec": spec}


@pytest.mark.parametrize(
    ("release", "percent"),
    [
        pytest.param("initial", 30, id="it is given up"),
        pytest.param("next", 30, id="promoted"),
        pytest.param("initial", 0, id="a judge took its share and was ended"),
    ],
)
def test_the_canary_stays_without_a_share_beside_the_stable_release_that_is_there(release, percent):
    declared, there = service(release), service("initial", percent)
    (step,) = without_share([declared], {"digits": there})
    assert step == service("initial", 0)
    assert declared == service(release)
    assert there == service("initial", percent)


@pytest.mark.parametrize(
    ("declared", "there"),
    [
        pytest.param(service("initial"), None, id="nothing is there"),
        pytest.param(service("initial"), service("initial"), id="no canary is there"),
        pytest.param(service("initial", 50), service("initial", 30), id="it gets another share"),
    ],
)
def test_otherwise_there_is_no_step_between(declared, there):
    assert without_share([declared], {"digits": there} if there else {}) == []


def knative(
    release: str, percent: int | None = None, created: str = "2", ready: str = "2", stable: str = "1"
) -> dict[str, Any]:
    found = service(release)
    if percent is not None:
        found["spec"]["predictor"]["canaryTrafficPercent"] = percent
    revisions = {"latestCreatedRevision": created, "latestReadyRevision": ready, "latestRolledoutRevision": stable}
    return {**found, "status": {"components": {"predictor": revisions}}}


@pytest.mark.parametrize(
    ("declared", "there", "steps"),
    [
        pytest.param(service("initial"), knative("next", 30), True, id="it is given up"),
        pytest.param(service("initial"), knative("next", 0), True, id="it was ready without a share"),
        pytest.param(service("initial"), knative("initial", 0, created="3"), True, id="a deploy was interrupted"),
        pytest.param(service("another"), knative("next", 30), True, id="another release follows"),
        pytest.param(service("next"), knative("next", 30), False, id="it is promoted"),
        pytest.param(service("next"), knative("next", 30, ready="1"), False, id="it is promoted before it is ready"),
        pytest.param(service("initial"), knative("next", 30, ready="1"), False, id="it was never ready"),
        pytest.param(knative("another", 30), knative("next", 30), False, id="another canary follows"),
        pytest.param(service("next"), knative("initial", stable="2"), False, id="there is none"),
    ],
)
def test_in_knative_mode_the_stable_release_is_ready_before_a_canary_ends(declared, there, steps):
    """KServe gives all traffic to the newest ready revision where no share is declared: the canary's."""
    found = without_share([declared], {"digits": there})
    assert [one["spec"]["predictor"].get("canaryTrafficPercent") for one in found] == [0] * steps
    assert [at(one, ADDRESS) for one in found] == [at(declared, ADDRESS)] * steps


def route(*weights: tuple[str, int | None], generation: int = 4, observed: int = 4) -> dict[str, Any]:
    backends = [{"name": name} | ({} if weight is None else {"weight": weight}) for name, weight in weights]
    conditions = [{"type": "Accepted", "status": "True", "observedGeneration": observed}]
    return {
        "metadata": {"name": "digits", "generation": generation},
        "spec": {"rules": [{"backendRefs": [{"name": "digits-predictor", "weight": 70}]}, {"backendRefs": backends}]},
        "status": {"parents": [{"conditions": conditions}]},
    }


@pytest.mark.parametrize(
    ("given", "leads"),
    [
        (route(("digits-canary-predictor", 30)), True),
        (route(("digits-canary-predictor", None)), True),
        (route(("digits-canary-predictor", 0)), False),
        (route(("digits-predictor", 100)), False),
        (route(("digits-canary-predictor", 0), observed=3), True),
        ({}, False),
    ],
)
def test_a_route_leads_to_a_canary_until_the_gateway_has_accepted_that_it_does_not(given, leads):
    assert leads_to_canary(given) == leads
