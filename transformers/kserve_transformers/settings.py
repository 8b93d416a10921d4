"""The server's settings, from the command line, checked at start."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kserve_transformers.service_spec import FORM, ServiceSpec
from kserve_transformers.tasks import check_spec, number_options


@dataclass(frozen=True)
class Limits:
    """What a request may ask for, checked before work is done."""

    body_bytes: int = 20 * 1024 * 1024
    pixels: int = 40_000_000
    instances: int = 32
    timeout_s: float = 30.0
    queue_size: int = 32


@dataclass(frozen=True)
class Settings:
    """All settings of a transformer server.

    Attributes:
        services: what it hosts.
        defaults: of the tasks' numeric options, where a request names none.
    """

    services: tuple[ServiceSpec, ...] = ()
    defaults: Mapping[str, float] = field(default_factory=dict)
    host: str = "0.0.0.0"  # noqa: S104  (in a pod; the local stack says 127.0.0.1)
    http_port: int = 8080
    grpc_port: int = 8081
    predictor_host: str = "127.0.0.1:8000"
    model_repository: Path | None = None
    cors_origins: tuple[str, ...] = ()
    decode_threads: int = 2
    drain_s: float = 5.0
    log_requests: bool = False
    page: bool = True
    limits: Limits = field(default_factory=Limits)


_POSITIVE = ("max_body_bytes", "max_pixels", "max_instances", "request_timeout_s", "queue_size", "decode_threads")


def parse_settings(arguments: Sequence[str] | None = None) -> Settings:
    """Read the command line; an error ends the process with a line that says what to write.

    Flags that KServe's controller adds to a transformer (`--model_name`, `--predictor_host`, `--http_port`)
    have their usual names.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    names = [spec.name for spec in options.service]
    if not names:
        parser.error(f"declare what to serve: --service {FORM}, once for each service")
    if len(set(names)) < len(names):
        parser.error(f"two services are called {next(name for name in names if names.count(name) > 1)}")
    if options.model_repository is not None and not options.model_repository.is_dir():
        parser.error(f"--model_repository {options.model_repository}: no such folder")
    for name in _POSITIVE:
        if getattr(options, name) <= 0:
            parser.error(f"--{name} must be positive")
    return Settings(
        services=tuple(options.service),
        defaults={name: getattr(options, name) for name in number_options()},
        host=options.host,
        http_port=options.http_port,
        grpc_port=options.grpc_port,
        predictor_host=options.predictor_host.removeprefix("http://"),
        model_repository=options.model_repository,
        cors_origins=options.cors_origins,
        decode_threads=options.decode_threads,
        drain_s=options.drain_s,
        log_requests=options.log_requests,
        page=not options.no_page,
        limits=Limits(
            options.max_body_bytes,
            options.max_pixels,
            options.max_instances,
            options.request_timeout_s,
            options.queue_size,
        ),
    )


def _parser() -> argparse.ArgumentParser:
    default = Settings()
    parser = argparse.ArgumentParser(prog="python -m kserve_transformers", description=__doc__, allow_abbrev=False)
    add = parser.add_argument
    add("--service", type=_service, action="append", default=[], metavar="SERVICE", help=f"{FORM}; repeatable")
    add("--model_name", help="added by KServe's controller; the services are those that --service declares")
    add("--host", default=default.host, help="address to listen on (default: %(default)s)")
    add("--http_port", type=int, default=default.http_port, help="REST (default: %(default)s)")
    add("--grpc_port", type=int, default=default.grpc_port, help="gRPC (default: %(default)s)")
    add("--predictor_host", default=default.predictor_host, help="Triton's REST host:port (default: %(default)s)")
    add("--model_repository", type=Path, default=None, help="folder of the models: their golden samples are read")
    for name, option in number_options().items():
        check = _number(option.minimum, option.maximum)
        add(f"--{name}", type=check, default=option.default, help=f"{option.description} (default: %(default)s)")
    add("--cors_origins", type=_names, default=(), help="comma-separated origins that browsers may call from")
    add("--decode_threads", type=int, default=os.cpu_count() or 2, help="threads that decode images")
    add(
        "--drain_s", type=float, default=default.drain_s, help="seconds of service after SIGTERM (default: %(default)s)"
    )
    add("--log_requests", action="store_true", help="one line of JSON a request")
    add("--no_page", action="store_true", help="no page for browsers at / and /SERVICE/: JSON alone")
    limits = default.limits
    add("--max_body_bytes", type=int, default=limits.body_bytes, help="(default: %(default)s)")
    add("--max_pixels", type=int, default=limits.pixels, help="of one image (default: %(default)s)")
    add("--max_instances", type=int, default=limits.instances, help="in one request (default: %(default)s)")
    add("--request_timeout_s", type=float, default=limits.timeout_s, help="at most (default: %(default)s)")
    add("--queue_size", type=int, default=limits.queue_size, help="batches a model may have (default: %(default)s)")
    return parser


def _service(text: str) -> ServiceSpec:
    try:
        spec = ServiceSpec.parse(text)
        check_spec(spec)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return spec


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _number(minimum: float, maximum: float) -> Callable[[str], float]:
    def check(text: str) -> float:
        number = float(text)
        if not minimum <= number <= maximum:
            raise argparse.ArgumentTypeError(f"must lie between {minimum:g} and {maximum:g}")
        return number

    return check
