"""Send files, folders, object storage or standard input to a running server; results are JSON lines or tables."""

import argparse
import contextlib
import math
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from kserve_transformers.client.drawing import Drawings
from kserve_transformers.client.formats import FORMATS, FormatError
from kserve_transformers.client.inputs import IMAGES, SERIES, STDIN, Input, find_inputs
from kserve_transformers.client.outputs import Output, Shard, open_output
from kserve_transformers.client.progress import progress
from kserve_transformers.client.results import Request, Result, summary
from kserve_transformers.client.series import cut_windows, read_series
from kserve_transformers.client.service import RequestError, Service, UnreachableError
from kserve_transformers.client.storage import is_url

Predict = Callable[[Input], Any]
_EXIT_CODES = """exit codes:
  0    every input has an answer
  1    some inputs have none: their results say why
  2    nothing was sent, or the run ended early: the server is not reachable, or results cannot be written
  130  Ctrl-C; 143 SIGTERM; 141 the reader of standard output is gone
What was answered stays in --out, and the same command goes on from there.

environment: MODELPORT_API_KEY, the key for a server that requires one."""


class _TerminatedError(BaseException):
    """SIGTERM came."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Send every input; returns the exit code: see _EXIT_CODES."""
    options = _parse(arguments)
    try:
        return _main(options)
    except BrokenPipeError:
        _abandon_standard_output()
        return 128 + signal.SIGPIPE
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except _TerminatedError:
        return 128 + signal.SIGTERM
    except (RequestError, FormatError, OSError, ValueError) as exc:
        print(f"error: {exc}", file=sys.stderr)
        _abandon_standard_output()
        return 2


def _main(options: argparse.Namespace) -> int:
    given = {"score_threshold": options.score_threshold, "iou_threshold": options.iou_threshold}
    parameters = {name: value for name, value in given.items() if value is not None}
    with Service(options.url, options.service, options.timeout, options.threads, parameters) as service:
        length = service.window_length()
        series = length is not None
        if (options.draw or parameters) and series:
            raise ValueError("--draw and thresholds are for images")
        if options.column is not None:
            if not series:
                raise ValueError("--column is for series")
            parameters = {"column": options.column}
        apart = {os.path.abspath(one) for one in (options.out, options.draw) if one and not is_url(one)}  # noqa: PTH100
        inputs = list(find_inputs(options.inputs, SERIES if series else IMAGES, apart))
        if any(os.path.abspath(one.name) in apart for one in inputs):  # noqa: PTH100
            raise ValueError("an input is what --out or --draw would write: name another file")
        drawings = Drawings(options.draw, inputs) if options.draw else None
        if options.shard:
            inputs = [one for one in inputs if one.is_in_shard(*options.shard)]
        output = open_output(options.out, options.format, options.shard, Request(options.service, parameters))
        predict = _series_predictor(service, length, options.column) if length else _image_predictor(service, drawings)
        with _closing(output):
            # standard input is another one each time
            left = [one for one in inputs if one.name == STDIN or one.name not in output.answered]
            if len(left) < len(inputs):
                print(f"{len(inputs) - len(left)} of {len(inputs)} have an answer already", file=sys.stderr)
            return _run(left, predict, output, options.threads)


def _run(inputs: Sequence[Input], predict: Predict, output: Output, threads: int) -> int:
    started, results = time.monotonic(), []
    with progress(len(inputs)) as step:
        for result in _predict_all(inputs, predict, threads):
            output.add(result)
            results.append(replace(result, answer=None))
            step()
    for line in summary(results, time.monotonic() - started):
        print(line, file=sys.stderr)
    return 1 if any(result.error is not None for result in results) else 0


