"""Traces: the spans of a request, where they are sent, and that no collector disturbs a request."""

import asyncio
import contextlib
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import httpx
import numpy as np
import pytest
from collector import dead_collector, grpc_collector, hanging_collector, http_collector
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, format_span_id, format_trace_id
from transformer import serving
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException, serialize_byte_tensor
from waiting import wait_for

from kserve_transformers import tracing
from kserve_transformers.observe import begin, forwarded_headers
from kserve_transformers.predictor import TritonModel
from kserve_transformers.protocol.requests import ServiceRequest
from kserve_transformers.service import Service
from kserve_transformers.service_spec import ServiceSpec
from kserve_transformers.settings import Limits, parse_settings
from kserve_transformers.tasks import build_task
from kserve_transformers.tracing import Collector

IMAGE = Path(__file__).parents[2] / "model_repository" / "mnist" / "golden" / "images.png"
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
CALLER = {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "vendor=1"}
STEPS = ["decode", "queue", "infer", "attempt", "queue", "infer", "attempt", "postprocess", "v1 digits"]


class Triton:
    """Models of digits: `broken` answers an error to every image that is not black, as the probe's is."""

    def __init__(self) -> None:
        self.headers: list[dict[str, str]] = []

    async def get_model_metadata(self, name: str) -> dict[str, Any]:
        image = {"name": "images", "datatype": "UINT8", "shape": [-1, 28, 28, 1]}
        digits = {"name": "probabilities", "datatype": "FP32", "shape": [-1, 10]}
        return {"versions": ["3"], "inputs": [image], "outputs": [digits]}

    async def get_model_config(self, name: str) -> dict[str, Any]:
        trained = {"weights": {"string_value": "trained"}}
        return {"max_batch_size": 8, "output": [{"name": "probabilities"}], "parameters": trained}

    async def infer(self, name: str, inputs: Any, headers: dict[str, str], **_: Any) -> Any:
        if any(inputs[0]._get_binary_data()):
            self.headers.append(headers)
            if name == "broken":
                raise InferenceServerException("in graph: division by zero")
        answer = np.full((inputs[0].shape()[0], 10), 0.1, np.float32)
        return SimpleNamespace(get_response=lambda: {"model_version": "3"}, as_numpy=lambda _: answer)


@pytest.fixture
def spans():
    """What this process traces within the test."""
    exporter = InMemorySpanExporter()
    tracing.use(SimpleSpanProcessor(exporter))
    yield exporter
    tracing.stop()


async def answer(headers: dict[str, str]) -> Triton:
    """Have an image answered by the second model of a chain, after the first one failed."""
    triton, spec = Triton(), ServiceSpec.parse("digits=digits:broken,mnist")
    models = [TritonModel(triton, name, None, 4) for name in spec.models]  # type: ignore[arg-type]
    with ThreadPoolExecutor(1) as threads:
        service = Service(spec, build_task(spec), models, Limits(), threads)
        watching = [asyncio.create_task(model.watch()) for model in models]
        async with asyncio.timeout(60):
            while not all(model.ready for model in models):  # noqa: ASYNC110
                await asyncio.sleep(0.001)
        begin(headers)
        with tracing.request("v1 digits", headers, {"modelport.protocol": "v1"}):
            work = await service.preprocess(ServiceRequest((IMAGE.read_bytes(),)), {})
            await service.postprocess(await service.predict(work))
        for task in watching:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
    return triton


