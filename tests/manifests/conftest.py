"""Overlays, each rendered once by a real kubectl, and the processes that their pods declare."""

import copy
import os
import re
import secrets
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import httpx
import pytest
from waiting import wait_for

from modelport.environment import ROOT
from modelport.manifests.pods import Pod, pods
from modelport.manifests.rendering import render
from modelport.services import choose
from modelport.stack.guarded_process import GuardedProcess
from modelport.stack.stack import StackSettings, export_missing
from modelport.stack.triton_distribution import lay_out
from modelport.stack.triton_server import environment

Documents = list[dict[str, Any]]


@pytest.fixture(scope="session")
def rendered() -> Callable[[str], Documents]:
    """A copy of an overlay's documents."""
    once = cache(render)
    return lambda overlay: copy.deepcopy(once(overlay))


@dataclass(frozen=True)
class DeclaredPod:
    """A pod's two containers as processes of this machine; each declared port is a free one here."""

    pod: Pod
    triton: GuardedProcess
    transformer: GuardedProcess
    ports: Mapping[int, int]

    def probe(self, container: Mapping[str, Any], kind: str) -> bool | None:
        """Whether a declared probe succeeds, as the kubelet asks; None where there is no answer in time."""
        declared = container[kind]
        get = declared["httpGet"]
        try:
            url = f"http://127.0.0.1:{self.ports[get['port']]}{get['path']}"
            return httpx.get(url, timeout=declared.get("timeoutSeconds", 1)).is_success
        except httpx.TransportError:
            return None

    def wait_for(self, container: Mapping[str, Any], kind: str, wanted: bool) -> bool:
        """Wait until a probe gives the wanted result; true then."""
        return wait_for(lambda: self.probe(container, kind) is wanted)


@pytest.fixture(scope="module")
def detector_pod(rendered, free_ports, tmp_path_factory) -> Iterator[DeclaredPod]:
    """The detector's pod of an overlay, started from its declared commands."""
    tmp_path = tmp_path_factory.mktemp("pod")
    pod = next(pod for pod in pods(rendered("storage-pvc")) if pod.name == "detector")
    ports = dict(zip((8080, 8081, 8000, 8001, 8002), free_ports(5), strict=True))
    models = tmp_path / "models"
    models.mkdir()
    (detector,) = choose("detector")
    export_missing(StackSettings((detector,), logs=tmp_path))
    for name in detector.models:
        (models / name).symlink_to(ROOT / "model_repository" / name)
    values = {"/mnt/models": str(models), "$(ADMIN_KEY)": secrets.token_hex(8), "0.0.0.0": "127.0.0.1"}

    def here(argument: str) -> str:
        for declared, local in values.items():
            argument = argument.replace(declared, local)
        return re.sub(r"(?<=[:=])80(80|81|00|01|02)$", lambda port: str(ports[int(port[0])]), argument)

    distribution = lay_out()
    shm_prefix = f"modelport-{os.getpid()}-{ports[8000]}-"
    own = [
        f"--backend-directory={distribution.backends}",
        f"--backend-config=python,shm-region-prefix-name={shm_prefix}",
    ]
    triton = GuardedProcess(
        [str(distribution.server), *map(here, pod.triton["args"]), *own],
        environment(distribution),
        tmp_path / "triton.log",
        distribution.folder,
        grace_s=10,
        shm_prefix=shm_prefix,  # a killed process leaves its file there
    )
    transformer = GuardedProcess(
        [sys.executable, "-m", "kserve_transformers", *map(here, pod.transformer_arguments())],
        {**os.environ, "PYTHONSAFEPATH": "1"},
        tmp_path / "transformer.log",
        ROOT,
        grace_s=45,
    )
    triton.start()
    transformer.start()
    yield DeclaredPod(pod, triton, transformer, ports)
    transformer.stop()
    triton.stop()
