"""Accuracy, confusion and mAP have the values that follow by hand, and their intervals cover what is true."""

import numpy as np
import pytest
from evaluations import boxes, outcome

from kserve_transformers.judging.answers import Answer
from modelport.releases.evaluation import classification, detection
from modelport.releases.evaluation.detection import MAP, MAP_50
from modelport.releases.evaluation.outcomes import Outcome

SQUARE, LINE = (0.0, 0.0, 10.0, 10.0), (5.0, 5.0, 5.0, 9.0)
CUP = boxes(("cup", 1, SQUARE))
FOUND = boxes(("cup", 0.9, SQUARE))


def said(*labels: str) -> Answer:
    return Answer(labels, np.linspace(0.9, 0.1, len(labels)))


def means(*outcomes: Outcome) -> tuple[float, float]:
    matches = detection.match(outcomes)
    values, weighted = matches.means(), matches.weighted_means(np.ones(len(outcomes), np.intp))
    assert weighted == pytest.approx(values)  # of the bootstrap, and of pycocotools
    return tuple(values.tolist())


SECOND_AFTER_A_WRONG_ONE = (51 + 50 * 2 / 3) / 101  # precision 1 up to recall 0.5, then 2/3


@pytest.mark.parametrize(
    ("outcomes", "mean", "mean_50"),
    [
        pytest.param([outcome(CUP, FOUND)], 1, 1, id="found"),
        pytest.param([outcome(CUP, boxes())], 0, 0, id="nothing found"),
        pytest.param([outcome(CUP, boxes(("cup", 0.9, (0, 0, 10, 6.2))))], 0.3, 1, id="IoU 0.62"),
        pytest.param([outcome(CUP, boxes(("cup", 0.9, (0, 0, 10, 4.9))))], 0, 0, id="IoU 0.49"),
        pytest.param([outcome(CUP, boxes(("bowl", 0.9, SQUARE)))], 0, 0, id="another class in its place"),
        pytest.param([outcome(CUP, FOUND), outcome(CUP, None)], 51 / 101, 51 / 101, id="no answer counts as missed"),
        pytest.param(
            [
                outcome(CUP, boxes(("cup", 0.9, SQUARE), ("cup", 0.8, (50, 50, 60, 60)))),
                outcome(CUP, boxes(("cup", 0.7, SQUARE))),
            ],
            SECOND_AFTER_A_WRONG_ONE,
            SECOND_AFTER_A_WRONG_ONE,
            id="a wrong box between two right ones",
        ),
        pytest.param([outcome(CUP, boxes(("cup", 0.9, SQUARE), ("cup", 0.8, SQUARE)))], 1, 1, id="found twice"),
        pytest.param(
            [outcome(boxes(("cup", 1, SQUARE), ("yeti", 1, SQUARE)), FOUND)], 0.5, 0.5, id="unknown to the model"
        ),
        pytest.param(
            [outcome(CUP, FOUND), outcome(boxes(), boxes(("dog", 0.9, SQUARE)))], 1, 1, id="a class without annotations"
        ),
        pytest.param(
            [outcome(CUP, FOUND), outcome(boxes(), boxes(("cup", 0.95, SQUARE)))], 0.5, 0.5, id="found where nothing is"
        ),
        pytest.param(
            [outcome(boxes(("cup", 1, SQUARE), ("cup", 1, (20, 20, 90, 90))), boxes(
                ("cup", 0.9, (21, 21, 30, 30)), ("cup", 0.8, SQUARE)), crowd=(False, True))],
            1,
            1,
            id="boxes in a group are neither right nor wrong",
        ),
        pytest.param(
            [outcome(boxes(("cup", 1, SQUARE), ("cup", 1, LINE)), boxes(("cup", 0.9, SQUARE), ("cup", 0.8, LINE)))],
            51 / 101,
            51 / 101,
            id="a box without an area cannot be found",
        ),
    ],
)  # fmt: skip
def test_map(outcomes, mean, mean_50):
    assert means(*outcomes) == pytest.approx((mean, mean_50))


def random_outcomes(seed: int, images: int = 30) -> list[Outcome]:
    """Boxes of three classes, shifted, missed, doubled and invented."""
    random = np.random.default_rng(seed)

    def some(count: int, about: np.ndarray | None = None) -> Answer:
        corners = (
            random.uniform(0, 100, (count, 2)) if about is None else about[:count, :2] + random.normal(0, 3, (count, 2))
        )
        labels = [("cup", "cat", "dog")[index] for index in random.integers(3, size=count)]
        return boxes(
            *((label, random.uniform(), (x, y, x + 20, y + 20)) for label, (x, y) in zip(labels, corners, strict=True))
        )

    rights = [some(int(random.integers(6))) for _ in range(images)]
    return [outcome(right, some(len(right.labels), right.boxes)) for right in rights]


