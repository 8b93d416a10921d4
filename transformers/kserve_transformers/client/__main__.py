"""Send files, folders or standard input to a running server; results are JSON lines."""

from __future__ import annotations

import argparse
import contextlib
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

import cv2
import numpy as np

from kserve_transformers.arrays.decoding import decode_image
from kserve_transformers.client.drawing import draw_prediction
from kserve_transformers.client.inputs import IMAGES, SERIES, Input, find_inputs
from kserve_transformers.client.results import Result, answered_before, summary
from kserve_transformers.client.series import cut_windows, read_series
from kserve_transformers.client.service import RequestError, Service
from kserve_transformers.settings import Limits

Predict = Callable[[Input], Any]


def main(arguments: Sequence[str] | None = None) -> int:
    """Send every input; returns 1 where one of them has no answer, 2 where none can be sent."""
    options = _parse(arguments)
    with Service(options.url, options.service, options.timeout, options.threads) as service:
        try:
            length = service.window_length()
            if options.draw and length is not None:
                raise ValueError("--draw is for images")
            inputs = list(find_inputs(options.inputs, IMAGES if length is None else SERIES))
            done = answered_before(options.out) if options.out else set()
        except (RequestError, OSError, ValueError) as exc:
            print(f"error: {exc}", file=sys.stderr)
            return 2
        if done:
            print(f"{sum(one.name in done for one in inputs)} of {len(inputs)} have an answer already", file=sys.stderr)
        predict = (
            _image_predictor(service, options) if length is None else _series_predictor(service, length, options.column)
        )
        return _run([one for one in inputs if one.name not in done], predict, options)


def _run(inputs: Sequence[Input], predict: Predict, options: argparse.Namespace) -> int:
    started, results = time.monotonic(), []
    with _open(options.out) as out, _progress(len(inputs)) as step:
        for result in _predict_all(inputs, predict, options.threads):
            print(result.line(), file=out, flush=True)
            results.append(result)
            step()
    for line in summary(results, time.monotonic() - started):
        print(line, file=sys.stderr)
    return 1 if any(result.error is not None for result in results) else 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="modelport client", description=__doc__)
    add = parser.add_argument
    add("service", help="a service of the server, such as detector")
    add("inputs", nargs="+", metavar="FILE|FOLDER|-", help="images; for windows CSV or a JSON list of numbers")
    add("--url", default="http://127.0.0.1:8080", help="of the server (default: %(default)s)")
    add("--out", type=Path, help="append the results to this file, and skip what has an answer there")
    add("--draw", type=Path, metavar="FILE|FOLDER", help="draw answers: a file for one image, else a folder")
    add("--threads", type=int, default=1, help="requests at a time (default: %(default)s)")
    add("--timeout", type=float, default=60.0, help="seconds for one answer, busy servers included (%(default)s)")
    add("--column", help="of a CSV, by name (default: the last)")
    options = parser.parse_args(arguments)
    if options.threads < 1 or options.timeout <= 0:
        parser.error("--threads and --timeout must be positive")
    return options


def _image_predictor(service: Service, options: argparse.Namespace) -> Predict:
    one_file = len(options.inputs) == 1 and not Path(options.inputs[0]).is_dir()

    def predict(one: Input) -> Any:
        data = one.read()
        prediction = service.predict_image(data)
        if options.draw:
            target = options.draw if one_file else (options.draw / one.relative).with_suffix(".jpg")
            target.parent.mkdir(parents=True, exist_ok=True)
            rgb = decode_image(data, Limits.pixels).rgb
            if not cv2.imwrite(str(target), draw_prediction(np.ascontiguousarray(rgb[..., ::-1]), prediction)):
                raise OSError(f"{target} could not be written")
        return prediction

    return predict


def _series_predictor(service: Service, length: int, column: str | None) -> Predict:
    def predict(one: Input) -> Any:
        windows = cut_windows(read_series(one.read(), column), length)
        predictions = service.predict_windows(list(windows.values()))
        return [{"start": start, **found} for start, found in zip(windows, predictions, strict=True)]

    return predict


def _predict_all(inputs: Sequence[Input], predict: Predict, threads: int) -> Iterator[Result]:
    """Results as they come; inputs are read by the threads, so that no more than one a thread is in memory."""
    waiting: queue.SimpleQueue[Input] = queue.SimpleQueue()
    for one in inputs:
        waiting.put(one)
    results: queue.SimpleQueue[Result] = queue.SimpleQueue()

    def work(thread: int) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                results.put(_predict_one(waiting.get_nowait(), predict, thread))

    for thread in range(min(threads, len(inputs))):
        threading.Thread(target=work, args=(thread,), daemon=True).start()
    for _ in inputs:
        yield results.get()


def _predict_one(one: Input, predict: Predict, thread: int) -> Result:
    started = time.monotonic()
    try:
        answer = predict(one)
    except Exception as exc:  # every input has a result, whatever is wrong with it
        return Result(one.name, thread, time.monotonic() - started, error=str(exc))
    return Result(one.name, thread, time.monotonic() - started, answer)


@contextlib.contextmanager
def _open(out: Path | None) -> Iterator[TextIO]:
    if out is None:
        yield sys.stdout
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("a") as file:
        yield file


@contextlib.contextmanager
def _progress(total: int) -> Iterator[Callable[[], object]]:
    """A bar where tqdm is there, else a line every second; nothing for one input."""
    if total < 2:
        yield lambda: None
        return
    try:
        from tqdm import tqdm
    except ImportError:
        yield _Lines(total).step
    else:
        with tqdm(total=total, file=sys.stderr, unit="file") as bar:
            yield bar.update


class _Lines:
    def __init__(self, total: int) -> None:
        self._total, self._done, self._told = total, 0, time.monotonic()

    def step(self) -> None:
        self._done += 1
        if time.monotonic() - self._told >= 1:
            self._told = time.monotonic()
            print(f"{self._done} of {self._total}", file=sys.stderr)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)  # what has an answer is in --out