async def test_a_request_has_a_span_for_each_step(spans):
    triton = await answer(CALLER)
    found = spans.get_finished_spans()
    assert [span.name for span in found] == STEPS
    by_id = {format_span_id(span.context.span_id): span for span in found}
    parents = [span.parent and format_span_id(span.parent.span_id) for span in found]
    assert [by_id[p].name if p in by_id else p for p in parents] == [
        *("v1 digits", "attempt", "attempt", "v1 digits"),
        *("attempt", "attempt", "v1 digits", "v1 digits", PARENT),
    ]
    assert {format_trace_id(span.context.trace_id) for span in found} == {TRACE}
    infers = [span for span in found if span.name == "infer"]
    assert [span.kind for span in infers] == [SpanKind.CLIENT] * 2
    common = {"modelport.version": "3", "modelport.release": "none"}
    assert [dict(span.attributes or {}) for span in infers] == [
        {"modelport.model": name, "modelport.batch_size": 1, **common} for name in ("broken", "mnist")
    ]
    attempts = [span for span in found if span.name == "attempt"]
    assert [(span.attributes or {})["modelport.attempt"] for span in attempts] == [1, 2]
    assert [span.status.is_ok for span in attempts] == [False, True]
    assert "BadAnswerError" in (attempts[0].status.description or "")
    assert dict(found[0].attributes or {}) == {"modelport.instances": 1}
    assert dict(found[-1].attributes or {}) == {
        "modelport.protocol": "v1", "modelport.model": "mnist", "modelport.fallback": True,
    }  # fmt: skip
    for span, headers in zip(infers, triton.headers, strict=True):
        assert headers["traceparent"] == f"00-{TRACE}-{format_span_id(span.context.span_id)}-01"
        assert headers["tracestate"] == "vendor=1"


@pytest.mark.parametrize(
    ("headers", "variables", "expected"),
    [
        pytest.param({}, {}, len(STEPS), id="no context"),
        pytest.param({"traceparent": "rubbish"}, {}, len(STEPS), id="no context that can be read"),
        pytest.param({"traceparent": f"00-{TRACE}-{PARENT}-00"}, {}, 0, id="the caller does not sample"),
        pytest.param({}, {"OTEL_TRACES_SAMPLER": "always_off"}, 0, id="sampler"),
        pytest.param({}, {"OTEL_SDK_DISABLED": "true"}, 0, id="switched off"),
    ],
)
async def test_what_is_not_sampled_is_not_traced(headers, variables, expected, monkeypatch):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    exporter = InMemorySpanExporter()
    tracing.use(SimpleSpanProcessor(exporter))
    try:
        triton = await answer(headers)
    finally:
        tracing.stop()
    found = exporter.get_finished_spans()
    assert len(found) == expected
    assert all(("traceparent" in handed) == bool(expected) for handed in triton.headers)
    assert TRACE not in {format_trace_id(span.context.trace_id) for span in found}


async def test_without_a_collector_the_callers_context_is_handed_on_as_it_came():
    triton = await answer(CALLER)
    assert [handed["traceparent"] for handed in triton.headers] == [CALLER["traceparent"]] * 2
    assert forwarded_headers()["tracestate"] == "vendor=1"


