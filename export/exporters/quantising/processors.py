"""The instruction sets on which a network is proven: this processor's, and lesser ones that it can be held to.

oneDNN, and so OpenVINO, chooses its kernels by the processor's instruction set, up to ONEDNN_MAX_CPU_ISA. It reads the
variable once, so that each instruction set needs a process of its own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path

from exporters.quantising.batches import Arrays, Network
from exporters.quantising.network import answering

LIMIT = "ONEDNN_MAX_CPU_ISA"
# From the best: oneDNN's name, and the flags in /proc/cpuinfo by which a processor has it.
INSTRUCTION_SETS: Mapping[str, frozenset[str]] = {
    "AVX512_CORE_AMX": frozenset({"avx512f", "avx512bw", "avx512_vnni", "amx_int8", "amx_tile"}),
    "AVX512_CORE_VNNI": frozenset({"avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512_vnni"}),
    "AVX512_CORE": frozenset({"avx512f", "avx512bw", "avx512vl", "avx512dq"}),
    "AVX2_VNNI": frozenset({"avx2", "avx_vnni"}),
    "AVX2": frozenset({"avx2"}),
    "SSE41": frozenset({"sse4_1"}),
}
PROVEN_ON = ("AVX2",)  # beside this processor's own: what most processors without int8 instructions compute with

_answer: Network


def instruction_sets(flags: frozenset[str] | None = None) -> tuple[str, ...]:
    """Those to prove a network on: this processor's own, then those of PROVEN_ON that it has, too.

    Args:
        flags: of a processor; None: this one's. Where they are not known, the only name is "unknown".
    """
    if flags is None:
        lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
        flags = frozenset(next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), []))
    limit = os.environ.get(LIMIT, "").upper()
    names = list(INSTRUCTION_SETS)
    names = names[names.index(limit) :] if limit in names else names
    own = next((name for name in names if INSTRUCTION_SETS[name] <= flags), "unknown")
    return tuple(
        dict.fromkeys((own, *(name for name in PROVEN_ON if INSTRUCTION_SETS[name] < flags and name in names)))
    )


@contextmanager
def process_on(instruction_set: str) -> Iterator[Executor]:
    """A process that computes with an instruction set."""
    before = os.environ.get(LIMIT)
    if instruction_set in INSTRUCTION_SETS:
        os.environ[LIMIT] = instruction_set
    with ProcessPoolExecutor(1, get_context("spawn")) as process:
        try:
            process.submit(int).result()  # it has started, and has the variable
        finally:
            os.environ.pop(LIMIT, None)
            os.environ.update({LIMIT: before} if before is not None else {})
        yield process


@contextmanager
def on(instruction_set: str, network: Path, outputs: tuple[str, ...]) -> Iterator[Network]:
    """A network that a process of its own computes with an instruction set, as the answers of `network.answering`."""
    with process_on(instruction_set) as process:
        process.submit(_load, network, outputs).result()
        yield lambda inputs: process.submit(_run, dict(inputs)).result()


def _load(network: Path, outputs: tuple[str, ...]) -> None:
    global _answer
    _answer = answering(network, outputs)


def _run(inputs: Arrays) -> Arrays:
    return _answer(inputs)