def test_the_weights_of_the_bootstrap_are_images_that_occur_so_often():
    outcomes = random_outcomes(3)
    weights = np.random.default_rng(1).integers(3, size=len(outcomes))
    repeated = [one for one, weight in zip(outcomes, weights, strict=True) for _ in range(weight)]
    weighted = detection.match(outcomes).weighted_means(weights)
    # Equal scores of repeated images lie in another order, which moves single steps of precision.
    assert weighted == pytest.approx(detection.match(repeated).means(), abs=0.02)


def test_classes_of_a_detector():
    group = outcome(boxes(("dog", 1, SQUARE)), boxes(), crowd=(True,))
    found = detection.classes(detection.match([outcome(CUP, FOUND), group]))
    assert found["cup"] == {"boxes": 1, "AP@0.5:0.95": pytest.approx(1), "AP@0.5": pytest.approx(1)}
    assert found["dog"] == {"boxes": 0, "AP@0.5:0.95": None, "AP@0.5": None}


def test_intervals_of_map_cover_the_truth(monkeypatch):
    """Of boxes that are found with probability 0.7, all of them right, the truth is the share of recalls up to 0.7."""
    monkeypatch.setattr(detection, "RESAMPLES", 100)
    random, truth, covered = np.random.default_rng(5), 71 / 101, 0
    for _ in range(40):
        outcomes = [outcome(CUP, FOUND if random.uniform() < 0.7 else boxes()) for _ in range(60)]
        found = detection.measures(detection.match(outcomes))[MAP]
        assert found.sure
        covered += found.low <= truth <= found.high
    assert covered >= 35  # 38 are expected; the seed is fixed


def test_few_images_are_not_sure():
    assert not detection.measures(detection.match([outcome(CUP, FOUND)] * 19))[MAP].sure


def test_changes_are_paired():
    """Half of the images are hard for both; of the 30 easy ones, the new release misses 12."""
    old = [outcome(CUP, FOUND)] * 30 + [outcome(CUP, boxes())] * 30
    new = [outcome(CUP, boxes())] * 12 + old[12:]
    change = detection.changes(detection.match(new), detection.match(old))[MAP_50]
    assert change.value == pytest.approx((31 - 51) / 101)
    assert -0.35 < change.low < change.value < change.high < -0.08
    same = detection.changes(detection.match(old), detection.match(old))[MAP_50]
    assert (same.low, same.value, same.high) == (0, 0, 0)


def test_accuracy_and_top_5():
    outcomes = [
        outcome(said("cat"), said("cat", "a", "b", "c", "d")),
        outcome(said("cat"), said("a", "b", "c", "d", "cat")),
        outcome(said("cat"), said("a", "b", "c", "d", "e")),
        outcome(said("dog"), None),
    ]
    found = classification.measures(outcomes)
    assert (found["accuracy"].value, found["accuracy"].count) == (0.25, 4)
    assert found["top-5 accuracy"].value == 0.5
    assert list(classification.measures([outcome(said("5"), said("5"))])) == ["accuracy"]


def test_confusion_and_classes():
    pairs = [
        ("cat", "cat"),
        ("cat", "cat"),
        ("cat", "dog"),
        ("dog", "dog"),
        ("dog", None),
        ("cow", "dog"),
        ("dog", "fox"),
    ]
    outcomes = [outcome(said(right), said(given) if given else None) for right, given in pairs]
    assert classification.confusion(outcomes) == {
        "cat": {"cat": 2, "dog": 1},
        "cow": {"dog": 1},
        "dog": {"dog": 1, "no answer": 1, "fox": 1},
    }
    found = classification.classes(outcomes)
    values = {
        label: (one["samples"], *(one[what] and round(one[what]["value"], 3) for what in ("precision", "recall")))
        for label, one in found.items()
    }
    assert values == {"cat": (3, 1, 0.667), "cow": (1, None, 0), "dog": (3, 0.333, 0.333), "fox": (0, 0, None)}
    assert found["dog"]["recall"]["low"] < 1 / 3 < found["dog"]["recall"]["high"]


@pytest.mark.parametrize(
    ("gained", "lost", "p"), [(0, 0, 1), (5, 5, 1), (1, 9, 22 / 1024), (9, 1, 22 / 1024), (0, 6, 1 / 32)]
)
def test_mcnemars_exact_test(gained, lost, p):
    assert classification.worse_p(gained, lost) == pytest.approx(p)


def test_intervals_of_accuracy_cover_the_truth():
    random, covered = np.random.default_rng(9), 0
    for _ in range(150):
        right = random.uniform(size=80) < 0.9
        found = classification.measures([outcome(said("a"), said("a" if one else "b")) for one in right])["accuracy"]
        covered += found.low <= 0.9 <= found.high
    assert 0.92 <= covered / 150 <= 0.99
