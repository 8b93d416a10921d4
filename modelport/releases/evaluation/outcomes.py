"""What a service answered to labelled samples."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tqdm import tqdm

from exporters.files import listing_sha256, sha256
from kserve_transformers.judging.answers import Answer
from modelport.releases.comparison.caller import Caller, RefusedError
from modelport.releases.comparison.samples import Sample
from modelport.releases.errors import EvaluationError
from modelport.releases.evaluation.labelled import LabelledData

MISSING, REFUSED = "missing", "refused"


@dataclass(frozen=True)
class Outcome:
    """The right answer to a sample, and the given one."""

    name: str
    sha256: str  # of the sample's content; empty where it is missing
    right: Answer
    given: Answer | None  # None where there is no answer, which counts as a wrong one
    problem: tuple[str, str] | None = None  # why there is none: MISSING or REFUSED, and the reason
    crowd: tuple[bool, ...] = ()  # see Labelled

    def to_json(self) -> dict[str, Any]:
        """The outcome as a JSON object; boxes as xyxy."""
        given = self.given and {**_to_json(self.given), "scores": self.given.scores.astype(np.float32).tolist()}
        return {
            "name": self.name,
            "sha256": self.sha256,
            "right": _to_json(self.right),
            "crowd": [index for index, one in enumerate(self.crowd) if one],
            "given": given,
            "problem": self.problem,
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Outcome:
        """The outcome that `to_json` described."""
        right, given = document["right"], document["given"]
        crowd = tuple(index in document["crowd"] for index in range(len(right["labels"]) if "boxes" in right else 0))
        return cls(
            document["name"],
            document["sha256"],
            _from_json(right),
            given and _from_json(given),
            document["problem"] and tuple(document["problem"]),
            crowd,
        )


def collect(caller: Caller, data: LabelledData, parameters: Mapping[str, Any]) -> list[Outcome]:
    """Send every sample; shows a progress bar on a terminal.

    Raises:
        ComparisonError: the service does not answer.
        EvaluationError: it accepts none of the samples.
    """
    outcomes = []
    for one in tqdm(data.samples, unit="sample", disable=None):
        given, problem, digest = None, None, ""
        try:
            sample = Sample(one.name, one.content())
            digest = sha256([sample.bytes])
            given, _ = caller.infer(sample, parameters)
        except OSError as exc:
            problem = MISSING, str(exc.strerror or exc)
        except RefusedError as exc:
            problem = REFUSED, str(exc)
        outcomes.append(Outcome(one.name, digest, one.right, given, problem, one.crowd))
    if not any(one.given for one in outcomes):
        first = next(one for one in outcomes if one.problem)
        reason = ": ".join(first.problem or ())
        raise EvaluationError(f"no sample of {len(outcomes)} was answered: {first.name} is {reason}")
    return outcomes


def data_sha256(outcomes: Iterable[Outcome]) -> str:
    """Identifies labelled data by names, contents and right answers, in whatever order."""
    listing = [
        (one.name, sha256([json.dumps([one.sha256, _to_json(one.right), one.crowd]).encode()])) for one in outcomes
    ]
    return listing_sha256(sorted(listing))


def _to_json(answer: Answer) -> dict[str, Any]:
    boxes = {} if answer.boxes is None else {"boxes": answer.boxes.tolist()}
    return {"labels": answer.labels, **boxes, **({"model": answer.model} if answer.model else {})}


def _from_json(document: Mapping[str, Any]) -> Answer:
    labels: Sequence[str] = document["labels"]
    boxes = np.array(document["boxes"], np.float32).reshape(-1, 4) if "boxes" in document else None
    scores = np.array(document.get("scores", [1.0] * len(labels)), np.float64)
    return Answer(tuple(labels), scores, boxes, model=document.get("model"))
