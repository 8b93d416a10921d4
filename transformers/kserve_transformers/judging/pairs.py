"""Pairs what a service and its shadow answered to the same requests, as evidence for the judge of a canary."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from kserve_transformers.judging.answers import difference, recorded_answer
from kserve_transformers.judging.judge import Tally
from kserve_transformers.observe import SUCCESS
from kserve_transformers.record.reading import Recorded

SHADOW = "-shadow-predictor"  # in the names of a shadow's pods
MAX_COMPARED = 2000  # pairs that are compared: those of the latest copies
# Stricter than for two releases that were trained apart: the requests are the same, and the shadow is to take over.
IOU_THRESHOLD = 0.75


def is_shadow(recorded: Recorded) -> bool:
    """Whether a shadow recorded this."""
    return SHADOW in recorded.source


def names_in_record(release: str) -> frozenset[str | None]:
    """What a record calls a release: a model repository, `initial`, has no name."""
    return frozenset({release, "none"} if release == "initial" else {release})


def disagreement(records: Iterable[Recorded], stable: str, shadow: str, since: float = 0.0) -> Tally:
    """The pairs of two releases' answers, and the sum of the parts of them that differ.

    A copy that the shadow alone failed differs. Copies that nobody recorded are not counted, and neither are requests
    whose id came twice.

    Args:
        records: of one service; they are read twice, so that memory holds no more than MAX_COMPARED of them.
        stable: the release whose answers callers got.
        shadow: the release that got copies.
        since: seconds since 1970; the first requests.

    Raises:
        ValueError: an answer is of no known form.
    """
    ours = names_in_record(shadow)
    copies: dict[str, Recorded | None] = {}
    for one in records:
        if is_shadow(one) and one.began >= since and one.release in {*ours, None}:
            copies[one.request_id] = None if one.request_id in copies else replace(one, instances=())
            if len(copies) > MAX_COMPARED:
                del copies[next(iter(copies))]
    # a failure names no release: it is of this one where the pod's answers are
    pods = {one.source for one in copies.values() if one and one.release in ours}
    answers: dict[str, Recorded | None] = {}
    for one in records:
        if one.request_id in copies and not is_shadow(one):
            answers[one.request_id] = None if one.request_id in answers else replace(one, instances=())
    bad, total = 0.0, 0
    for request_id, answer in answers.items():
        copy = copies[request_id]
        if not answer or not copy or copy.source not in pods:
            continue
        if answer.status not in SUCCESS or answer.release not in names_in_record(stable):
            continue
        differing = [1.0] if copy.status not in SUCCESS else _differing(answer, copy)
        bad, total = bad + sum(differing), total + len(differing)
    return Tally(bad, total)


def _differing(answer: Recorded, copy: Recorded) -> list[float]:
    """For each instance, the share of the results that differ; empty where there is nothing to compare."""
    if len(answer.predictions) != len(copy.predictions):
        return [1.0]
    pairs = zip(answer.predictions, copy.predictions, strict=True)
    found = [difference(recorded_answer(one), recorded_answer(other), IOU_THRESHOLD) for one, other in pairs]
    return [1 - one.agreed / one.count if one.count else 0.0 for one in found]
