"""V1 and V2 by REST and gRPC against the real stack: one meaning, whatever way a request comes."""

import base64
import json
import shutil
import subprocess

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http
from cloudevents.conversion import to_binary, to_structured
from cloudevents.http import CloudEvent, from_http
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from PIL import Image
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException

from kserve_transformers import __version__
from kserve_transformers.tasks import TASKS

SERVICES = ("detector", "classifier", "cars", "digits", "anomaly")
DIGIT = TASKS["digits"].example_instance()
MISSING = {"http": "404", "grpc": str(grpc.StatusCode.NOT_FOUND)}
LATE = {"http": "504", "grpc": str(grpc.StatusCode.DEADLINE_EXCEEDED)}
REFUSED = {"http": "400", "grpc": str(grpc.StatusCode.INVALID_ARGUMENT)}


def image_input(module, *images):
    tensor = module.InferInput("image", [len(images)], "BYTES")
    tensor.set_data_from_numpy(np.array(images, object))
    return tensor


@pytest.fixture(params=["http", "grpc"])
def triton(request, stack):
    """Triton's own client: its module, a client of the transformer server, and the protocol's name."""
    module = {"http": triton_http, "grpc": triton_grpc}[request.param]
    address = {"http": stack.http.removeprefix("http://"), "grpc": stack.grpc}[request.param]
    with module.InferenceServerClient(address) as client:
        yield module, client, request.param


@pytest.fixture
def channel(stack):
    with grpc.insecure_channel(stack.grpc) as channel:
        yield channel


def b64(data):
    return base64.b64encode(data).decode()


def v2_json(image, **more):
    return {"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": [b64(image)]}], **more}


JPEG = {"content-type": "image/jpeg"}
OWN, V1, V2 = "/detector/api/", "/v1/models/detector:predict", "/v2/models/detector/infer"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        pytest.param(OWN, lambda i, o: {"files": {"file": i}, "data": o}, id="field of a form"),
        pytest.param(OWN, lambda i, o: {"json": {"image": b64(i), **o}}, id="beside the image"),
        pytest.param(OWN, lambda i, o: {"json": {"image": b64(i)}, "params": o}, id="query of the legacy route"),
        pytest.param(OWN, lambda i, o: {"files": {"file": i}, "params": o}, id="query beside a form"),
        pytest.param(V1, lambda i, o: {"json": {"instances": [b64(i)], "parameters": o}}, id="V1"),
        pytest.param(V1, lambda i, o: {"content": i, "headers": JPEG, "params": o}, id="query of V1"),
        pytest.param(V2, lambda i, o: {"json": v2_json(i, parameters=o)}, id="V2"),
        pytest.param(V2, lambda i, o: {"json": v2_json(i), "params": o}, id="query of V2"),
    ],
)
def test_an_option_is_honoured_or_refused_wherever_it_stands(client, coffee, path, body):
    def labels(options):
        response = client.post(path, **body(coffee, options))
        return response.status_code, response.text.count('"cup"') + response.text.count("no parameter 'treshold'")

    assert labels({}) == (200, 1)
    assert labels({"score_threshold": 0.99}) == (200, 0)
    assert labels({"treshold": 0.99}) == (400, 1)


def test_an_option_over_grpc(stack, coffee):
    with triton_grpc.InferenceServerClient(stack.grpc) as client:
        inputs = [image_input(triton_grpc, coffee)]
        assert client.infer("detector", inputs).as_numpy("label").tolist() == [b"cup"]
        assert len(client.infer("detector", inputs, parameters={"score_threshold": 0.99}).as_numpy("label")) == 0
        with pytest.raises(InferenceServerException, match="no parameter 'treshold'"):
            client.infer("detector", inputs, parameters={"treshold": 0.99})


def test_an_option_given_in_two_places(client, coffee):
    twice = {"files": {"file": coffee}, "data": {"score_threshold": 0.5}, "params": {"score_threshold": 0.5}}
    assert client.post(OWN, **twice).json() == {"error": "score_threshold is given twice: in the query and in the body"}


@pytest.mark.parametrize("options", [{"json": {"reconstruction": True}}, {"params": {"reconstruction": "true"}}])
def test_options_of_the_legacy_route_of_windows(client, options):
    document = {"data": [TASKS["anomaly"].example_instance()], **options.pop("json", {})}
    (prediction,) = client.post("/anomaly/predict", json=document, **options).json()["predictions"]
    assert len(prediction["reconstruction"]) == len(document["data"][0])


@pytest.mark.parametrize("version", ["", "1"])
def test_the_version_that_the_metadata_names(triton, version):
    module, client, _ = triton
    assert client.is_model_ready("digits", version)
    answer = client.infer("digits", [image_input(module, DIGIT)], model_version=version)
    assert answer.as_numpy("digit").tolist() == [5]
    client.get_model_config("digits", version)


