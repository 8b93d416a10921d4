"""The OpenAPI document against the server's routes; no model infers."""

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import kserve
import orjson
import pytest
from fastapi import FastAPI
from openapi_spec_validator import validate
from starlette.testclient import TestClient
from tritonclient.http.aio import InferenceServerClient

from kserve_transformers.errors import ServingError
from kserve_transformers.health import Health
from kserve_transformers.openapi.operations import ERRORS, OPERATIONS
from kserve_transformers.sdk.rest import RestServer
from kserve_transformers.server import build_services
from kserve_transformers.settings import Settings, parse_settings
from modelport.services import load


def settings_of(*services: str, options: Sequence[str] = ()) -> Settings:
    """Settings of a server that hosts some of the declared services."""
    declared = load()
    return parse_settings([*(f"--service={declared[name].argument()}" for name in services or declared), *options])


async def app_of(settings: Settings) -> FastAPI:
    """The server's app, with models that were not asked yet."""
    async with InferenceServerClient("127.0.0.1:9") as client:
        server = kserve.ModelServer()
        with ThreadPoolExecutor(1) as threads:
            services = build_services(settings, client, threads)
            rest = RestServer(server, services, Health(services), settings)
            app = FastAPI()
            rest._register_endpoints(app)
            return app


@pytest.mark.filterwarnings("ignore:Duplicate Operation ID")  # FastAPI's own, of GET and HEAD of a route
@pytest.mark.parametrize("services", [tuple(load()), ("digits",), ("anomaly", "detector")], ids="+".join)
async def test_routes_and_document_tell_the_same(services):
    app = await app_of(settings_of(*services))
    with TestClient(app) as client:
        document = client.get("/openapi.json").json()
    validate(document)
    documented = {(path, method) for path, methods in document["paths"].items() for method in methods}
    routes = {
        (path.replace("{service}", service), method)
        for path, methods in app.openapi()["paths"].items()
        for method in methods
        if method != "head"
        for service in services
    }
    assert documented == routes
    ids = [operation["operationId"] for methods in document["paths"].values() for operation in methods.values()]
    assert len(ids) == len(set(ids))


async def test_only_what_is_hosted_is_named():
    app = await app_of(settings_of("digits", options=["--max_body_bytes=12345", "--max_instances=7"]))
    with TestClient(app) as client:
        text = client.get("/openapi.json").text
    for other in set(load()) - {"digits"}:
        assert f"/{other}" not in text
        assert other.capitalize() + "Prediction" not in text
    document = orjson.loads(text)
    assert "body 12345 bytes" in document["info"]["description"]
    v1 = document["paths"]["/v1/models/digits:predict"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert v1["properties"]["instances"]["maxItems"] == 7
    assert {"/predict", "/digits/predict"} <= document["paths"].keys()


@pytest.mark.parametrize("keys", [False, True])
async def test_api_keys_are_told_of_where_they_are_needed(keys, tmp_path):
    (tmp_path / "keys").write_text(f"alice {'0' * 64}\n")
    options = [f"--api_keys={tmp_path / 'keys'}"] if keys else []
    with TestClient(await app_of(settings_of("digits", options=options))) as client:
        document = client.get("/openapi.json").json()
    validate(document)
    for path, methods in document["paths"].items():
        for operation in methods.values():
            needed = keys and path not in ("/v2/health/live", "/v2/health/ready", "/metrics")
            assert ("401" in operation["responses"]) == ("security" in operation) == needed
    assert ("Unauthenticated" in document["components"]["responses"]) == keys


async def test_references_lead_somewhere():
    with TestClient(await app_of(settings_of())) as client:
        text = client.get("/openapi.json").text
    document = orjson.loads(text)
    for reference in set(re.findall(r'"\$ref":"#/([^"]+)"', text)):
        node = document
        for key in reference.split("/"):
            node = node[key]


def test_every_error_has_an_example():
    assert set(ERRORS) == set(ServingError.__subclasses__())


async def test_every_description_is_used():
    used = set()
    for services in ((), ("digits",)):
        with TestClient(await app_of(settings_of(*services))) as client:
            document = client.get("/openapi.json").json()
        for methods in document["paths"].values():
            used |= {operation["operationId"].replace("_root_", "_own_") for operation in methods.values()}
    for key in OPERATIONS:
        assert any(name.endswith(key) for name in used), key


async def test_head_is_answered_and_other_methods_name_the_right_one():
    with TestClient(await app_of(settings_of())) as client:
        predict = client.get("/v1/models/detector:predict")
        assert (predict.status_code, predict.headers["allow"]) == (405, "POST")
        assert client.post("/v1/models/detector:explain", json={}).status_code == 404
        assert client.head("/v2").status_code == 200
        assert client.get("/detector", follow_redirects=False).json()["service"] == "detector"
        assert client.get("/nowhere/", follow_redirects=False).status_code == 404
        refused = client.delete("/v2/health/live")
        assert refused.status_code == 405
        assert set(refused.headers["allow"].split(", ")) == {"GET", "HEAD"}
