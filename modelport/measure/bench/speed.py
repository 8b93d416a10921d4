"""All systems of a case in turn, over several rounds, in an order that alternates."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from modelport.measure.bench import servers
from modelport.measure.bench.cases import CASES, Case, instance, own_request, requests
from modelport.measure.bench.figures import Point
from modelport.measure.bench.in_process import limit, pipeline
from modelport.measure.bench.measuring import Load, measure
from modelport.services import choose
from modelport.stack.stack import StackSettings, export_missing

# The raw model is measured with both: which is faster per row depends on the caches.
RAW_BATCHES = (1, 4)
SYSTEMS = ("raw", "in process", "ours", "legacy", "kserve")
# Concurrencies of protocols after the first, of the legacy servers and of plain KServe.
OTHER = (1, 8)
LEGACY = (1, 4, 16)
KSERVE = (1, 4)  # with more, its answers take longer than a measurement


@dataclass(frozen=True)
class Plan:
    """What is measured."""

    # cases, systems, protocols: names; no protocols stands for all
    cases: Sequence[str]
    systems: Sequence[str]
    protocols: Sequence[str]
    concurrency: Sequence[int]  # of the first protocol; the others are measured at those of `OTHER` up to its maximum
    # rounds, seconds: how often, and how long each time
    rounds: int
    seconds: float


def run(plan: Plan) -> Iterator[Point]:
    """Measure all points, and yield each of them; missing artefacts are exported first.

    Raises:
        BenchError: something cannot be measured.
        StackError: an export or a server failed.
    """
    chains: dict[str, tuple[str, ...]] = {}
    for case in (CASES[name] for name in plan.cases):
        chains[case.service] = (*chains.get(case.service, ()), case.model)
    export_missing(StackSettings(choose(*chains, chains=chains)))
    for turn in range(plan.rounds):
        systems = [system for system in SYSTEMS if system in plan.systems]
        for name in plan.cases if turn % 2 == 0 else reversed(plan.cases):
            for system in systems if turn % 2 == 0 else reversed(systems):
                yield from _measured(name, system, plan, turn)


def _measured(name: str, system: str, plan: Plan, turn: int) -> Iterator[Point]:
    case = CASES[name]
    if system == "raw":
        for batch in RAW_BATCHES:
            yield limit(name, case, batch, turn, plan.seconds)
    elif system == "in process":
        yield pipeline(name, case, turn, plan.seconds)
    elif system == "ours":
        yield from _served(name, system, servers.ours(name, case), list(_our_loads(case, plan)), turn)
    elif system == "legacy":
        request = own_request(case, instance(case.service))
        loads = [Load("own", request, count, plan.seconds) for count in _among(LEGACY, plan)]
        yield from _served(name, system, servers.legacy(name, case), loads, turn)
    elif name == "detector":
        loads = [Load("V1", servers.kserve_request(), count, plan.seconds) for count in _among(KSERVE, plan)]
        yield from _served(name, system, servers.kserve_plain(), loads, turn)


def _served(
    name: str, system: str, server: AbstractContextManager[servers.Served], loads: Sequence[Load], turn: int
) -> Iterator[Point]:
    with server as served:
        pids = [process.pid for process in servers.running()]
        for load in loads if turn % 2 == 0 else reversed(loads):
            yield measure(name, system, turn, served.port, load, pids)


def _our_loads(case: Case, plan: Plan) -> Iterator[Load]:
    for position, (protocol, request) in enumerate(requests(case).items()):
        if plan.protocols and protocol not in plan.protocols:
            continue
        everywhere = position == 0 or protocol in plan.protocols
        for count in plan.concurrency if everywhere else _among(OTHER, plan):
            if count <= case.most:
                yield Load(protocol, request, count, plan.seconds)


def _among(wanted: Sequence[int], plan: Plan) -> list[int]:
    """Those up to the plan's maximum; that maximum itself where there are none."""
    return [count for count in wanted if count <= max(plan.concurrency)] or [max(plan.concurrency)]
