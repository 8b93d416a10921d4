"""What the judge of a canary learns from the record of a release that was a shadow."""

from dataclasses import replace

import pytest

from kserve_transformers.judging import pairs
from kserve_transformers.judging.judge import Tally
from kserve_transformers.judging.pairs import disagreement
from kserve_transformers.record.reading import Recorded

STABLE, RELEASE, OTHER = "2026-11-20-aaaaaaaaaaaa", "2026-11-22-0123456789ab", "2026-11-21-bbbbbbbbbbbb"


def answer(number: int, digit: int = 5) -> Recorded:
    prediction = {"predicted_digit": digit, "confidence": 0.9}
    place = ("http://digits-predictor-1/digits", "mnist", STABLE)
    return Recorded(f"id-{number}", "digits", "v1", "200", number, 0.01, *place, [{"sha256": "0"}], {}, [prediction])


def copy(one: Recorded, release: str = RELEASE, pod: str = "a") -> Recorded:
    return replace(one, source=f"http://digits-shadow-predictor-{pod}/digits", release=release)


def failed(one: Recorded) -> Recorded:
    return replace(one, status="502", model=None, release=None, instances=(), predictions=())


GOOD = [answer(number) for number in range(10)]
COPIES = [copy(one) for one in GOOD]
BOX = {"label": "dog", "confidence": 0.8, "bbox": [10, 10, 100, 80]}
BESIDE = {**BOX, "bbox": [200, 10, 100, 80]}


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        pytest.param([*GOOD, *COPIES], Tally(0, 10), id="agreeing"),
        pytest.param([*COPIES, *GOOD], Tally(0, 10), id="the shadow recorded first"),
        pytest.param([*GOOD, *COPIES[1:], copy(answer(0, 3))], Tally(1, 10), id="another digit"),
        pytest.param([*GOOD, *COPIES[1:], failed(COPIES[0])], Tally(1, 10), id="the shadow failed"),
        pytest.param([*GOOD, *COPIES[1:], failed(copy(GOOD[0], pod="b"))], Tally(0, 9), id="another shadow failed"),
        pytest.param([failed(GOOD[0]), *GOOD[1:], *COPIES], Tally(0, 9), id="the stable side failed"),
        pytest.param([*GOOD, *COPIES[1:], copy(answer(0, 3), OTHER)], Tally(0, 9), id="another shadow's answer"),
        pytest.param([*(replace(one, release=OTHER) for one in GOOD), *COPIES], Tally(), id="another stable release"),
        pytest.param([*(replace(one, release=RELEASE) for one in GOOD), *COPIES], Tally(), id="answered by the canary"),
        pytest.param([*GOOD, GOOD[0], *COPIES], Tally(0, 9), id="an id that callers used twice"),
        pytest.param([*GOOD, *COPIES, COPIES[0]], Tally(0, 9), id="an id that was copied twice"),
        pytest.param([*GOOD, *COPIES[:3]], Tally(0, 3), id="most were not copied"),
        pytest.param([*GOOD[:3], *COPIES], Tally(0, 3), id="most answers were not recorded"),
        pytest.param(
            [replace(one, predictions=(), instances=()) for one in (*GOOD, *COPIES)], Tally(), id="only metadata"
        ),
        pytest.param([*GOOD, replace(COPIES[0], predictions=[]), *COPIES[1:]], Tally(1, 10), id="no answer at all"),
        pytest.param(
            [replace(GOOD[0], predictions=[{"detections": [BOX, BOX]}, {"detections": []}]),
             copy(replace(GOOD[0], predictions=[{"detections": [BOX, BESIDE]}, {"detections": []}]))],
            Tally(0.5, 2), id="one box of two in the first of two images",
        ),
        pytest.param([], Tally(), id="nothing"),
    ],
)  # fmt: skip
def test_pairs(records, expected):
    assert disagreement(records, STABLE, RELEASE) == expected


@pytest.mark.parametrize("name", ["initial", "none"])
def test_a_model_repository_has_no_name_in_the_record(name):
    assert disagreement([*(replace(one, release=name) for one in GOOD), *COPIES], "initial", RELEASE) == Tally(0, 10)
    assert disagreement([*GOOD, *(copy(one, name) for one in GOOD)], STABLE, "initial") == Tally(0, 10)


def test_what_is_older_does_not_count():
    assert disagreement([*GOOD, *COPIES], STABLE, RELEASE, since=7) == Tally(0, 3)


def test_the_latest_copies_count(monkeypatch):
    monkeypatch.setattr(pairs, "MAX_COMPARED", 4)
    swapped = [copy(answer(number, 3)) for number in range(6)]
    assert disagreement([*GOOD, *swapped, *COPIES[6:]], STABLE, RELEASE) == Tally(0, 4)


def test_an_answer_of_no_known_form_is_an_error():
    strange = replace(GOOD[0], predictions=[{"cats": 3}])
    with pytest.raises(ValueError, match="no label and score"):
        disagreement([strange, copy(strange)], STABLE, RELEASE)
