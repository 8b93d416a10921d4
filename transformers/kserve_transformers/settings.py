"""The server's settings and limits, from the command line, checked at start.

Each is a field with its flag, its default and its help; the command line is made from the fields. That is argparse's
work: pydantic-settings would split `--service` at the commas between models and word an error in several lines, and
`modelport serve` adds these options to a parser of its own (`options`).
"""

import argparse
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any

from kserve_transformers.api_keys import ApiKeys
from kserve_transformers.arrays.images.formats import OPTIONAL
from kserve_transformers.client.storage import SCHEMES
from kserve_transformers.predictor.signature import PublicKeys
from kserve_transformers.service_spec import FORM, ServiceSpec
from kserve_transformers.tasks import check_spec, number_options
from kserve_transformers.tracing import Collector


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _number(kind: type, minimum: float, maximum: float = float("inf")) -> Callable[[str], Any]:
    def check(text: str) -> Any:
        try:
            number = kind(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is no number") from None
        if number < minimum and maximum == float("inf"):
            raise argparse.ArgumentTypeError("must be positive")
        if not minimum <= number <= maximum:
            raise argparse.ArgumentTypeError(f"must lie between {minimum:g} and {maximum:g}")
        return number

    return check


def _formats(text: str) -> tuple[str, ...]:
    names = tuple(name.upper() for name in _names(text))
    for name in names:
        if name not in OPTIONAL:
            raise argparse.ArgumentTypeError(f"{name!r} cannot be refused: name some of {', '.join(OPTIONAL)}")
    return names


def _keys(text: str) -> ApiKeys:
    try:
        return ApiKeys(Path(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _collector(text: str) -> Collector:
    try:
        return Collector.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _public_keys(text: str) -> PublicKeys:
    return PublicKeys(
        [Path(name) for name in _names(text)]
    )  # read at start: a command line of a pod is parsed elsewhere


def _record(text: str) -> Path | str:
    scheme, separator, rest = text.partition("://")
    if not separator:
        return Path(text)
    if scheme not in (*SCHEMES, "http", "https") or not rest:
        raise argparse.ArgumentTypeError(
            f"{text!r}: name a folder, or a URL that begins with http://, https:// or {'://, '.join(SCHEMES)}://"
        )
    return text


_COUNT = _number(int, 1)


def _option(default: Any, help_text: str, parse: Callable[[str], Any] = str, flag: str | None = None) -> Any:
    """A field that the command line sets; `flag` is its name there, where it is not the field's own."""
    return field(default=default, metadata={"help": help_text, "parse": parse, "flag": flag})


@dataclass(frozen=True)
class Limits:
    """Limits of a request, checked before work is done."""

    body_bytes: int = _option(20 * 1024 * 1024, "bytes of a body, at most", _COUNT, "max_body_bytes")
    pixels: int = _option(40_000_000, "pixels of an image, at most", _COUNT, "max_pixels")
    refused_formats: tuple[str, ...] = _option(
        (), f"comma-separated image formats that are not read, of {', '.join(OPTIONAL)}", _formats, "refuse_formats"
    )
    instances: int = _option(32, "instances of a request, at most", _COUNT, "max_instances")
    timeout_s: float = _option(
        30.0, "seconds that a request may take, at most", _number(float, 0.001), "request_timeout_s"
    )
    queue_size: int = _option(32, "batches that may wait for a model or run on it", _COUNT)


@dataclass(frozen=True)
class RecordSettings:
    """Whether requests are recorded, where to, and how much of them."""

    to: Path | str | None = _option(  # noqa: RUF009  (a field)
        None,
        "record requests and answers to this folder, bucket (s3://...) or HTTP sink (http://...)",
        _record,
        "record",
    )
    percent: float = _option(
        100.0, "per cent of the requests are recorded, and watched for drift", _number(float, 0, 100), "record_percent"
    )
    images: tuple[str, ...] = _option(
        (), "comma-separated services whose images are recorded; of others only their hashes", _names, "record_images"
    )
    image_bytes: int = _option(
        4 * 1024 * 1024, "bytes of an image that is recorded, at most", _COUNT, "record_image_bytes"
    )
    days: float = _option(7.0, "days for which a recorded file is kept", _number(float, 0.001), "record_days")
    max_bytes: int = _option(
        1024**3, "bytes of a record's folder, at most: the oldest files are removed", _number(int, 1024), "record_bytes"
    )
    queue_bytes: int = _option(
        64 * 1024 * 1024, "bytes of requests that may wait to be recorded", _COUNT, "record_queue_bytes"
    )


@dataclass(frozen=True)
class Settings:
    """All settings of a transformer server.

    `defaults` are of the tasks' numeric options, where a request names none.
    """

    services: tuple[ServiceSpec, ...] = ()
    defaults: Mapping[str, float] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    record: RecordSettings = field(default_factory=RecordSettings)
    host: str = _option("0.0.0.0", "address to listen on")  # noqa: S104  (in a pod; the local stack says 127.0.0.1)
    http_port: int = _option(8080, "port of REST", int)
    grpc_port: int = _option(8081, "port of gRPC", int)
    predictor_host: str = _option(
        "127.0.0.1:8000", "host:port of Triton's REST interface", lambda text: text.removeprefix("http://")
    )
    model_repository: Path | None = _option(None, "folder of the models and their golden samples", Path)  # noqa: RUF009  (a field)
    follow_releases: bool = _option(False, "serve the release that serving.json in that folder names")
    drift_window: int = _option(500, "instances that are compared with a model's reference; 0: none", _number(int, 0))
    cors_origins: tuple[str, ...] = _option((), "comma-separated origins that browsers may call from", _names)
    decode_threads: int = _option(os.cpu_count() or 2, "threads that decode images", _COUNT)
    drain_s: float = _option(5.0, "seconds for which requests are still served after SIGTERM", float)
    api_keys: ApiKeys | None = _option(None, "file of API keys: only callers that have one are answered", _keys)  # noqa: RUF009
    require_signature: PublicKeys | None = _option(  # noqa: RUF009
        None, "comma-separated PEM files of public keys: only releases that one of them signed are served", _public_keys
    )
    trace: Collector | None = _option(  # noqa: RUF009
        None, "address of an OpenTelemetry collector: http://HOST:4317 (gRPC) or http://HOST:4318 (HTTP)", _collector
    )
    log_requests: bool = _option(False, "log a line of JSON for each request")
    no_page: bool = _option(False, "answer JSON instead of a page to browsers at / and /SERVICE/")


def parse_settings(arguments: Sequence[str] | None = None) -> Settings:
    """Read the command line; an error ends the process with a line that says what to write.

    Flags that KServe's controller adds to a transformer (`--model_name`, `--predictor_host`, `--http_port`)
    have their usual names.
    """
    parser = argparse.ArgumentParser(prog="python -m kserve_transformers", description=__doc__, allow_abbrev=False)
    add = parser.add_argument
    add("--service", type=_service, action="append", default=[], metavar="SERVICE", help=f"{FORM}; repeatable")
    add("--model_name", help="added by KServe's controller; the services are those that --service declares")
    for flag, how in options():
        add(f"--{flag}", **how)
    told = vars(parser.parse_args(arguments))
    names = [spec.name for spec in told["service"]]
    if not names:
        parser.error(f"declare what to serve: --service {FORM}, once for each service")
    if len(set(names)) < len(names):
        parser.error(f"two services are called {next(name for name in names if names.count(name) > 1)}")
    repository = told["model_repository"]
    if repository is not None and not repository.is_dir():
        parser.error(f"--model_repository {repository}: no such folder")
    if told["require_signature"] and repository is None:
        parser.error("--require_signature needs --model_repository, the folder of the release")
    unknown = [name for name in told["record_images"] if name not in names]
    if unknown:
        parser.error(f"--record_images names {unknown[0]}, which is no service here: there are {', '.join(names)}")
    return Settings(
        tuple(told["service"]),
        {name: told[name] for name in number_options()},
        Limits(**{one.name: told[flag] for flag, one in _flags(Limits)}),
        RecordSettings(**{one.name: told[flag] for flag, one in _flags(RecordSettings)}),
        **{one.name: told[flag] for flag, one in _flags(Settings)},
    )


def options() -> Iterator[tuple[str, dict[str, Any]]]:
    """The server's options beside its services: the flag of each, and the keywords of argparse's add_argument."""
    for name, option in number_options().items():
        check = _number(float, option.minimum, option.maximum)
        text = f"{option.description} (default: {option.default})"
        yield name, {"type": check, "default": option.default, "help": text}
    for flag, one in (*_flags(Settings), *_flags(Limits), *_flags(RecordSettings)):
        default, text = one.default, one.metadata["help"]
        if isinstance(default, bool):
            yield flag, {"action": "store_true", "help": text}
        else:
            shown = f" (default: {default})" if default or default == 0 else ""
            yield flag, {"type": one.metadata["parse"], "default": default, "help": text + shown}


def _flags(kind: type) -> Iterator[tuple[str, Field[Any]]]:
    """The flags of a class of settings, each with its field."""
    for one in fields(kind):
        if "help" in one.metadata:
            yield one.metadata["flag"] or one.name, one


def _service(text: str) -> ServiceSpec:
    try:
        spec = ServiceSpec.parse(text)
        check_spec(spec)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return spec
