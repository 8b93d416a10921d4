"""`modelport serve`: export what is missing, start Triton and the transformers, supervise them until Ctrl-C."""

import argparse
import contextlib
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import psutil

from exporters.table import table
from kserve_transformers.api_keys import ApiKeys
from kserve_transformers.predictor.signature import PublicKeys
from kserve_transformers.protocol.requests import InstanceKind
from kserve_transformers.service_spec import ServiceSpec
from kserve_transformers.settings import options as transformer_options
from kserve_transformers.tasks import build_task
from modelport.arguments import names
from modelport.environment import ROOT, SetupError
from modelport.samples import REPOSITORY, sample_file
from modelport.services import DeclarationError, choose
from modelport.stack import guard
from modelport.stack.chains import check_chains
from modelport.stack.errors import PortTakenError
from modelport.stack.running import claimed
from modelport.stack.server import LOOPBACK
from modelport.stack.stack import Stack, StackSettings, check_ports, export_missing
from modelport.stack.supervisor import Supervisor

ALL_ADDRESSES = "0.0.0.0"  # noqa: S104 (only where the user says so)
# Options of the transformer servers that the stack sets itself.
_OWN = {"host", "http_port", "grpc_port", "predictor_host", "model_repository", "follow_releases"}
_PASSED_ON = {flag for flag, _ in transformer_options()} - _OWN


class Ended(Exception):  # noqa: N818 (no error: Ctrl-C or SIGTERM)
    """Ctrl-C, or SIGTERM."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = signal.Signals(number)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until Ctrl-C or SIGTERM; returns the exit code."""
    options = _parser().parse_args(arguments)
    if options.die_with_parent:
        guard.die_with_parent()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _end)
    began = time.monotonic()
    stack = None
    held = contextlib.ExitStack()
    try:
        settings, kind = _settings(options)
        check_ports(settings)
        settings = _claim(settings, held)
        check_chains(settings.services, settings.repository)
        export_missing(settings)
        stack = kind(settings)
        print(f"starting Triton and the transformers (logs: {os.path.relpath(settings.logs)}/)", flush=True)
        stack.start()
        print(_table(stack), "", *_curl_lines(settings), "", sep="\n")
        print(
            f"all services passed their golden samples, {time.monotonic() - began:.1f} s after the start; Ctrl-C ends"
        )
        if settings.host == ALL_ADDRESSES:
            print(
                f"warning: {_open_address(settings.http_port)} is open to everybody who reaches this machine",
                flush=True,
            )
        print(f"ready: http://{LOOPBACK}:{settings.http_port}", flush=True)
        stack.supervise()
    except Ended as ended:
        print("\nending" + (", the requests under way first" if stack else ""), flush=True)
        if stack:
            with contextlib.suppress(Ended):  # a second signal: the guards kill what is left
                stack.stop(ended.number)
        return 0
    except SetupError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        if stack:
            stack.stop()
        return 1
    finally:
        held.close()
    return 0


def _claim(settings: StackSettings, held: contextlib.ExitStack) -> StackSettings:
    """Take the port and the folder of logs from other stacks of this checkout, or another folder where that is taken.

    Raises:
        PortTakenError: another stack, which may not listen there yet, has the port.
    """
    port = settings.http_port
    if not held.enter_context(claimed(str(port))):
        raise PortTakenError(
            f"another stack of this checkout is starting on port {port}: end it, or move with "
            f"make serve PORT={port + 1000}"
        )
    return settings if held.enter_context(claimed("logs")) else replace(settings, logs=settings.logs / str(port))


def _settings(options: argparse.Namespace) -> tuple[StackSettings, Callable[[Any], Supervisor]]:
    """What to run, and the class that runs it."""
    told = {
        "services": choose(*options.services, chains=dict(options.chain)),
        "http_port": options.port,
        "grpc_port": options.port + 1,
        "triton_http_port": options.triton_port,
        "triton_grpc_port": options.triton_port + 1,
        "triton_metrics_port": options.triton_port + 2,
        "repository": options.repository,
        "host": options.host,
        "options": tuple(text for flag, text in vars(options).items() if flag in _PASSED_ON),
    }
    if not options.overlay:
        return StackSettings(**told), Stack
    # they need what only `make test` and the manifests' commands install
    from modelport.stack.overlay import OverlaySettings
    from modelport.stack.overlay_stack import OverlayStack

    settings = OverlaySettings(**told, overlay=options.overlay)
    print(*settings.first.lines(), sep="\n", flush=True)
    return settings, OverlayStack


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="modelport serve", description=__doc__, allow_abbrev=False)
    add = parser.add_argument
    add("--services", type=_services, default=(), help="comma-separated, of those in services.yaml (default: all)")
    add(
        "--chain", type=_chain, action="append", default=[], help="SERVICE=MODEL[,MODEL]: models of a service, in order"
    )
    add("--overlay", help="serve as manifests/overlays/NAME declares, behind Envoy; chains come from there")
    add("--port", type=_port, default=os.environ.get("PORT", "8080"), help="REST; gRPC is the next one")
    add("--triton-port", type=_port, default=os.environ.get("TRITON_PORT", "8000"), help="REST, gRPC, metrics")
    add("--repository", type=Path, default=REPOSITORY, help="model repository")
    add(
        "--host",
        choices=(LOOPBACK, ALL_ADDRESSES),
        default=LOOPBACK,
        help=f"address to listen on; {ALL_ADDRESSES} lets other machines call (default: %(default)s)",
    )
    add("--die-with-parent", action="store_true", help="end when the process that started this one is killed")
    passed_on = parser.add_argument_group("options of the transformer servers")
    for flag, how in transformer_options():
        if flag in _PASSED_ON:
            text = how.pop("help")
            how = (
                {"action": "store_const", "const": f"--{flag}"}
                if "action" in how
                else {"type": _passed_on(flag, how["type"])}
            )
            spelt = dict.fromkeys((f"--{flag}", f"--{flag.replace('_', '-')}"))
            passed_on.add_argument(*spelt, dest=flag, default=argparse.SUPPRESS, help=text, **how)
    return parser


