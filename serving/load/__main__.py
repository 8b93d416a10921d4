"""`make load`: Locust's users on a running server, and what they say of its size.

ramp: users come one after another. surface: replicas by callers, here or in a cluster. check: the queueing model beside
measurements. size: replicas, HPA and nodes for a rate. web: Locust's own page.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence

from kserve_transformers.settings import SERVICES
from load import locusts, sizing, studies
from load.locusts import LoadError, Measured
from load.queueing import Service
from local_stack.environment import ROOT

HEAD = f"{'users':>6} {'req/s':>8} {'failed':>7} {'p50 ms':>8} {'p95 ms':>8} {'p99 ms':>8}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one study; returns the exit code."""
    options = _parser().parse_args(arguments)
    studies.FOLDER.mkdir(parents=True, exist_ok=True)
    try:
        _STUDIES[options.study](options)
    except LoadError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _ramp(options: argparse.Namespace) -> None:
    steps = locusts.ramp(options.url, options.services, options.users, options.seconds)
    print(HEAD, *map(_line, steps[:: max(1, len(steps) // 12)]), sep="\n")
    studies.draw_ramp(steps, studies.FOLDER / "ramp.png")
    print(f"drawn: {studies.FOLDER / 'ramp.png'}")


def _surface(options: argparse.Namespace) -> None:
    (service, *_), cells = options.services, []
    told = (service, options.replicas, options.threads, options.seconds)
    found = (
        studies.cluster_surface(*told, options.url, options.deployment, options.namespace)
        if options.deployment
        else studies.surface(*told, studies.FOLDER)
    )
    print(f"replicas {HEAD}")
    for cell in found:
        print(f"{cell.replicas:>8} {_line(cell.measured)}", flush=True)
        cells.append(cell)
    studies.draw_surface(cells, studies.FOLDER / "surface.png")
    print(f"drawn: {studies.FOLDER / 'surface.png'}")


def _check(options: argparse.Namespace) -> None:
    (name, *_) = options.services
    service, cpu_s = studies.service_of(options.url, name, options.seconds)
    print(
        f"{name}: {1000 * service.mean_s:.1f} ms a request, scv {service.scv:.2f}, {service.servers} at once, so "
        f"{service.capacity:.1f} requests/s at most; {1000 * cpu_s:.1f} ms of processor time (callers' included)"
    )
    print(f"{'load':>5} {HEAD}   predicted p50, p99 ms")
    for one in studies.check(options.url, name, service, options.seconds):
        predicted = f"{one.predicted_p50_ms:8.0f} {one.predicted_p99_ms:8.0f}"
        print(f"{one.load:5.0%} {_line(one.measured)}   {predicted}", flush=True)
    _print_size(options, service, cpu_s)


def _size(options: argparse.Namespace) -> None:
    _print_size(options, Service(options.service_ms / 1000, options.scv, options.servers), options.cpu_ms / 1000)


def _web(options: argparse.Namespace) -> None:
    os.chdir(ROOT)
    command = locusts.command(options.url, options.services, "--web-host=127.0.0.1", f"--web-port={options.web_port}")
    print(f"Locust's page: http://127.0.0.1:{options.web_port}", flush=True)
    os.execve(command[0], command, locusts.environment())  # noqa: S606  (no shell)


_STUDIES: Mapping[str, Callable[[argparse.Namespace], None]] = {
    "ramp": _ramp,
    "surface": _surface,
    "check": _check,
    "size": _size,
    "web": _web,
}


def _print_size(options: argparse.Namespace, service: Service, cpu_s: float) -> None:
    rate, within_s = options.rate / 3600, options.p99_ms / 1000
    print(f"for {options.rate:,.0f} requests an hour ({rate:.1f}/s), 99 % within {options.p99_ms:g} ms:")
    found = sizing.size(service, rate, 0.99, within_s, cpu_s, options.node_cores)
    if found is None:
        print("  no number of replicas will do: the model alone takes longer")
        return
    print(*(f"  {line}" for line in found.lines()), sep="\n")


def _line(one: Measured) -> str:
    times = f"{one.p50_ms:8.0f} {one.p95_ms:8.0f} {one.p99_ms:8.0f}"
    return f"{one.users:>6} {one.rate:8.1f} {one.failed:>7} {times}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m load", description=__doc__, allow_abbrev=False)
    add = parser.add_argument
    add("study", choices=sorted(_STUDIES))
    add("--url", default="http://127.0.0.1:8080", help="(default: %(default)s)")
    add("--services", type=_services, default=("detector",), help="(default: detector; surface and check: one)")
    add(
        "--seconds",
        type=float,
        default=10.0,
        help="each figure's; the ramp's last user comes then (default: %(default)s)",
    )
    add("--users", type=int, default=32, help="at the ramp's end (default: %(default)s)")
    add("--replicas", type=_numbers, default=(1, 2), help="surface (default: 1,2; in a cluster 1,2,4,8,16)")
    add("--threads", type=_numbers, default=(1, 2, 4, 8, 16), help="surface: callers (default: 1,2,4,8,16)")
    add("--deployment", help="surface: scale this deployment by kubectl, instead of processes here")
    add("--namespace", default="modelport", help="of the deployment (default: %(default)s)")
    add("--rate", type=float, default=1e6, help="size: requests an hour (default: a million)")
    add("--p99-ms", type=float, default=500.0, help="size: 99 per cent within (default: %(default)s)")
    add("--node-cores", type=int, default=8, help="size: cores of a node (default: %(default)s)")
    add("--service-ms", type=float, default=80.0, help="size: a request alone (default: %(default)s)")
    add("--scv", type=float, default=0.1, help="size: its squared coefficient of variation (default: %(default)s)")
    add("--servers", type=int, default=2, help="size: requests at once in a replica (default: %(default)s)")
    add("--cpu-ms", type=float, default=80.0, help="size: processor time of a request (default: %(default)s)")
    add("--web-port", type=int, default=8089, help="of Locust's page (default: %(default)s)")
    return parser


def _services(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    if not set(names) <= set(SERVICES):
        raise argparse.ArgumentTypeError(f"{text!r}: choose of {', '.join(SERVICES)}")
    return names


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split(","))


if __name__ == "__main__":
    sys.exit(main())
