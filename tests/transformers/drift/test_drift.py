"""Dark, blurred and channel-swapped images alarm, and other answers do; the same again no more often than stated."""

import json

import cv2
import numpy as np
import pytest
from prometheus_client import REGISTRY

from kserve_transformers.arrays.decoding import DecodedImage
from kserve_transformers.drift.monitor import RATE, DriftMonitor, Window
from kserve_transformers.drift.reference import FILE, Histogram, Reference, features
from kserve_transformers.observe import Ended, Exchange
from kserve_transformers.record.statistics import image_statistics, measure

LABELS = ("cat", "dog", "cup", "car")


def image(random: np.random.Generator) -> np.ndarray:
    """A scene: a coloured gradient, boxes of other colours, and noise; uint8 [48,64,3]."""
    tint, slope = random.uniform((90, 60, 30), (230, 180, 140)), random.uniform(0.3, 1)
    rgb = np.linspace(slope, 1, 64)[None, :, None] * tint + random.normal(0, random.uniform(2, 10), (48, 64, 3))
    for _ in range(random.integers(2, 7)):
        x, y = random.integers(0, 50), random.integers(0, 36)
        rgb[y : y + random.integers(4, 16), x : x + random.integers(4, 20)] = random.uniform(0, 255) * tint / 255
    return rgb.clip(0, 255).astype(np.uint8)


def prediction(random: np.random.Generator, weights=(0.4, 0.3, 0.2, 0.1), boxes=2.0, score=6.0):
    found = [
        {
            "label": str(random.choice(LABELS, p=weights)),
            "confidence": float(random.beta(score, 2)),
            "bbox": [1, 2, 3, 4],
        }
        for _ in range(random.poisson(boxes))
    ]
    return {"detections": sorted(found, key=lambda one: -one["confidence"])}


def seen(random: np.random.Generator, change=lambda rgb: rgb, **answers):
    rgb = change(image(random))
    return features(measure(DecodedImage(rgb, (640, 480))), prediction(random, **answers))


@pytest.fixture(scope="module")
def pool():
    random = np.random.default_rng(11)
    return [seen(random) for _ in range(4000)]


def alarms(reference: Reference, instances) -> set[str]:
    window = Window(reference, 500)
    for one in instances:
        window.add(one)
    return {name for name, shift in window.judge().items() if shift.alarm}


@pytest.mark.parametrize(
    ("change", "answers", "expected"),
    [
        pytest.param(lambda rgb: rgb // 2, {}, {"brightness", "contrast"}, id="dark"),
        pytest.param(lambda rgb: cv2.GaussianBlur(rgb, (0, 0), 1.5), {}, {"sharpness"}, id="blurred"),
        pytest.param(lambda rgb: rgb[..., ::-1], {}, {"red", "blue"}, id="channels swapped"),
        pytest.param(lambda rgb: rgb, {"weights": (0.1, 0.2, 0.3, 0.4)}, {"label"}, id="other labels"),
        pytest.param(lambda rgb: rgb, {"score": 3.0}, {"score"}, id="lower scores"),
        pytest.param(lambda rgb: rgb, {"boxes": 4.0}, {"boxes"}, id="more boxes"),
    ],
)
def test_what_changed_alarms(pool, change, answers, expected):
    random = np.random.default_rng(5)
    found = alarms(Reference.of(pool[:1000]), [seen(random, change, **answers) for _ in range(300)])
    assert found >= expected
    assert not found & {"width", "height"}


def test_other_sizes_alarm(pool):
    found = alarms(Reference.of(pool[:1000]), [{**one, "width": 320} for one in pool[1000:1300]])
    assert found == {"width"}


def test_the_same_again_alarms_no_more_often_than_stated(pool):
    """In 200 pairs of a reference and a window of one distribution, 2 at most: by the rate, 0.2 are expected."""
    false = 0
    for seed in range(200):
        order = np.random.default_rng(seed).permutation(len(pool))
        false += bool(alarms(Reference.of([pool[i] for i in order[:500]]), [pool[i] for i in order[500:800]]))
    assert RATE == 0.001
    assert false <= 2


def test_the_p_values_of_the_same_again_are_not_too_low():
    """Without the least index, at a rate that two thousand tests can tell."""
    random, low = np.random.default_rng(1), {"number": 0, "whole": 0, "label": 0}
    for _ in range(2000):
        kinds = {
            "number": random.normal(size=800),
            "whole": random.poisson(2, 800),
            "label": random.choice(LABELS, 800, p=(0.4, 0.3, 0.2, 0.1)),
        }
        for name, values in kinds.items():
            reference = Histogram.of(values[:500].tolist())
            window = np.bincount([reference.cell(v) for v in values[500:].tolist()], minlength=len(reference.counts))
            low[name] += reference.compare(window)[1] <= 0.05
    assert all(count <= 2000 * 0.05 + 3 * (2000 * 0.05 * 0.95) ** 0.5 for count in low.values())


def test_a_window_forgets(pool):
    reference = Reference.of(pool[:1000])
    dark = [{**one, "brightness": one["brightness"] / 2} for one in pool[1000:1500]]
    assert "brightness" in alarms(reference, dark)
    assert alarms(reference, [*dark, *pool[1500:2000]]) == set()
    assert alarms(reference, dark[:99]) == set()  # too few


@pytest.mark.parametrize(
    ("value", "cell"),
    [(0.5, 0), (1.0, 1), (1.5, 2), (2.0, 3), (7.0, 4)],
    ids=["below", "edge", "between", "edge 2", "above"],
)
def test_each_edge_is_a_cell_of_its_own(value, cell):
    assert Histogram((1.0, 2.0), np.zeros(5, np.int64)).cell(value) == cell


def test_a_constant_is_told_from_what_is_larger_and_smaller():
    histogram = Histogram.of([640] * 100)
    assert histogram.counts.tolist() == [0, 100, 0]
    assert [histogram.cell(one) for one in (320, 640, 800)] == [0, 1, 2]


def test_rare_labels_share_a_cell():
    histogram = Histogram.of(["a"] * 99 + ["b"])
    assert (histogram.cells, histogram.counts.tolist()) == (("a",), [99, 1])


def test_a_reference_is_read_as_it_was_written(pool):
    made = Reference.of(pool[:200])
    read = Reference.read(made.text(service="detector"))
    assert json.loads(made.text(service="detector"))["service"] == "detector"
    assert {name: (one.cells, one.counts.tolist()) for name, one in read} == {
        name: (one.cells, one.counts.tolist()) for name, one in made
    }


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"features": {"a": 1}}', '{"features": {"a": {"cells": [1.0], "counts": [1, 2]}}}'],
    ids=["empty", "a list", "no features", "no histogram", "too few counts"],
)
def test_a_damaged_reference_is_a_value_error(text):
    with pytest.raises(ValueError, match=r"reference|JSON|Expecting"):
        Reference.read(text)


