"""Evaluations without a server: answers that are made up, measured and reported as real ones."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kserve_transformers.judging.answers import Answer
from modelport.releases.comparison.caller import RefusedError
from modelport.releases.comparison.samples import Sample
from modelport.releases.evaluation.data import DataOptions, read_data
from modelport.releases.evaluation.evaluating import evaluate
from modelport.releases.evaluation.outcomes import Outcome
from modelport.releases.evaluation.report import Report
from modelport.services import load

DIGITS = {str(digit): str(digit) for digit in range(10)}
Box = tuple[str, float, tuple[float, float, float, float]]


class FakeCaller:
    """Answers by a function of the sample; images that are empty are refused."""

    service = "digits"

    def __init__(self, answer: Callable[[Sample], Answer], name: str = "new") -> None:
        self.name = name
        self.parameters: Mapping[str, Any] | None = None
        self._answer = answer

    def infer(self, sample: Sample, parameters: Mapping[str, Any]) -> tuple[Answer, float]:
        self.parameters = parameters
        if not sample.bytes:
            raise RefusedError("the image is empty")
        return self._answer(sample), 0.001

    def models(self) -> dict[str, Any]:
        return {"mnist": {"weights": "trained"}}


def boxes(*found: Box) -> Answer:
    """A detector's answer; boxes as xyxy."""
    labels, scores, places = zip(*found, strict=True) if found else ((), (), ())
    return Answer(tuple(labels), np.array(scores), np.array(places, np.float32).reshape(-1, 4))


def outcome(right: Answer, given: Answer | None, crowd: Sequence[bool] = (), name: str = "x") -> Outcome:
    crowd = tuple(crowd) or (False,) * (len(right.labels) if right.boxes is not None else 0)
    return Outcome(name, "", right, given, None if given else ("missing", "it is gone"), crowd)


def labelled_digits(folder: Path, count: int) -> Path:
    """Class folders of files that are no images: the fake caller reads the digit that stands in each."""
    for number in range(count):
        place = folder / str(number % 10)
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{number:03}.png").write_bytes(f"{number % 10} {number}".encode())
    return folder


def digits_report(
    data: Path, out: Path, wrong: int, name: str = "new", files: Mapping[str, str] | None = None
) -> Report:
    """The report of digits where the first images are answered wrongly."""
    options, service = DataOptions(data), load()["digits"]

    def answer(sample: Sample) -> Answer:
        digit, number = sample.bytes.split()
        said = (int(digit) + (int(number) < wrong)) % 10
        return Answer((str(said),), np.array([0.9]))

    known = read_data(options, service, DIGITS)
    return evaluate(FakeCaller(answer, name), service, files, known, options, lambda line: None, out)
