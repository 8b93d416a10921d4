"""Replicas of a service: here transformers, each with its own Triton, behind Envoy; in a cluster by kubectl."""

import contextlib
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from modelport.manifests.rendering import kubectl
from modelport.measure.load.locusts import LoadError
from modelport.samples import REPOSITORY
from modelport.services import choose
from modelport.stack.envoy.routes import INFERENCE_SERVICE, endpoints, read_routes
from modelport.stack.envoy.server import Envoy
from modelport.stack.server import LOOPBACK, free_ports
from modelport.stack.stack import StackSettings, export_missing
from modelport.stack.transformer_server import TransformerServer, TransformerSettings
from modelport.stack.triton_distribution import lay_out
from modelport.stack.triton_server import TritonServer, TritonSettings

ROLLOUT_S, REQUEST_S = 600, 60
_PORTS = 5  # per replica


def documents(service: str, count: int) -> list[dict[str, Any]]:
    """Manifests by which Envoy distributes requests evenly and at random over `count` endpoints, like kube-proxy."""
    names = [f"{service}-{number}" for number in range(count)]
    pods = [{"kind": "InferenceService", "metadata": {"name": name}} for name in names]
    services = [
        {"kind": "Service", "metadata": {"name": name}, "spec": {"selector": {INFERENCE_SERVICE: name}}}
        for name in names
    ]
    rule = {
        "matches": [{"path": {"type": "PathPrefix", "value": path}} for path in (f"/{service}", "/v1", "/v2")],
        "backendRefs": [{"name": name} for name in names],
        "timeouts": {"request": f"{REQUEST_S}s"},
    }
    return [*pods, *services, {"kind": "HTTPRoute", "metadata": {"name": service}, "spec": {"rules": [rule]}}]


@contextlib.contextmanager
def local(service: str, count: int, logs: Path) -> Iterator[str]:
    """Run replicas on this machine within the block; yields the URL of the Envoy in front of them."""
    export_missing(StackSettings(choose(service)))
    with contextlib.ExitStack() as started:
        port, admin_port, *ports = free_ports(2 + _PORTS * count)
        own = [ports[at : at + _PORTS] for at in range(0, _PORTS * count, _PORTS)]
        replicas = [_replica(service, number, of_it, logs, started) for number, of_it in enumerate(own)]
        for triton, transformer in replicas:
            triton.wait_until_ready()
            transformer.wait_until_ready()
        declared = documents(service, count)
        names = endpoints(read_routes(declared))
        addresses = {
            name: (LOOPBACK, transformer.http_port) for name, (_, transformer) in zip(names, replicas, strict=True)
        }
        envoy = Envoy(declared, addresses, port, admin_port, logs)
        started.callback(envoy.stop)
        envoy.start()
        envoy.wait_until_ready()
        yield f"http://{LOOPBACK}:{port}"


def scale(deployment: str, namespace: str, count: int) -> None:
    """Scale a Deployment in the cluster of kubectl's context and wait until all replicas are ready.

    Raises:
        LoadError: kubectl failed and printed why.
        RenderError: kubectl is not installed.
    """
    program = kubectl()
    for step in (["scale", f"--replicas={count}"], ["rollout", "status", f"--timeout={ROLLOUT_S}s"]):
        done = subprocess.run([program, *step, f"--namespace={namespace}", f"deployment/{deployment}"], check=False)
        if done.returncode:
            raise LoadError(f"kubectl {step[0]} failed: see its message above")


def _replica(
    service: str, number: int, ports: Sequence[int], logs: Path, started: contextlib.ExitStack
) -> tuple[TritonServer, TransformerServer]:
    http, grpc, triton_http, triton_grpc, metrics = ports
    (spec,), name = choose(service), f"replica-{number}"
    triton = TritonServer(
        lay_out(),
        TritonSettings(REPOSITORY, logs / f"{name}-triton.log", triton_http, triton_grpc, metrics, models=spec.models),
    )
    settings = TransformerSettings((spec,), REPOSITORY, logs / f"{name}.log", triton_http, http, grpc)
    transformer = TransformerServer(settings)
    for server in (triton, transformer):
        started.callback(server.kill)
        server.start()
    return triton, transformer