def test_a_reference_needs_enough():
    with pytest.raises(ValueError, match=r"at least 100 instances.*there are 99"):
        Reference.of([{"score": 0.5}] * 99)


def test_statistics_of_an_image_by_hand():
    checks = np.zeros((512, 512, 3), np.uint8)
    checks[:, 256:] = (255, 0, 0)
    found = image_statistics(checks)
    assert found["brightness"] == pytest.approx(76 / 255 / 2)  # of red: 0.299
    assert found["contrast"] == pytest.approx(76 / 255 / 2)
    assert (found["red"], found["blue"]) == (1, 0)
    assert found["sharpness"] == pytest.approx(2 * 76**2 / 256)  # two columns of 256
    assert image_statistics(np.zeros((1, 3, 3), np.uint8)) == {
        "brightness": 0, "contrast": 0, "sharpness": 0, "red": 1 / 3, "blue": 1 / 3,
    }  # fmt: skip
    assert image_statistics(np.full((1, 5000, 3), 9, np.uint8))["brightness"] == pytest.approx(9 / 255)


def test_statistics_of_a_window():
    found = measure(np.array([1, 2, 3, 6], np.float32))
    assert found["length"] == 4
    assert found["statistics"] == {"mean": 3, "deviation": pytest.approx(3.5**0.5), "minimum": 1, "maximum": 6}


def value(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, labels)


def test_the_monitor_sets_metrics_for_models_that_have_a_reference(tmp_path, pool, caplog):
    for folder, text in (("yolo", Reference.of(pool[:1000]).text()), ("damaged", "?")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / FILE).write_text(text)
    monitor, random = DriftMonitor(tmp_path, 300), np.random.default_rng(2)

    def ask(count: int, served: str = "yolo", outcome: str = "200", scale: float = 1.0, service: str = "drifting"):
        for _ in range(count):
            measured = measure(DecodedImage((image(random) * scale).astype(np.uint8), (640, 480)))
            made = prediction(random)
            exchange = Exchange("i", measured=[measured], served=served, predictions=lambda made=made: [made])
            monitor.see(exchange, Ended(service, "v1", outcome, 0.1))

    ask(49)
    ask(60, outcome="503")
    assert value("modelport_drift_window", service="drifting") == 49
    ask(251)
    assert value("modelport_drift_alarm", service="drifting", feature="brightness") == 0
    assert value("modelport_drift_psi", service="drifting", feature="brightness") < 0.1
    ask(300, scale=0.5)
    assert value("modelport_drift_window", service="drifting") == 300
    assert value("modelport_drift_alarm", service="drifting", feature="brightness") == 1
    assert value("modelport_drift_psi", service="drifting", feature="brightness") > 1
    assert len([one for one in caplog.messages if "drifting drifts" in one and "in brightness" in one]) == 1
    ask(100, served="none", service="other")
    ask(100, served="damaged", service="other")
    assert value("modelport_drift_window", service="other") is None
    assert len([one for one in caplog.messages if "drift of damaged is not watched" in one]) == 1
    (tmp_path / "yolo.next").mkdir()
    (tmp_path / "yolo.next" / FILE).write_text(Reference.of(pool[1000:1500]).text())
    ask(10, served="yolo.next")
    assert value("modelport_drift_window", service="drifting") == 10