def test_off_nothing_of_the_sdk_is_imported():
    script = "import sys, kserve_transformers.sdk.lean as lean; lean.import_kserve_lean()\n"
    script += "import kserve_transformers.server\n"
    script += "print([m for m in sys.modules if m.startswith(('opentelemetry.sdk', 'opentelemetry.exporter'))])"
    printed = subprocess.run([sys.executable, "-P", "-c", script], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "[]"


@pytest.mark.parametrize(
    ("text", "variables", "url", "http"),
    [
        pytest.param("http://otel:4317", {}, "http://otel:4317", False, id="gRPC"),
        pytest.param("otel:4317", {}, "http://otel:4317", False, id="no scheme"),
        pytest.param("https://otel:443/", {}, "https://otel:443", False, id="gRPC with TLS"),
        pytest.param("http://otel:4318", {}, "http://otel:4318/v1/traces", True, id="HTTP's port"),
        pytest.param("http://[::1]:8000/otlp", {}, "http://[::1]:8000/otlp", True, id="a path"),
        pytest.param("otel:4318", {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "http://otel:4318", False, id="told gRPC"),
        pytest.param(
            "otel:1", {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, "http://otel:1/v1/traces", True, id="told HTTP"
        ),
        pytest.param(
            "otel:1",
            {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf"},
            "http://otel:1/v1/traces",
            True,
            id="told HTTP for traces",
        ),
    ],
)
def test_an_address_says_the_protocol(text, variables, url, http, monkeypatch):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert Collector.parse(text) == Collector(url, http)


@pytest.mark.parametrize(
    "text",
    ["", "otel", "http://otel", "ftp://otel:1", "http://:4317", "http://otel:port", "http://otel:99999", "a:1?b"],
)
def test_what_is_no_address_is_an_error(text, capsys):
    with pytest.raises(SystemExit):
        parse_settings(["--service=digits=digits:mnist", f"--trace={text}"])
    assert "is no address of a collector: write http://HOST:4317" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "value"), [("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"), ("OTEL_BSP_MAX_QUEUE_SIZE", "many")]
)
def test_what_a_variable_must_not_be_is_an_error(name, value):
    command = [sys.executable, "-P", "-m", "kserve_transformers", "--service=digits=digits:mnist", "--trace=a:4317"]
    ended = subprocess.run(command, env={**os.environ, name: value}, capture_output=True, text=True, check=False)
    assert (ended.returncode != 0, name in ended.stderr) == (True, True)


@pytest.mark.parametrize("collector", [grpc_collector, http_collector])
def test_spans_reach_a_collector(collector, free_ports, tmp_path, monkeypatch):
    """Of REST and of gRPC; what is queued when the server ends is sent."""
    monkeypatch.setenv("OTEL_SERVICE_NAME", "mine")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "600000")
    ports = free_ports(2)
    with collector() as (address, received):
        options = ("--service=digits=digits:mnist", f"--trace={address}", "--drain_s=0")
        with serving(tmp_path / "log", ports, *options) as (process, client):
            assert client.post("/predict", content=IMAGE.read_bytes(), headers=CALLER).status_code == 503
            assert client.post("/v1/models/cats:predict", json={}, headers=CALLER).status_code == 404
            with grpc.insecure_channel(f"127.0.0.1:{ports[1]}") as channel:
                stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
                request = service_pb2.ModelInferRequest(model_name="digits")
                request.inputs.add(name="image", datatype="BYTES", shape=[1])
                request.raw_input_contents.append(serialize_byte_tensor(np.array([IMAGE.read_bytes()], object)).item())
                with pytest.raises(grpc.RpcError):
                    stub.ModelInfer(request, metadata=tuple(CALLER.items()))
            process.terminate()
            process.wait(300)
        wait_for(lambda: len(received) >= 5, tmp_path / "log")
    servers = {span.name: span for span in received if span.parent == PARENT}
    assert {(span.service, span.trace) for span in received} == {("mine", TRACE)}
    assert set(servers) == {"own digits", "v1 none", "grpc digits"}
    assert servers["own digits"].attributes["http.response.status_code"] == 503
    assert servers["own digits"].attributes["url.path"] == "/predict"
    assert [servers[name].failed for name in ("own digits", "grpc digits")] == [True, True]
    assert {span.parent for span in received if span.name == "decode"} <= {span.id for span in servers.values()}


@pytest.mark.parametrize(
    ("collector", "expected"), [(dead_collector, {"failed"}), (hanging_collector, {"failed", "dropped"})]
)
def test_no_collector_disturbs_a_request(collector, expected, free_ports, tmp_path, monkeypatch):
    variables = {"BSP_MAX_QUEUE_SIZE": "4", "BSP_MAX_EXPORT_BATCH_SIZE": "2", "BSP_SCHEDULE_DELAY": "1"}
    for name, value in (variables | {"EXPORTER_OTLP_TIMEOUT": "1"}).items():
        monkeypatch.setenv(f"OTEL_{name}", value)
    with collector() as (address, _):
        options = ("--service=digits=digits:mnist", f"--trace={address}")
        with serving(tmp_path / "log", free_ports(2), *options) as (_, client):
            asked = 0
            while not all(count(client, outcome) for outcome in expected):
                assert client.post("/predict", content=IMAGE.read_bytes()).status_code == 503
                asked += 1
            assert count(client, "sent") == 0
            assert count(client, "failed") + count(client, "dropped") <= 2 * asked
    assert "spans cannot be sent, and are lost" in (tmp_path / "log").read_text()


def count(client: httpx.Client, outcome: str) -> float:
    """How many spans the server says that it has sent, or why not."""
    metrics = client.get("/metrics").text
    found = re.search(rf'^modelport_spans_total{{outcome="{outcome}"}} (\S+)', metrics, re.MULTILINE)
    return float(found[1]) if found else 0.0