@pytest.mark.parametrize("version", ["7", "9"])
def test_other_versions_are_not_there(triton, version):
    module, client, protocol = triton
    asks = [
        lambda: client.get_model_metadata("digits", version),
        lambda: client.get_model_config("digits", version),
        lambda: client.infer("digits", [image_input(module, DIGIT)], model_version=version),
    ]
    if protocol == "grpc":  # the other client makes false of every error
        asks.append(lambda: client.is_model_ready("digits", version))
    else:
        assert not client.is_model_ready("digits", version)
    for ask in asks:
        with pytest.raises(InferenceServerException, match=f"no version '{version}'") as raised:
            ask()
        assert raised.value.status() == MISSING[protocol]


def test_both_protocols_tell_the_same_of_the_server_and_its_services(stack):
    with (
        triton_http.InferenceServerClient(stack.http.removeprefix("http://")) as rest,
        triton_grpc.InferenceServerClient(stack.grpc) as other,
    ):
        server = rest.get_server_metadata()
        assert server == other.get_server_metadata(as_json=True)
        assert (server["name"], server["version"]) == ("modelport", __version__)
        for service in SERVICES:
            metadata = rest.get_model_metadata(service)
            del metadata["parameters"]  # V2 over gRPC has no place for it
            for tensor in (*metadata["inputs"], *metadata["outputs"]):
                tensor["shape"] = [str(side) for side in tensor["shape"]]  # as protobuf's JSON has them
            assert metadata == other.get_model_metadata(service, as_json=True)
            config, theirs = rest.get_model_config(service), other.get_model_config(service).config
            assert (config["name"], config["max_batch_size"]) == (theirs.name, theirs.max_batch_size)
            for ours, their in ((config["input"], theirs.input), (config["output"], theirs.output)):
                assert [(one["name"], one["dims"]) for one in ours] == [(one.name, list(one.dims)) for one in their]


@pytest.mark.parametrize(
    "own",
    [
        {"priority": 3},
        {"timeout": 20_000_000},
        {"sequence_id": 5, "sequence_start": True, "sequence_end": True},
        {"sequence_id": "five"},
    ],
    ids=lambda own: next(iter(own)),
)
def test_parameters_of_tritons_clients(triton, own):
    module, client, _ = triton
    assert client.infer("digits", [image_input(module, DIGIT)], **own).as_numpy("digit").tolist() == [5]


def test_the_timeout_is_the_deadline(triton):
    module, client, protocol = triton
    with pytest.raises(InferenceServerException, match="deadline passed") as raised:
        client.infer("digits", [image_input(module, DIGIT)], timeout=1)
    assert raised.value.status() == LATE[protocol]


def test_classification_is_refused_by_name(triton):
    module, client, protocol = triton
    wanted = [module.InferRequestedOutput("digit", class_count=2)]
    with pytest.raises(InferenceServerException, match="'classification'") as raised:
        client.infer("digits", [image_input(module, DIGIT)], outputs=wanted)
    assert raised.value.status() == REFUSED[protocol]


@pytest.mark.parametrize("answer", ["gzip", "deflate", None])
@pytest.mark.parametrize("request_", ["gzip", "deflate", None])
def test_codings_of_tritons_client(stack, request_, answer):
    windows = np.array([TASKS["anomaly"].example_instance()] * 8, np.float32)
    tensor = triton_http.InferInput("window", list(windows.shape), "FP32")
    tensor.set_data_from_numpy(windows)
    with triton_http.InferenceServerClient(stack.http.removeprefix("http://")) as client:
        result = client.infer(
            "anomaly",
            [tensor],
            request_compression_algorithm=request_,
            response_compression_algorithm=answer,
            parameters={"reconstruction": True},
        )
    assert result.as_numpy("reconstruction").shape == windows.shape
    assert result.as_numpy("anomaly").tolist() == [bool(result.as_numpy("anomaly")[0])] * 8


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_codings_of_tritons_grpc_client(stack, coding):
    with triton_grpc.InferenceServerClient(stack.grpc) as client:
        result = client.infer("digits", [image_input(triton_grpc, DIGIT)], compression_algorithm=coding)
    assert result.as_numpy("digit").tolist() == [5]


@pytest.mark.parametrize("path", ["/", "/docs/swagger-ui.css", "/openapi.json", "/metrics", "/page/app.js"])
def test_large_answers_are_coded(client, path):
    plain, coded = (
        client.get(path, headers={"accept": "text/html", "accept-encoding": coding}) for coding in ("identity", "gzip")
    )
    assert "content-encoding" not in plain.headers
    assert coded.headers["content-encoding"] == "gzip"
    assert int(coded.headers["content-length"]) < len(plain.content) / 2
    assert path == "/metrics" or coded.content == plain.content


@pytest.mark.parametrize("head", [{}, {"content-type": "application/octet-stream"}, {"content-type": "image/png"}])
def test_a_raw_binary_request(client, head):
    response = client.post(
        "/v2/models/digits/infer", content=DIGIT, headers={"inference-header-content-length": "0"} | head
    )
    length = int(response.headers["inference-header-content-length"])
    result = triton_http.InferenceServerClient.parse_response_body(response.content, header_length=length)
    assert result.as_numpy("digit").tolist() == [5]