def _passed_on(flag: str, parse: Callable[[str], Any]) -> Callable[[str], str]:
    """Checks an option's value and keeps it as it was written."""

    def check(text: str) -> str:
        value = parse(text)
        paths: Sequence[Path] = ()  # the servers run in another folder
        if isinstance(value, PublicKeys):
            paths = value.paths
            try:
                value.read()
            except ValueError as error:
                raise argparse.ArgumentTypeError(str(error)) from None
        elif isinstance(value, ApiKeys):
            paths = [value.path]
        elif isinstance(value, Path):
            _check_writable(value)
            paths = [value]
        return f"--{flag}={','.join(str(path.resolve()) for path in paths) or text}"

    return check


def _check_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise argparse.ArgumentTypeError(f"cannot write into {folder} ({error.strerror}): name another one") from None


def _end(number: int, _: FrameType | None) -> None:
    raise Ended(number)


def _services(text: str) -> tuple[str, ...]:
    chosen = names(text)
    try:
        choose(*chosen)
    except DeclarationError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return chosen


def _chain(text: str) -> tuple[str, tuple[str, ...]]:
    service, _, models = text.partition("=")
    if not service or not names(models):
        raise argparse.ArgumentTypeError(f"{text!r}: write SERVICE=MODEL[,MODEL], such as classifier=mobilenet_v2")
    return _services(service)[0], names(models)


def _port(text: str) -> int:
    if not (text.isdecimal() and 1024 <= int(text) <= 65000):
        raise argparse.ArgumentTypeError(f"{text!r} is no port between 1024 and 65000")
    return int(text)


def _table(stack: Supervisor) -> str:
    rows = [("service", "model", "weights", "state")]
    reports = [(server, *report) for server in stack.transformers for report in server.services().items()]
    for server, service, report in reports:
        for name, model in report["models"].items():
            parameters = (stack.triton_of(server).get(f"/v2/models/{name}/config")[1] or {}).get("parameters", {})
            weights = parameters.get("weights", {}).get("string_value", "unknown")
            state = "ready" if model["ready"] else f"not ready: {model.get('reason')}"
            rows.append((service if len(stack.transformers) == 1 else server.name, name, weights, state))
    return table(rows)


def _open_address(port: int) -> str:
    """The port on an address of this machine that others can reach."""
    addresses = [one for found in psutil.net_if_addrs().values() for one in found if one.family is socket.AF_INET]
    return f"http://{next((one.address for one in addresses if one.address != LOOPBACK), ALL_ADDRESSES)}:{port}"


def _curl_lines(settings: StackSettings) -> list[str]:
    """One command a service that works when it is pasted in the project's folder."""
    url = f"http://{LOOPBACK}:{settings.http_port}"
    return [_curl_line(spec, url) for spec in settings.services]


def _curl_line(spec: ServiceSpec, url: str) -> str:
    task, file = build_task(spec), sample_file(spec)
    named = file.relative_to(ROOT) if file.is_relative_to(ROOT) else file
    address = f"{url}/{spec.name}{task.presentation.route}"
    post = f"curl -s -w '\\n' -H 'Content-Type: application/json' -d @- {address}"
    if task.kind is InstanceKind.WINDOW:
        return f'echo "{{\\"data\\":[$(cat {named})]}}" | {post}'
    if task.presentation.repeats_id:
        return f'echo "{{\\"id\\":1,\\"image\\":\\"$(base64 -w0 {named})\\"}}" | {post}'
    return f"curl -s -w '\\n' -F file=@{named} {address}"


if __name__ == "__main__":
    sys.exit(main())
