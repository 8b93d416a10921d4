"""Where callers reach the services of the project's own overlays."""

from typing import Any

import pytest

from modelport.cluster import entries
from modelport.cluster.relocation import Fit, relocate
from modelport.manifests.rendering import render
from modelport.services import load

SERVICES = tuple(load())


def moved(overlay: str) -> list[dict[str, Any]]:
    return relocate(render(overlay), Fit("test-1"), SERVICES)


def test_a_gateway_comes_before_the_service_of_our_own():
    first, second = entries.entries(moved("gateway"), "digits", "test-1")
    assert (first.kind, first.grpc_url) == (entries.GATEWAY, entries.GATEWAY)
    assert first.headers == {"x-modelport-service": "digits"}  # which a gRPC call needs
    assert second.url == "http://digits-http.test-1.svc.cluster.local:80"
    assert second.grpc_url == "http://digits-http.test-1.svc.cluster.local:8081"


def test_callers_come_by_an_ingress_where_there_is_one():
    assert [one.kind for one in entries.entries(moved("ingress"), "digits", "test-1")] == [
        entries.INGRESS,
        entries.SERVICE,
    ]


@pytest.mark.parametrize("overlay", ["standard-hpa", "canary-standard"])
def test_without_any_of_ours_there_is_kserves_service(overlay):
    (only,) = entries.entries(moved(overlay), "digits", "test-1")
    assert (only.kind, only.url) == (entries.KSERVE, "http://digits-predictor.test-1.svc.cluster.local")


def test_the_declared_services_and_their_lighter_pods():
    specs = entries.services(moved("fallback"))
    assert set(specs) == {*SERVICES, "classifier-light"}
    assert specs["classifier-light"].name == "classifier"
    assert specs["classifier"].models == load()["classifier"].models[:1]
    assert specs["classifier-light"].models == load()["classifier"].models[1:]


def test_modes():
    assert entries.mode(moved("local")) == "Standard"
    assert entries.mode(moved("knative")) == "Knative"
