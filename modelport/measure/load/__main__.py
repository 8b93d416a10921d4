"""`make load`: Locust's users on a running server, and what they say of its size.

ramp: users come one after another. surface: replicas by callers, here or in a cluster. check: the queueing model beside
measurements. size: replicas, HPA and nodes for a rate. web: Locust's own page.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import urlsplit

from modelport.environment import ROOT, SetupError
from modelport.manifests.rendering import RenderError
from modelport.measure.load import locusts, sizing, studies
from modelport.measure.load.locusts import LoadError, Measured
from modelport.measure.load.queueing import Service
from modelport.services import load

URL = "http://127.0.0.1:8080"
HEAD = f"{'users':>6} {'req/s':>8} {'failed':>7} {'p50 ms':>8} {'p95 ms':>8} {'p99 ms':>8}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one study; returns the exit code."""
    options = _parser().parse_args(arguments)
    studies.FOLDER.mkdir(parents=True, exist_ok=True)
    try:
        _STUDIES[options.study](options)
    except (LoadError, SetupError, RenderError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _ramp(options: argparse.Namespace) -> None:
    steps = locusts.ramp(options.url or URL, options.services, options.users, options.seconds)
    print(HEAD, *map(_line, steps[:: max(1, len(steps) // 12)]), sep="\n")
    studies.draw_ramp(steps, studies.FOLDER / "ramp.png")
    print(f"drawn: {studies.FOLDER / 'ramp.png'}")


def _surface(options: argparse.Namespace) -> None:
    (service, *_), cells = options.services, []
    if options.url and not options.deployment:
        raise LoadError("surface starts replicas of its own; to scale those behind --url, name their --deployment")
    counts = options.replicas or ((1, 2, 4, 8, 16) if options.deployment else (1, 2))
    told = (service, counts, options.threads, options.seconds)
    found = (
        studies.cluster_surface(*told, options.url or URL, options.deployment, options.namespace)
        if options.deployment
        else studies.surface(*told, studies.FOLDER)
    )
    print(f"replicas {HEAD}")
    for cell in found:
        print(f"{cell.replicas:>8} {_line(cell.measured)}", flush=True)
        cells.append(cell)
    studies.draw_surface(cells, studies.FOLDER / "surface.png")
    studies.write_surface(cells, studies.FOLDER / "surface.csv")
    print(f"drawn: {studies.FOLDER / 'surface.png'}; the figures: surface.csv beside it")


def _check(options: argparse.Namespace) -> None:
    (name, *_), url = options.services, options.url or URL
    if urlsplit(url).hostname not in ("127.0.0.1", "localhost", "::1"):
        raise LoadError(
            "check measures the processor time of a stack on this machine: run it there, beside `make serve`"
        )
    service, cpu_s = studies.service_of(url, name, options.seconds)
    print(
        f"{name}: {1000 * service.mean_s:.1f} ms a request, scv {service.scv:.2f}, {service.servers} at once, so "
        f"{service.capacity:.1f} requests/s at most; {1000 * cpu_s:.1f} ms of processor time"
    )
    print(f"{'load':>5} {HEAD}   predicted p50, p99 ms")
    short = 1.0
    for one in studies.check(url, name, service, options.seconds):
        predicted = f"{one.predicted_p50_ms:8.0f} {one.predicted_p99_ms:8.0f}"
        print(f"{one.load:5.0%} {_line(one.measured)}   {predicted}", flush=True)
        short = max(short, one.measured.p99_ms / one.predicted_p99_ms)
    if short > 1:
        print(f"p99 was up to {short:.1f} times what the model says: sized for that")
    _print_size(options, service, cpu_s, short)


def _size(options: argparse.Namespace) -> None:
    service = Service(options.service_ms / 1000, options.scv, options.servers)
    _print_size(options, service, options.cpu_ms / 1000, 1.0)


def _web(options: argparse.Namespace) -> None:
    os.chdir(ROOT)
    command = locusts.command(
        options.url or URL, options.services, "--web-host=127.0.0.1", f"--web-port={options.web_port}"
    )
    print(f"Locust's page: http://127.0.0.1:{options.web_port}", flush=True)
    os.execve(command[0], command, locusts.environment())  # noqa: S606  (no shell)


_STUDIES: Mapping[str, Callable[[argparse.Namespace], None]] = {
    "ramp": _ramp,
    "surface": _surface,
    "check": _check,
    "size": _size,
    "web": _web,
}


def _print_size(options: argparse.Namespace, service: Service, cpu_s: float, short: float) -> None:
    """What the model says for the target; `short`: by how much its p99 has been found too low."""
    rate, within_s = options.rate / 3600, options.p99_ms / 1000
    print(f"for {options.rate:,.0f} requests an hour ({rate:.1f}/s), 99 % within {options.p99_ms:g} ms:")
    found = sizing.size(service, rate, 0.99, within_s / short, cpu_s, options.node_cores)
    if found is None:
        print("  no number of replicas will do: the model alone takes longer, or a pod needs more than --node-cores")
        return
    print(*(f"  {line}" for line in found.lines()), sep="\n")


def _line(one: Measured) -> str:
    times = f"{one.p50_ms:8.0f} {one.p95_ms:8.0f} {one.p99_ms:8.0f}"
    return f"{one.users:>6} {one.rate:8.1f} {one.failed:>7} {times}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m modelport.measure.load", description=__doc__, allow_abbrev=False)
    add = parser.add_argument
    add("study", choices=sorted(_STUDIES))
    add("--url", help=f"of the server (default: {URL})")
    add("--services", type=_services, default=("detector",), help="(default: detector; surface and check: one)")
    add("--seconds", type=_positive, default=10.0, help="each figure's; the ramp's last user comes then (default: 10)")
    add("--users", type=_count, default=32, help="at the ramp's end (default: %(default)s)")
    add("--replicas", type=_counts, help="surface (default: 1,2; with --deployment 1,2,4,8,16)")
    add("--threads", type=_counts, default=(1, 2, 4, 8, 16), help="surface: callers (default: 1,2,4,8,16)")
    add("--deployment", help="surface: scale this deployment by kubectl, instead of processes here")
    add("--namespace", default="modelport", help="of the deployment (default: %(default)s)")
    add("--rate", type=_positive, default=1e6, help="size: requests an hour (default: a million)")
    add("--p99-ms", type=_positive, default=500.0, help="size: 99 per cent within (default: %(default)s)")
    add("--node-cores", type=_count, default=8, help="size: cores of a node (default: %(default)s)")
    add("--service-ms", type=_positive, default=80.0, help="size: a request alone (default: %(default)s)")
    add("--scv", type=float, default=0.1, help="size: its squared coefficient of variation (default: %(default)s)")
    add("--servers", type=_count, default=2, help="size: requests at once in a replica (default: %(default)s)")
    add("--cpu-ms", type=_positive, default=80.0, help="size: processor time of a request (default: %(default)s)")
    add("--web-port", type=int, default=8089, help="of Locust's page (default: %(default)s)")
    return parser


def _services(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    declared = load()
    if not set(names) <= set(declared):
        raise argparse.ArgumentTypeError(f"{text!r}: choose of {', '.join(declared)}")
    return names


def _positive(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 < float(text) < math.inf:
            return float(text)
    raise argparse.ArgumentTypeError(f"{text!r}: a number above 0 is needed")


def _count(text: str) -> int:
    if text.isdecimal() and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r}: a whole number above 0 is needed")


def _counts(text: str) -> tuple[int, ...]:
    return tuple(_count(number) for number in text.split(","))


if __name__ == "__main__":
    sys.exit(main())
