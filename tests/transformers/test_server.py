"""The server's process, without a Triton behind it: honest about it, closed where it must be, and gone in time."""

import signal
from pathlib import Path

import grpc
import orjson
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from transformer import serving
from tritonclient.grpc import service_pb2, service_pb2_grpc
from waiting import wait_for

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def cars(free_ports, tmp_path_factory):
    """A server that hosts one service alone."""
    with serving(tmp_path_factory.mktemp("cars") / "log", free_ports(2), "--service=cars=classification/cars:cars") as (
        _,
        client,
    ):
        yield client


def test_live_is_not_ready(cars):
    def reason():
        response = cars.get("/v2/health/ready")
        assert response.status_code == 503
        return response.json()["services"]["cars"]["reason"]

    wait_for(lambda: reason() != "cars: has not been probed yet")
    assert reason() == "cars: does not answer in Triton"


@pytest.mark.parametrize("path", ["/predict", "/cars/predict"])
def test_one_service_alone_has_its_routes_at_the_root_too(cars, path):
    response = cars.post(path, files={"file": b"GIF89a"})
    assert response.status_code in (400, 503)
    assert cars.get(path.replace("predict", "health")).json() == {"status": "unhealthy"}


@pytest.mark.parametrize("path", ["/detector/api/", "/v1/models/digits:predict", "/v2/models/digits/infer"])
@pytest.mark.parametrize("slash", ["", "/"])
def test_services_that_are_not_hosted_are_not_there(cars, path, slash):
    assert cars.post(path.rstrip("/") + slash, json={"instances": ["AAAA"]}).status_code == 404


def test_browsers_get_the_page_of_what_is_hosted_and_others_json(cars):
    for path in ("/", "/cars/"):
        assert '"name":"cars"' in cars.get(path, headers={"accept": "text/html"}).text.replace("&quot;", '"')
        assert cars.get(path).json()["service"] == "cars"
    assert cars.get("/").json() == {"status": "alive", "service": "cars", "post": "/predict"}
    assert cars.get("/cars/page/app.js").headers["content-type"].startswith("text/javascript")


def test_requests_keep_their_id_and_get_one(cars):
    assert cars.post("/predict", headers={"x-request-id": "abc"}).headers["x-request-id"] == "abc"
    made_up = cars.post("/predict", headers={"x-request-id": "a b\tc"}).headers["x-request-id"]
    assert len(made_up) == 32


def test_only_origins_that_the_operator_names_may_call_from_a_browser(cars):
    ask = {"access-control-request-method": "POST"}
    named = cars.options("/predict", headers={"origin": "https://a.example", **ask})
    other = cars.options("/predict", headers={"origin": "https://b.example", **ask})
    assert named.headers["access-control-allow-origin"] == "https://a.example"
    assert "access-control-allow-origin" not in other.headers


def test_without_a_page_browsers_get_the_message_of_an_older_projects_root(free_ports, tmp_path):
    with serving(tmp_path / "log", free_ports(2), "--service=digits=digits:mnist", "--no_page") as (_, client):
        alive = {"status": "alive", "message": "MNIST Classification API", "service": "digits", "post": "/predict"}
        assert client.get("/", headers={"accept": "text/html"}).json() == client.get("/").json() == alive
        assert client.get("/digits").json()["message"] == "MNIST Classification API"
        assert client.get("/page/app.js").status_code == 404


@pytest.fixture
def grpc_channel(cars):
    with grpc.insecure_channel(f"127.0.0.1:{cars.base_url.port + 1}") as channel:
        grpc.channel_ready_future(channel).result(60)
        yield channel


def test_grpc_health_is_that_of_rest(cars, grpc_channel):
    stub = health_pb2_grpc.HealthStub(grpc_channel)
    for name in ("", "cars"):
        status = stub.Check(health_pb2.HealthCheckRequest(service=name)).status
        assert status == health_pb2.HealthCheckResponse.NOT_SERVING


def test_grpc_tells_of_versions_without_a_model(grpc_channel):
    stub = service_pb2_grpc.GRPCInferenceServiceStub(grpc_channel)
    assert stub.ModelReady(service_pb2.ModelReadyRequest(name="cars", version="1")).ready is False
    assert stub.ModelConfig(service_pb2.ModelConfigRequest(name="cars")).config.input[0].name == "image"
    for ask in (stub.ModelReady, stub.ModelMetadata, stub.ModelConfig):
        request = {stub.ModelReady: "ModelReadyRequest", stub.ModelMetadata: "ModelMetadataRequest"}
        kind = getattr(service_pb2, request.get(ask, "ModelConfigRequest"))
        with pytest.raises(grpc.RpcError) as raised:
            ask(kind(name="cars", version="9"))
        assert raised.value.code() is grpc.StatusCode.NOT_FOUND


def test_the_version_is_the_projects(cars):
    (project,) = [line for line in (ROOT / "pyproject.toml").read_text().splitlines() if line.startswith("version = ")]
    assert cars.get("/v2").json()["version"] == project.partition('"')[2].rstrip('"')


def test_callers_cannot_make_up_metric_labels(cars):
    cars.post("/v1/models/made-up-name:predict", json={})
    metrics = cars.get("/metrics").text
    assert "made-up-name" not in metrics
    assert 'modelport_model_ready{model="cars"} 0.0' in metrics


def test_sigterm_says_not_ready_goes_on_serving_and_exits_zero(free_ports, tmp_path):
    with serving(
        tmp_path / "log", free_ports(2), "--service=digits=digits:mnist", "--log_requests", "--drain_s=60"
    ) as (process, client):
        process.send_signal(signal.SIGTERM)
        wait_for(lambda: "SIGTERM: not ready any more" in (tmp_path / "log").read_text())
        assert client.get("/v2/health/live").status_code == 200
        assert client.get("/v2/health/ready").status_code == 503
        client.post("/predict", headers={"x-request-id": "last"})
        process.send_signal(signal.SIGTERM)  # asked twice: at once
        assert process.wait(300) == 0
    lines = [orjson.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [line["id"] for line in lines if line["message"] == "request"] == ["last"]
    assert not [line for line in lines if line["level"] == "ERROR"]
