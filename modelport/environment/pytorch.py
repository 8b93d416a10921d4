"""PyTorch, of which its own index and PyPI have different builds."""

from __future__ import annotations

import contextlib
import threading
import urllib.request

from modelport.environment.layers import Environment
from modelport.environment.packages import HASHED, UNRESOLVED, pip
from modelport.environment.project import say

# PyTorch's own builds for processors. PyPI has only the build for CUDA, ten times as large.
TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"
TORCH_CPU_INDEX_TIMEOUT_S = 2.0


def install_torch(environment: Environment) -> None:
    """PyTorch's build for processors where its index answers, else what the configured package index has."""
    options = ["--no-deps", "--upgrade"]
    from_pytorch = answers(TORCH_CPU_INDEX + "/torch/")
    if from_pytorch:
        options.append(f"--index-url={TORCH_CPU_INDEX}")
    pip("install", "torch-build.txt", *options, environment=environment)
    where = "PyTorch's own index" if from_pytorch else "your package index (PyTorch's own did not answer)"
    if not any(environment.folder.glob("lib/python*/site-packages/torch/lib/libtorch_cuda.so")):
        say(f"setup: torch is the build for processors, from {where}")
        return
    say(f"setup: torch is the build for CUDA, from {where}: its libraries are another 1.9 GB to fetch")
    pip("install", "torch-cuda.txt", *HASHED, *UNRESOLVED, environment=environment)


def answers(address: str) -> bool:
    """Whether a server answers in time, names looked up included."""
    answered = threading.Event()

    def ask() -> None:
        with contextlib.suppress(OSError):
            request = urllib.request.Request(address, method="HEAD")  # noqa: S310 (https, a constant)
            with urllib.request.urlopen(request, timeout=TORCH_CPU_INDEX_TIMEOUT_S):  # noqa: S310
                answered.set()

    threading.Thread(target=ask, daemon=True).start()
    return answered.wait(TORCH_CPU_INDEX_TIMEOUT_S)