@contextlib.contextmanager
def _closing(output: Output) -> Iterator[None]:
    """Write what is left, however the run ends."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError, FormatError):
            output.close()
        raise
    output.close()


def _abandon_standard_output() -> None:
    """What cannot be written to it is not tried again when Python exits."""
    with contextlib.suppress(OSError, ValueError):
        try:
            sys.stdout.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="modelport client",
        description=__doc__,
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("service", help="a service of the server, such as detector")
    add("inputs", nargs="+", metavar="FILE|FOLDER|URL/|-", help="images; for windows CSV or a JSON list of numbers")
    add("--url", default="http://127.0.0.1:8080", help="of the server (default: %(default)s)")
    add("--out", metavar="FILE|FOLDER/|URL/", help="write the results there, and skip what has an answer there")
    add("--format", choices=FORMATS, help="of --out (default: by its suffix; a folder gets parts in Parquet)")
    add("--shard", type=_shard, metavar="K/N", help="send only the K-th of N shares of the inputs, counted from 0")
    add("--draw", metavar="FILE|FOLDER", help="draw answers: a file for one image, else a folder")
    add("--threads", type=int, default=1, help="requests at a time (default: %(default)s)")
    add("--timeout", type=float, default=60.0, help="seconds for one answer, busy servers included (%(default)s)")
    add("--score_threshold", type=_share, help="lowest confidence of a detection, 0 to 1 (default: the server's)")
    add("--iou_threshold", type=_share, help="overlap above which the weaker box is dropped, 0 to 1")
    add("--column", help="of a table of numbers, by name or counted from 1 (default: the only one with values)")
    options = parser.parse_args(arguments)
    if options.threads < 1 or not 0 < options.timeout < math.inf:
        parser.error("--threads and --timeout must be positive")
    return options


def _share(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 <= float(text) <= 1:
            return float(text)
    raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")


def _shard(text: str) -> Shard:
    shard, slash, shards = text.partition("/")
    if not (slash and shard.isdecimal() and shards.isdecimal() and int(shard) < int(shards)):
        raise argparse.ArgumentTypeError(f"{text} is not K/N with K from 0 to N-1, such as 0/20")
    return int(shard), int(shards)


def _image_predictor(service: Service, drawings: Drawings | None) -> Predict:
    def predict(one: Input) -> Any:
        data = one.read()
        prediction = service.predict_image(data)
        if drawings:
            drawings.draw(one, data, prediction)
        return prediction

    return predict


def _series_predictor(service: Service, length: int, column: str | None) -> Predict:
    def predict(one: Input) -> Any:
        windows = cut_windows(read_series(one.read(), column), length)
        predictions = service.predict_windows(list(windows.values()))
        return [{"start": start, **found} for start, found in zip(windows, predictions, strict=True)]

    return predict


def _predict_all(inputs: Sequence[Input], predict: Predict, threads: int) -> Iterator[Result]:
    """Results as they come; inputs are read by the threads, so that no more than one a thread is in memory.

    Raises:
        UnreachableError: the server is gone: the rest would have no answer either.
    """
    waiting: queue.SimpleQueue[Input] = queue.SimpleQueue()
    for one in inputs:
        waiting.put(one)
    results: queue.SimpleQueue[Result | UnreachableError] = queue.SimpleQueue()

    def work(thread: int) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                results.put(_predict_one(waiting.get_nowait(), predict, thread))

    for thread in range(min(threads, len(inputs))):
        threading.Thread(target=work, args=(thread,), daemon=True).start()
    for _ in inputs:
        result = results.get()
        if isinstance(result, UnreachableError):
            raise result
        yield result


def _predict_one(one: Input, predict: Predict, thread: int) -> Result | UnreachableError:
    started = time.monotonic()
    try:
        answer = predict(one)
    except UnreachableError as exc:
        return exc
    except Exception as exc:  # every input has a result, whatever is wrong with it
        return Result(one.name, thread, time.monotonic() - started, error=str(exc))
    return Result(one.name, thread, time.monotonic() - started, answer)


def _terminate(*_: object) -> None:
    raise _TerminatedError


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _terminate)
    sys.exit(main())
