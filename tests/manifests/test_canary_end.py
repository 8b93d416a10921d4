"""A canary loses its traffic before it loses its pods."""

from typing import Any

import pytest

from kserve_transformers.judging.shares import leads_to_canary
from modelport.manifests.canary_end import without_share


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
