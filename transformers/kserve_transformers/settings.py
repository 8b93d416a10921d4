"""The server's settings, from the command line, checked at start."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

SERVICES = ("detector", "classifier", "cars", "digits", "anomaly")

# Which models of the repository answer for a service, in the order in which they are tried.
CHAINS: Mapping[str, tuple[str, ...]] = {
    "detector": ("yolov3_tiny",),
    "classifier": ("wide_resnet50_2", "mobilenet_v2", "efficientnet_lite0"),
    "cars": ("cars",),
    "digits": ("mnist",),
    "anomaly": ("anomaly",),
}


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
    """All settings of a transformer server."""

    services: tuple[str, ...] = SERVICES
    chains: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: dict(CHAINS))
    host: str = "0.0.0.0"  # noqa: S104  (in a pod; the local stack says 127.0.0.1)
    http_port: int = 8080
    grpc_port: int = 8081
    predictor_host: str = "127.0.0.1:8000"
    model_repository: Path | None = None
    follow_releases: bool = False
    score_threshold: float = 0.3
    iou_threshold: float = 0.45
    cors_origins: tuple[str, ...] = ()
    decode_threads: int = 2
    drain_s: float = 5.0
    log_requests: bool = False
    page: bool = True
    limits: Limits = field(default_factory=Limits)


def parse_settings(arguments: Sequence[str] | None = None) -> Settings:
    """Read the command line; an error ends the process with a line that says what to write.

    Flags that KServe's controller adds to a transformer (`--model_name`, `--predictor_host`, `--http_port`)
    have their usual names.
    """
    default = Settings()
    parser = argparse.ArgumentParser(prog="python -m kserve_transformers", description=__doc__, allow_abbrev=False)
    add = parser.add_argument
    add("--services", type=_names, default=None, help=f"comma-separated, of {','.join(SERVICES)} (default: all)")
    add("--model_name", default=None, help="KServe's name for one service: the same as --services NAME")
    add("--chain", action="append", default=[], metavar="SERVICE=MODEL[,MODEL]", help="models of a service, in order")
    add("--host", default=default.host, help="address to listen on (default: %(default)s)")
    add("--http_port", type=int, default=default.http_port, help="REST (default: %(default)s)")
    add("--grpc_port", type=int, default=default.grpc_port, help="gRPC (default: %(default)s)")
    add("--predictor_host", default=default.predictor_host, help="Triton's REST host:port (default: %(default)s)")
    add("--model_repository", type=Path, default=None, help="folder of the models: their golden samples are read")
    add("--follow_releases", action="store_true", help="serve the release that serving.json in that folder names")
    add("--score_threshold", type=_share, default=default.score_threshold, help="detector (default: %(default)s)")
    add("--iou_threshold", type=_share, default=default.iou_threshold, help="detector's NMS (default: %(default)s)")
    add("--cors_origins", type=_names, default=(), help="comma-separated origins that browsers may call from")
    add("--decode_threads", type=int, default=os.cpu_count() or 2, help="threads that decode pictures")
    add(
        "--drain_s", type=float, default=default.drain_s, help="seconds of service after SIGTERM (default: %(default)s)"
    )
    add("--log_requests", action="store_true", help="one line of JSON a request")
    add("--page", action="store_true", default=default.page, help="a page for browsers to try the services (default)")
    add("--no_page", dest="page", action="store_false", help="JSON alone")
    limits = default.limits
    add("--max_body_bytes", type=int, default=limits.body_bytes, help="(default: %(default)s)")
    add("--max_pixels", type=int, default=limits.pixels, help="of one picture (default: %(default)s)")
    add("--max_instances", type=int, default=limits.instances, help="in one request (default: %(default)s)")
    add("--request_timeout_s", type=float, default=limits.timeout_s, help="at most (default: %(default)s)")
    add("--queue_size", type=int, default=limits.queue_size, help="batches a model may have (default: %(default)s)")
    options = parser.parse_args(arguments)

    services = options.services or ((options.model_name,) if options.model_name else SERVICES)
    unknown = [name for name in services if name not in SERVICES]
    if unknown:
        parser.error(f"no service {unknown[0]!r}: there are {', '.join(SERVICES)}")
    try:
        chains = {**CHAINS, **dict(map(parse_chain, options.chain))}
    except ValueError as exc:
        parser.error(f"--chain {exc}")
    if options.model_repository is not None and not options.model_repository.is_dir():
        parser.error(f"--model_repository {options.model_repository}: no such folder")
    for name in ("max_body_bytes", "max_pixels", "max_instances", "request_timeout_s", "queue_size", "decode_threads"):
        if getattr(options, name) <= 0:
            parser.error(f"--{name} must be positive")
    return Settings(
        services=tuple(dict.fromkeys(services)),
        chains=chains,
        host=options.host,
        http_port=options.http_port,
        grpc_port=options.grpc_port,
        predictor_host=options.predictor_host.removeprefix("http://"),
        model_repository=options.model_repository,
        follow_releases=options.follow_releases,
        score_threshold=options.score_threshold,
        iou_threshold=options.iou_threshold,
        cors_origins=options.cors_origins,
        decode_threads=options.decode_threads,
        drain_s=options.drain_s,
        log_requests=options.log_requests,
        page=options.page,
        limits=Limits(
            options.max_body_bytes,
            options.max_pixels,
            options.max_instances,
            options.request_timeout_s,
            options.queue_size,
        ),
    )


def parse_chain(text: str) -> tuple[str, tuple[str, ...]]:
    """A service and its models, in the order in which they are tried, from SERVICE=MODEL[,MODEL].

    Raises:
        ValueError: it is not of that form; the message says what to write.
    """
    service, _, models = text.partition("=")
    if service not in SERVICES or not _names(models):
        raise ValueError(f"{text!r}: write SERVICE=MODEL[,MODEL], for example classifier=mobilenet_v2")
    return service, _names(models)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _share(text: str) -> float:
    share = float(text)
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError("must lie between 0 and 1")
    return share
