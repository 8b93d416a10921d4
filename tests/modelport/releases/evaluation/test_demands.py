"""Demands are met or not by what the data show, reports are read as written, and the reason is told."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from evaluations import FakeCaller, boxes, digits_report, labelled_digits

from modelport.releases.errors import EvaluationError
from modelport.releases.evaluation import report
from modelport.releases.evaluation.data import DataOptions
from modelport.releases.evaluation.demands import Demands, judge, no_worse, verdict
from modelport.releases.evaluation.evaluating import evaluate
from modelport.releases.evaluation.labelled import Labelled, LabelledData, right_answer
from modelport.releases.evaluation.report import Report
from modelport.services import load

ACCURACY, MAP = "accuracy", "mAP@0.5:0.95"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return labelled_digits(tmp_path_factory.mktemp("data"), 200)


@pytest.mark.parametrize(
    ("wrong", "limit", "met", "reason"),
    [
        pytest.param(0, 0.9, True, "accuracy is 1.0000 (0.9812 to 1.0000) of 200 samples", id="far above"),
        pytest.param(4, 0.98, True, "reaches below 0.98: more samples would tell", id="at the limit"),
        pytest.param(5, 0.98, False, "accuracy is 0.9750", id="just below"),
    ],
)
def test_least_values(data, tmp_path, wrong, limit, met, reason):
    (found,) = judge(digits_report(data, tmp_path, wrong), Demands({ACCURACY: limit}), None)
    assert found.met is met
    assert reason in found.reason
    assert (verdict([found]) is None) is met


@pytest.mark.parametrize(
    ("old", "new", "met", "p"),
    [
        pytest.param(10, 10, True, "0 are right only now and 0 were right only before (p = 1)", id="the same"),
        pytest.param(10, 40, False, "0 are right only now and 30 were right only before (p = 1.9e-09)", id="worse"),
        pytest.param(10, 15, True, "and 5 were right only before (p = 0.062)", id="worse, and maybe by chance"),
        pytest.param(10, 16, False, "and 6 were right only before (p = 0.031)", id="the fewest that are significant"),
        pytest.param(40, 10, True, "30 are right only now", id="better"),
    ],
)
def test_losses_of_accuracy(data, tmp_path, old, new, met, p):
    before, after = (digits_report(data, tmp_path, wrong, name) for name, wrong in (("initial", old), ("new", new)))
    found = no_worse(after, before)
    assert (found.demand, found.met) == ("no worse than initial", met)
    assert p in found.reason


def detector_report(out: Path, miss: int, count: int = 40) -> Report:
    """Of images with one cup each, of which the first are missed; the last is not there."""
    right = boxes(("cup", 1, (0, 0, 10, 10)))

    def content(number: int) -> bytes:
        if number == count - 1:
            raise FileNotFoundError(2, "No such file or directory")
        return str(number).encode()

    samples = tuple(Labelled(str(n), lambda n=n: content(n), right, (False,)) for n in range(count))
    caller = FakeCaller(lambda sample: boxes() if int(sample.bytes) < miss else right)
    options = DataOptions(Path("boxes.json"))
    data, service = LabelledData("COCO JSON", samples), load()["detector"]
    made = evaluate(caller, service, {}, data, options, lambda line: None, out)
    assert caller.parameters == {"score_threshold": 0.001}
    return made


@pytest.mark.parametrize(("old", "new", "met"), [(4, 4, True), (4, 20, False), (20, 4, True), (4, 5, True)])
def test_losses_of_map(tmp_path, old, new, met):
    found = no_worse(detector_report(tmp_path, new), detector_report(tmp_path, old))
    assert found.met is met
    assert found.reason.startswith("mAP@0.5:0.95 changed by ")


def test_a_detectors_missing_image_is_missed(tmp_path):
    made = detector_report(tmp_path, 0)
    assert made.metrics[MAP].value == pytest.approx(98 / 101)  # 39 of 40 boxes: recalls up to 0.97
    assert made.counts == {"samples": 40, "answered": 39, "missing": 1, "refused": 0, "boxes": 40}
    assert "missing samples, counted as answered wrongly: 1 (39: No such file or directory)" in report.lines(made)


def test_few_images_are_told(tmp_path):
    found = no_worse(detector_report(tmp_path, 2, 5), detector_report(tmp_path, 2, 5))
    assert found.met
    assert found.reason.endswith("over 5 images; fewer than 20 images tell little")


def test_demands_that_do_not_fit(data, tmp_path):
    made = digits_report(data, tmp_path, 1)
    with pytest.raises(EvaluationError, match=r"digits has no mAP@0.5:0.95: demand one of accuracy"):
        judge(made, Demands({MAP: 0.3}), None)
    other = digits_report(labelled_digits(tmp_path / "other", 201), tmp_path, 1, "other")
    with pytest.raises(EvaluationError, match="reports of new and other are of different data"):
        no_worse(made, other)


@pytest.mark.parametrize("detector", [False, True])
def test_reports_are_read_as_written(detector, data, tmp_path):
    made = detector_report(tmp_path, 3) if detector else digits_report(data, tmp_path, 3)
    again = report.read(tmp_path / "report.json")
    assert replace(again, outcomes=()) == replace(made, outcomes=())
    assert again.to_json() == made.to_json()
    assert no_worse(again, made).met


def test_the_hash_of_the_data_is_of_names_contents_and_answers(tmp_path):
    folder = labelled_digits(tmp_path / "data", 20)
    first, again = (digits_report(folder, tmp_path, wrong).data["sha256"] for wrong in (0, 5))
    (folder / "3" / "003.png").rename(folder / "4" / "003.png")
    relabelled = digits_report(folder, tmp_path, 0).data["sha256"]
    (folder / "4" / "003.png").write_bytes(b"4 99")
    assert first == again
    assert len({first, relabelled, digits_report(folder, tmp_path, 0).data["sha256"]}) == 3


def test_the_page_shows_what_went_wrong(data, tmp_path):
    copy = labelled_digits(tmp_path / "data", 30)
    (copy / "7" / "empty.png").write_bytes(b"")
    made = digits_report(copy, tmp_path / "out", 2)
    text = (tmp_path / "out" / "report.md").read_text()
    assert "30 of 31 samples answered" in text
    assert "refused samples, counted as answered wrongly: 1 (7/empty.png: the image is empty)" in text
    assert made.confusion["7"] == {"7": 3, "no answer": 1}
    assert "right: 0 1.00; given: 1 0.90" in text
    assert len(list((tmp_path / "out").glob("worst-*.jpg"))) == 3
    digits_report(data, tmp_path / "out", 0)
    assert not list((tmp_path / "out").glob("worst-*.jpg"))


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"format": 2}', '{"format": 1}', "7"])
def test_what_is_no_report_is_refused(content, tmp_path):
    (tmp_path / "report.json").write_text(content)
    with pytest.raises(EvaluationError, match="is no report of `modelport evaluate`"):
        report.read(tmp_path / "report.json")


def test_windows_are_drawn(tmp_path):
    samples = (Labelled("line 1", lambda: np.arange(5, dtype=np.float32), right_answer("anomaly")),)
    caller = FakeCaller(lambda sample: replace(right_answer("not anomaly"), measure="error"))
    evaluate(
        caller, load()["anomaly"], {}, LabelledData("CSV", samples), DataOptions(Path("x")), lambda line: None, tmp_path
    )
    assert (tmp_path / "worst-1.jpg").stat().st_size > 1000