@pytest.mark.parametrize("mode", [to_structured, to_binary], ids=lambda mode: mode.__name__)
def test_events(client, mode):
    headers, body = mode(CloudEvent({"type": "a", "source": "b"}, {"instances": [b64(DIGIT)]}))
    response = client.post(
        "/v1/models/digits:predict", content=body, headers={"content-type": "application/json"} | headers
    )
    answer = from_http(response.headers, response.content)
    assert answer.data["predictions"][0]["predicted_digit"] == 5
    assert answer["source"] == "io.kserve.inference.digits"


def test_grpc_answers_carry_what_rests_headers_do(channel):
    stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
    request = service_pb2.ModelInferRequest(model_name="digits")
    request.inputs.add(name="image", datatype="BYTES", shape=[1]).contents.bytes_contents.append(DIGIT)
    _, call = stub.ModelInfer.with_call(request, metadata=(("x-request-id", "seven"),))
    for told in (dict(call.initial_metadata()), dict(call.trailing_metadata())):
        assert told["x-request-id"] == "seven"
        assert {part.split(";")[0].strip() for part in told["server-timing"].split(",")} >= {"decode", "queue", "infer"}
    request.model_name = "boats"
    with pytest.raises(grpc.RpcError) as raised:
        stub.ModelInfer(request, metadata=(("x-request-id", "eight"),))
    assert dict(raised.value.trailing_metadata())["x-request-id"] == "eight"
    assert raised.value.details() == f"no such service here: there are {', '.join(SERVICES)}"


def test_grpc_health(channel):
    stub = health_pb2_grpc.HealthStub(channel)
    for name in ("", "inference.GRPCInferenceService", *SERVICES):
        answer = stub.Check(health_pb2.HealthCheckRequest(service=name))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING, name
    with pytest.raises(grpc.RpcError) as raised:
        stub.Check(health_pb2.HealthCheckRequest(service="boats"))
    assert raised.value.code() is grpc.StatusCode.NOT_FOUND
    for name, status in (("digits", "SERVING"), ("boats", "SERVICE_UNKNOWN")):
        watch = stub.Watch(health_pb2.HealthCheckRequest(service=name))
        assert health_pb2.HealthCheckResponse.ServingStatus.Name(next(watch).status) == status
        watch.cancel()


def test_grpc_reflection(channel):
    database = ProtoReflectionDescriptorDatabase(channel)
    assert {"inference.GRPCInferenceService", "grpc.health.v1.Health"} <= set(database.get_services())
    file = database.FindFileContainingSymbol("inference.GRPCInferenceService")
    assert "ModelInfer" in [method.name for method in file.service[0].method]


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_tritons_image_clients_work_against_our_triton(stack, images, protocol):
    """What NVIDIA's image_client does: the input's format out of the config, and classes out of the output."""
    module = {"http": triton_http, "grpc": triton_grpc}[protocol]
    address = {"http": stack.triton_http, "grpc": stack.triton_grpc}[protocol]
    with module.InferenceServerClient(address.removeprefix("http://")) as client:
        if protocol == "http":
            (tensor,) = client.get_model_config("efficientnet_lite0")["input"]
            assert tensor["format"] == "FORMAT_NHWC"
            size, name = [int(side) for side in tensor["dims"]], tensor["name"]
        else:
            (tensor,) = client.get_model_config("efficientnet_lite0").config.input
            assert tensor.format == tensor.FORMAT_NHWC
            size, name = list(tensor.dims), tensor.name
        image = Image.open(images / "coffee.jpg").convert("RGB").resize((size[1], size[0]))
        batch = np.array(image, np.uint8)[np.newaxis]
        asked = module.InferInput(name, list(batch.shape), "UINT8")
        asked.set_data_from_numpy(batch)
        wanted = module.InferRequestedOutput("probabilities__0", class_count=3)
        result = client.infer("efficientnet_lite0", [asked], outputs=[wanted]).as_numpy("probabilities__0")
    assert result.shape == (1, 3)
    assert result[0, 0].decode().split(":")[2] == "espresso"


@pytest.mark.skipif(
    shutil.which("perf_analyzer") is None, reason="perf_analyzer is not installed: pip install perf-analyzer"
)
@pytest.mark.parametrize("protocol", ["http", "grpc"])
@pytest.mark.parametrize("service", ["digits", "anomaly"])
def test_perf_analyzer(stack, tmp_path, service, protocol):
    image = {"b64": b64(len(DIGIT).to_bytes(4, "little") + DIGIT)}
    (tmp_path / "digits.json").write_text(json.dumps({"data": [{"image": image}]}))
    options = {
        "digits": ["--shape=image:1", f"--input-data={tmp_path / 'digits.json'}"],
        "anomaly": ["-z", "-b", "4"],
    }[service]
    address = {"http": stack.http.removeprefix("http://"), "grpc": stack.grpc}[protocol]
    command = ["perf_analyzer", "-m", service, "-i", protocol, "-u", address, "--request-count=10", *options]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "throughput: " in ran.stdout, ran.stdout + ran.stderr
