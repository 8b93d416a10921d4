"""The paired proof: what must pass passes, what must be refused is refused at the stated rate."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporters.quantising.measures import NMS_IOU_THRESHOLD, SCORE_THRESHOLD
from exporters.quantising.proof import LIMITS, Proof, judge, prove
from exporters.rules import Finding
from kserve_transformers.tasks.detection import DetectionTask

Outputs = dict[str, npt.NDArray[Any]]
COUNT = 600
SEEDS = st.integers(0, 2**32 - 1)


def classes(seed: int = 0, count: int = COUNT, kinds: int = 10) -> Outputs:
    return {"probabilities": np.random.default_rng(seed).dirichlet(np.full(kinds, 0.2), count).astype(np.float32)}


def boxes(seed: int = 0, count: int = COUNT, rows: int = 12) -> Outputs:
    """Up to two boxes above the threshold in each image, far apart from each other; the other rows are padding."""
    generator = np.random.default_rng(seed)
    corners = np.zeros((count, rows, 4), np.float32)
    corners[:, :2, :2] = generator.uniform(0, 0.2, (count, 2, 2)) + np.array([[0, 0], [0.5, 0.5]])
    corners[:, :2, 2:] = corners[:, :2, :2] + generator.uniform(0.1, 0.3, (count, 2, 2))
    scores = np.zeros((count, rows), np.float32)
    scores[:, :2] = -np.sort(-generator.uniform(0.1, 1, (count, 2)), axis=1)
    return {"boxes": corners, "scores": scores, "classes": generator.integers(0, 80, (count, rows)).astype(np.int32)}


def windows(seed: int = 0, count: int = COUNT) -> Outputs:
    errors = np.random.default_rng(seed).gamma(2, 0.3, (count, 1)).astype(np.float32)
    return {"reconstruction": np.tile(errors, (1, 64)), "mae": errors}


MAKERS: Mapping[str, Callable[..., Outputs]] = {
    "classification": classes,
    "digits": classes,
    "detection": boxes,
    "anomaly": windows,
}


def proven(task: str, old: Outputs, new: Outputs, **options: Any) -> Proof:
    return judge(task, old, new, len(next(iter(old.values()))), threshold=0.8, **options)


def broken_on(proof: Proof) -> set[str]:
    return {one.metric for one in proof.findings if not one.passed}


def losing(outputs: Outputs, wrong: npt.NDArray[np.bool_]) -> Outputs:
    """The same scores, but those of some inputs name another class, as sure as before."""
    scores = outputs["probabilities"].copy()
    scores[wrong] = np.roll(scores[wrong], 1, axis=1)
    return {"probabilities": scores}


def test_every_task_has_limits():
    assert LIMITS.keys() == MAKERS.keys()
    assert DetectionTask.parameters["score_threshold"].default == SCORE_THRESHOLD
    assert DetectionTask.parameters["iou_threshold"].default == NMS_IOU_THRESHOLD


@pytest.mark.parametrize("task", MAKERS)
@settings(max_examples=15, deadline=None)
@given(seed=SEEDS, count=st.integers(500, 700), per_source=st.integers(1, 40))
def test_identical_answers_pass(task, seed, count, per_source):
    outputs = MAKERS[task](seed, count)
    labels = outputs["probabilities"].argmax(axis=1) if task in ("classification", "digits") else None
    assert proven(task, outputs, outputs, labels=labels, sources=np.arange(count) // per_source).refusal is None


@pytest.mark.parametrize("task", MAKERS)
def test_a_proof_is_deterministic_and_written_as_json(task):
    old = MAKERS[task]()
    first, second = (proven(task, old, old).as_json() for _ in range(2))
    assert json.loads(json.dumps(first, allow_nan=False)) == second
    assert first["passed"]
    assert {"metric", "limit", "estimate", "interval", "passed"} <= first["findings"][0].keys()


@pytest.mark.parametrize(
    ("agreement", "per_source", "least", "most"),
    [
        pytest.param(0.98, 1, 0, 0.025, id="a loss of exactly 2 points"),
        pytest.param(0.98, 50, 0, 0.025, id="a loss of 2 points, twelve photos"),
        pytest.param(0.96, 1, 0, 0, id="a loss of 4 points"),
        pytest.param(0.999, 1, 0.95, 1, id="a loss of a tenth of a point"),
    ],
)
def test_planted_losses_are_refused_at_the_stated_rate(agreement, per_source, least, most):
    """At the limit 1 in 40 may pass; 400 repetitions make that 10, and 16 are beyond chance."""
    repetitions, passed = 400, 0
    for seed in range(repetitions):
        generator, old = np.random.default_rng([seed, 1]), classes(seed)
        # Some photos are harder than others where there are few of them.
        rates = 1 - agreement if per_source == 1 else generator.beta(0.5, 24.5, COUNT // per_source).repeat(per_source)
        wrong = generator.random(COUNT) < rates
        passed += proven("classification", old, losing(old, wrong), sources=np.arange(COUNT) // per_source).passed
    assert least * repetitions <= passed <= most * repetitions + 6 * (most > 0 and most < 1)


def test_twins_prove_no_more_than_one_of_them():
    """Six hundred copies of twelve photos, one of which is answered wrongly in all copies."""
    old = classes()
    sources = np.arange(COUNT) % 100
    new = losing(old, sources == 0)
    proof = proven("classification", old, new, sources=sources)
    (agreement,) = [one for one in proof.findings if one.metric == "top-1 agreement"]
    assert agreement.estimate.value == pytest.approx(0.99)
    assert agreement.ruling is Finding.OPEN
    assert agreement.needed is not None
    assert agreement.needed > COUNT


@pytest.mark.parametrize("task", MAKERS)
def test_too_few_inputs_are_refused_with_the_number_needed(task):
    outputs = MAKERS[task](count=60)
    proof = proven(task, outputs, outputs)
    few = next(one for one in proof.findings if one.metric == "inputs")
    assert not proof.passed
    assert (few.needed, few.passed) == (500, False)
    assert "about 500 inputs" in (proof.refusal or "")
    assert not judge(task, {}, {}, 0, threshold=0.8).passed


def test_as_many_inputs_as_an_open_limit_needs_settle_it():
    wrong = np.arange(COUNT) % 100 == 0
    old = classes()
    finding = next(
        one for one in proven("classification", old, losing(old, wrong)).findings if one.metric == "top-1 agreement"
    )
    assert finding.ruling is Finding.OPEN
    assert finding.needed is not None
    more = classes(count=(finding.needed // 100 + 1) * 100)
    again = losing(more, np.arange(len(more["probabilities"])) % 100 == 0)
    assert proven("classification", more, again).passed


@pytest.mark.parametrize(
    "tied",
    [
        pytest.param([[0.4, 0.4, 0.2], [0.3999, 0.4001, 0.2]], id="the fp32 network's"),
        pytest.param([[0.4, 0.4, 0.2], [0.4, 0.4, 0.2]], id="both networks'"),
    ],
)
def test_a_tie_break_is_no_disagreement(tied):
    old, new = (np.tile(np.array(row, np.float32), (COUNT, 1)) for row in tied)
    for first, second in ((old, new), (old[:, ::-1], new[:, ::-1])):
        assert proven("classification", {"p": first}, {"p": second}).passed
    rare = np.tile(np.array([0.1, 0.6, 0.3], np.float32), (COUNT, 1))
    equal = rare.copy()
    equal[::200] = [0.45, 0.45, 0.1]  # the lower index would be named
    assert "top-1 agreement" not in broken_on(proven("classification", {"p": rare}, {"p": equal}))


def test_a_network_that_decides_nothing_is_refused():
    old = np.tile(np.array([0.51, 0.49], np.float32), (COUNT, 1))
    assert broken_on(proven("classification", {"p": old}, {"p": np.full_like(old, 0.5)})) == {"ties"}


def damaged(outputs: Outputs, how: str) -> Outputs:
    name = next(name for name in outputs if outputs[name].dtype.kind == "f")
    values = outputs[name].copy()
    if how in ("nan", "inf"):
        values.reshape(-1)[7] = float(how)
    return {
        "missing": {key: one for key, one in outputs.items() if key != name},
        "shorter": {**outputs, name: values[:-1]},
        "other shape": {**outputs, name: values[..., :-1]},
    }.get(how, {**outputs, name: values})


@pytest.mark.parametrize("task", MAKERS)
@pytest.mark.parametrize("how", ["nan", "inf", "missing", "shorter", "other shape"])
def test_incomplete_answers_are_refused(task, how):
    outputs = MAKERS[task]()
    for old, new in ((outputs, damaged(outputs, how)), (damaged(outputs, how), outputs)):
        assert broken_on(judge(task, old, new, COUNT, threshold=0.8)) == {"whole answers"}


def without(outputs: Outputs, share: float) -> Outputs:
    lost = np.random.default_rng(5).random(COUNT) < share
    return {**outputs, "scores": np.where(lost[:, None], 0, outputs["scores"])}


@pytest.mark.parametrize(
    ("change", "broken"),
    [
        pytest.param(lambda old: without(old, 0.02), {"detections that agree"}, id="boxes missing in 2 % of images"),
        pytest.param(lambda old: {**old, "scores": old["scores"] * 0}, None, id="no box at all"),
        pytest.param(lambda old: {**old, "boxes": old["boxes"] + np.float32(0.5)}, None, id="boxes elsewhere"),
        pytest.param(lambda old: {**old, "classes": old["classes"] + 1}, None, id="other classes"),
        pytest.param(lambda old: {**old, "scores": old["scores"] * 0.98}, set(), id="scores a little lower"),
        pytest.param(lambda old: {**old, "scores": old["scores"] * 0.85}, {"absolute score shift"}, id="scores lower"),
        pytest.param(
            lambda old: {**old, "boxes": old["boxes"] * np.array([1, 1, 1, 1.0], np.float32) + np.float32(0.001)},
            set(),
            id="boxes moved by a thousandth",
        ),
        pytest.param(
            lambda old: {name: values[:, ::-1] for name, values in old.items()}, set(), id="rows in another order"
        ),
    ],
)
def test_detections(change, broken):
    old = boxes()
    found = broken_on(proven("detection", old, change(old)))
    assert found == broken if broken is not None else "detections that agree" in found


def test_more_boxes_than_fp32_finds_are_refused_too():
    old = boxes()
    assert "detections that agree" in broken_on(proven("detection", without(old, 0.02), old))


def test_without_any_box_nothing_is_proven():
    nothing = {**boxes(), "scores": np.zeros((COUNT, 12), np.float32)}
    assert not proven("detection", nothing, nothing).passed


@pytest.mark.parametrize(
    ("factor", "broken"), [(1.01, set()), (1.3, {"decisions that agree", "error shift"}), (0.0, None)]
)
def test_windows(factor, broken):
    old = windows()
    found = broken_on(proven("anomaly", old, {**old, "mae": old["mae"] * np.float32(factor)}))
    assert found == broken if broken is not None else "decisions that agree" in found


@pytest.mark.parametrize(
    ("right", "lost", "broken"),
    [
        pytest.param(0.994, 0, set(), id="as good as before"),
        pytest.param(0.994, 0.001, set(), id="a tenth of a point worse"),
        pytest.param(0.994, 0.01, {"accuracy", "accuracy change"}, id="a point worse"),
        pytest.param(0.990, 0, {"accuracy"}, id="fp32 itself is too bad"),
    ],
)
def test_digits(right, lost, broken):
    count = 10_000
    old = classes(count=count)
    labels = old["probabilities"].argmax(axis=1)
    mistaken = np.arange(count) >= right * count
    labels[mistaken] = (labels[mistaken] + 5) % 10
    new = losing(old, np.arange(count) < lost * count)
    assert broken_on(proven("digits", old, new, labels=labels)) == broken


def test_a_batch_at_a_time_gives_the_same_proof():
    pixels = np.random.default_rng(3).integers(0, 256, (COUNT + 3, 4, 4, 1), np.uint8)
    weights = np.random.default_rng(4).normal(size=(16, 5)).astype(np.float32)
    done: list[int] = []

    def network(inputs: Mapping[str, npt.NDArray[Any]]) -> Outputs:
        scores = np.exp(inputs["images"].reshape(-1, 16) / np.float32(255) @ weights)
        return {"probabilities__0": scores / scores.sum(axis=1, keepdims=True)}

    proofs = [
        prove("classification", network, network, {"images": pixels}, batch_size=size, report=done.append)
        for size in (8, 64)
    ]
    assert proofs[0] == proofs[1]
    assert proofs[0].passed
    assert done[-1] == COUNT + 3


def test_the_task_and_the_threshold_must_be_known():
    with pytest.raises(ValueError, match="segmentation"):
        judge("segmentation", {}, {}, 0)
    with pytest.raises(ValueError, match="threshold"):
        judge("anomaly", windows(), windows(), COUNT)


class Quantised:
    """A classifier of one hidden layer as int8 hardware computes it: unsigned activations, signed weights."""

    def __init__(self, hidden: npt.NDArray[np.float64], last: npt.NDArray[np.float64], saturates: bool) -> None:
        self.scale = np.abs(hidden).max(axis=0) / 127
        self.hidden, self.last, self.saturates = np.rint(hidden / self.scale).astype(np.int64), last, saturates

    def __call__(self, inputs: Mapping[str, npt.NDArray[Any]]) -> Outputs:
        products = inputs["images"].astype(np.int64)[:, :, None] * self.hidden
        pairs = products.reshape(len(products), -1, 2, self.hidden.shape[1]).sum(axis=2)
        if self.saturates:  # VPMADDUBSW of AVX2 adds two products in 16 bits
            pairs = pairs.clip(-(2**15), 2**15 - 1)
        return answer(pairs.sum(axis=1) * self.scale, self.last)


def answer(sums: npt.NDArray[np.float64], last: npt.NDArray[np.float64]) -> Outputs:
    logits = np.maximum(sums, 0) @ last
    scores = np.exp(logits - logits.max(axis=1, keepdims=True))
    return {"probabilities": (scores / scores.sum(axis=1, keepdims=True)).astype(np.float32)}


def test_saturating_arithmetic_is_refused_and_exact_arithmetic_is_not():
    generator = np.random.default_rng(11)
    middles = generator.integers(100, 256, (20, 64))
    images = np.clip(middles[generator.integers(20, size=800)] + generator.normal(0, 40, (800, 64)), 0, 255)
    pixels = {"images": np.rint(images).astype(np.uint8)}
    # Neighbouring weights are large and of one sign, so that their products saturate.
    hidden = np.repeat(generator.choice([-1, 1], (32, 96)) * generator.uniform(0.7, 1, (32, 96)), 2, axis=0)
    last = np.linalg.pinv(np.maximum(middles @ hidden, 0)) @ (12 * np.eye(20))
    exact, saturating = (Quantised(hidden, last, saturates) for saturates in (False, True))

    def fp32(inputs: Mapping[str, npt.NDArray[Any]]) -> Outputs:
        return answer(inputs["images"].astype(np.float64) @ hidden, last)

    assert prove("classification", fp32, exact, pixels, batch_size=100).refusal is None
    assert "top-1 agreement" in broken_on(prove("classification", fp32, saturating, pixels, batch_size=100))


@pytest.mark.parametrize("task", MAKERS)
def test_a_recorded_proof_is_judged_by_the_limits_of_today(task, monkeypatch):
    old = MAKERS[task]()
    proof = proven(task, old, old)
    recorded = json.loads(json.dumps(proof.as_json()))
    assert Proof.from_json(recorded) == proof
    assert proof.headline in Proof.from_json(recorded).lines[2]
    for rule in LIMITS[task]:
        kept = [one for one in recorded["findings"] if one["metric"] != rule.measure]
        if len(kept) < len(recorded["findings"]):
            with pytest.raises(ValueError, match=rule.measure):
                Proof.from_json({**recorded, "findings": kept})
    stricter = [replace(rule, limit=2 if rule.at_least else -1) for rule in LIMITS[task]]
    monkeypatch.setitem(LIMITS, task, stricter)  # type: ignore[arg-type]
    assert broken_on(Proof.from_json(recorded)) == {one["metric"] for one in recorded["findings"]} - {"inputs"}
    for malformed in ({}, {"passed": True}, {**recorded, "findings": [1]}, {**recorded, "task": "none"}):
        with pytest.raises(ValueError, match="malformed"):
            Proof.from_json(malformed)
