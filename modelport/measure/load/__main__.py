"""`modelport load`: load studies by Locust on a running server.

ramp: users are added one by one. surface: each number of replicas under each number of callers, here or in a cluster.
web: Locust's own page.
"""

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence

from modelport.arguments import counts, errors_in_one_line, names, positive, positive_int, server_url
from modelport.environment import ROOT
from modelport.measure.load import locusts, studies
from modelport.measure.load.locusts import LoadError, Measured
from modelport.services import load

URL = "http://127.0.0.1:8080"
HEAD = f"{'users':>6} {'req/s':>8} {'failed':>7} {'p50 ms':>8} {'p95 ms':>8} {'p99 ms':>8}"


@errors_in_one_line()
def main(arguments: Sequence[str] | None = None) -> int:
    """Run a study; returns the exit code."""
    options = _parser().parse_args(arguments)
    studies.FOLDER.mkdir(parents=True, exist_ok=True)
    _STUDIES[options.study](options)
    return 0


def _ramp(options: argparse.Namespace) -> None:
    steps = locusts.ramp(options.url or URL, options.services, options.users, options.seconds)
    print(HEAD, *map(_line, steps[:: max(1, len(steps) // 12)]), sep="\n")
    studies.draw_ramp(steps, studies.FOLDER / "ramp.png")
    print(f"drawn: {studies.FOLDER / 'ramp.png'}")


def _surface(options: argparse.Namespace) -> None:
    (service, *_), cells = options.services, []
    if options.url and not options.deployment:
        raise LoadError("surface starts its own replicas: to scale those behind --url, give their --deployment")
    counts = options.replicas or ((1, 2, 4, 8, 16) if options.deployment else (1, 2))
    plan = (service, counts, options.threads, options.seconds)
    if options.deployment:
        found = studies.cluster_surface(*plan, options.url or URL, options.deployment, options.namespace)
    else:
        found = studies.surface(*plan, studies.FOLDER)
    print(f"replicas {HEAD}")
    for cell in found:
        print(f"{cell.replicas:>8} {_line(cell.measured)}", flush=True)
        cells.append(cell)
    studies.draw_surface(cells, studies.FOLDER / "surface.png")
    studies.write_surface(cells, studies.FOLDER / "surface.csv")
    print(f"drawn: {studies.FOLDER / 'surface.png'}; the figures: surface.csv beside it")


def _web(options: argparse.Namespace) -> None:
    os.chdir(ROOT)
    command = locusts.command(
        options.url or URL, options.services, "--web-host=127.0.0.1", f"--web-port={options.web_port}"
    )
    print(f"Locust's page: http://127.0.0.1:{options.web_port}", flush=True)
    os.execve(command[0], command, locusts.environment())  # noqa: S606  (no shell)


_STUDIES: Mapping[str, Callable[[argparse.Namespace], None]] = {"ramp": _ramp, "surface": _surface, "web": _web}


def _line(one: Measured) -> str:
    times = f"{one.p50_ms:8.0f} {one.p95_ms:8.0f} {one.p99_ms:8.0f}"
    return f"{one.users:>6} {one.rate:8.1f} {one.failed:>7} {times}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="modelport load", description=__doc__, allow_abbrev=False)
    add = parser.add_argument
    add("study", choices=sorted(_STUDIES))
    add("--url", type=server_url, help=f"of the server (default: {URL})")
    add(
        "--services",
        type=_services,
        default=("detector",),
        help="comma-separated; surface takes one (default: detector)",
    )
    add(
        "--seconds",
        type=positive,
        default=10.0,
        help="of each measurement; until the ramp's last user arrives (default: 10)",
    )
    add("--users", type=positive_int, default=32, help="at the ramp's end (default: %(default)s)")
    add("--replicas", type=counts, help="surface (default: 1,2; with --deployment 1,2,4,8,16)")
    add("--threads", type=counts, default=(1, 2, 4, 8, 16), help="surface: callers (default: 1,2,4,8,16)")
    add("--deployment", help="surface: scale this Deployment by kubectl instead of local processes")
    add("--namespace", default="modelport", help="of the Deployment (default: %(default)s)")
    add("--web-port", type=int, default=8089, help="of Locust's page (default: %(default)s)")
    return parser


def _services(text: str) -> tuple[str, ...]:
    chosen, declared = names(text), load()
    if not chosen or not set(chosen) <= set(declared):
        raise argparse.ArgumentTypeError(f"{text!r}: choose one of {', '.join(declared)}")
    return chosen


if __name__ == "__main__":
    sys.exit(main())
