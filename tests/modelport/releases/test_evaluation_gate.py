"""The gate takes evaluations of exactly what is released, demands results of them, and release.json records them."""

import json
import shutil
import sys
from pathlib import Path

import pytest
from evaluations import digits_report, labelled_digits

from modelport.releases import building
from modelport.releases.__main__ import main
from modelport.releases.assembly import model_files
from modelport.releases.building import Built
from modelport.releases.errors import GateError
from modelport.releases.evaluation import evaluating
from modelport.releases.evaluation.demands import Demands
from modelport.releases.gate import evaluation as gate
from modelport.releases.gate.evaluation import Evaluation
from modelport.releases.release import RELEASE_FILE, parse
from modelport.releases.sources import Folder
from modelport.releases.verification import verify
from modelport.services import load


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return labelled_digits(tmp_path_factory.mktemp("data"), 100)


@pytest.fixture(autouse=True)
def reports(tmp_path, monkeypatch):
    """The folder of all reports, a new one."""

    def place_of(service: str, release: str) -> Path:
        return tmp_path / "reports" / service / release

    monkeypatch.setattr(evaluating, "place_of", place_of)
    monkeypatch.setattr(gate, "place_of", place_of)
    return tmp_path / "reports" / "digits"


def record(digits: Built, report: Path, said: list[str], **least: float) -> dict:
    demands = Demands({name: value for name, value in least.items() if name != "worse"}, least.get("worse"))
    asked = Evaluation(load()["digits"], report, demands, digits.folder.parents[1])
    return asked.record(digits.folder, digits.release, said.append)


def test_files_of_a_repository_are_those_of_its_release(digits, repository):
    released = {path: one.sha256 for path, one in digits.release.files.items()}
    assert model_files(repository, ["mnist"]) == model_files(digits.folder, ["mnist"]) == released


def test_what_is_recorded(digits, data, tmp_path):
    said: list[str] = []
    digits_report(data, tmp_path, 1, files=model_files(digits.folder, ["mnist"]))
    found = record(digits, tmp_path / "report.json", said, accuracy=0.98)
    assert found["metrics"]["accuracy"]["value"] == 0.99
    assert found["counts"] == {"samples": 100, "answered": 100, "missing": 0, "refused": 0}
    assert found["data"]["form"] == "class folders"
    assert len(found["data"]["sha256"]) == 64
    assert str(data) not in json.dumps(found)  # a release tells nobody where its maker keeps the data
    (demand,) = found["demands"]
    assert (demand["demand"], demand["met"]) == ("accuracy at least 0.98", True)
    assert said == [f"accuracy at least 0.98: met: {demand['reason']}"]


def test_a_regression_is_refused(digits, data, tmp_path):
    digits_report(data, tmp_path, 3, files=model_files(digits.folder, ["mnist"]))
    with pytest.raises(GateError, match=r"accuracy at least 0.98: NOT MET: accuracy is 0.9700 \("):
        record(digits, tmp_path / "report.json", [], accuracy=0.98)


@pytest.mark.parametrize(("wrong", "met"), [(20, True), (27, False)])
def test_the_report_of_the_release_before_is_compared(digits, data, tmp_path, reports, wrong, met):
    files = model_files(digits.folder, ["mnist"])
    digits_report(data, reports / digits.release.name, 20, name="before", files=files)
    digits_report(data, tmp_path, wrong, files=files)
    if met:
        found = record(digits, tmp_path / "report.json", [], worse=digits.release.name)
        assert found["demands"][0]["demand"] == "no worse than before"
    else:
        with pytest.raises(
            GateError, match=r"no worse than before: NOT MET: .* 7 were right only before \(p = 0.016\)"
        ):
            record(digits, tmp_path / "report.json", [], worse=digits.release.name)


@pytest.mark.parametrize("stale", ["missing", "other files", "other data"])
def test_a_report_that_could_be_compared_is_asked_for(digits, data, tmp_path, reports, stale):
    files = model_files(digits.folder, ["mnist"])
    if stale == "other files":
        digits_report(data, reports / digits.release.name, 2, files={**files, "mnist/labels.txt": "0"})
    if stale == "other data":
        digits_report(labelled_digits(tmp_path / "other", 50), reports / digits.release.name, 2, files=files)
    digits_report(data, tmp_path, 2, files=files)
    command = f"run `modelport evaluate digits --release {digits.release.name} --data {data}` first"
    with pytest.raises(GateError, match=command):
        record(digits, tmp_path / "report.json", [], worse=digits.release.name[-6:])


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        pytest.param(
            {"mnist/1/model.savedmodel/saved_model.pb": "0"}, "of other weights: mnist/1/", id="other weights"
        ),
        pytest.param({"mnist/labels.txt": "0"}, "of other weights: mnist/labels.txt differs", id="other labels"),
        pytest.param({"mnist/2/model.onnx": "0"}, "of other weights: mnist/2/model.onnx", id="another file"),
        pytest.param(None, "of a running server .*: evaluate without --url", id="a running server"),
    ],
)
def test_reports_of_something_else_are_refused(digits, data, tmp_path, change, complaint):
    files = None if change is None else {**model_files(digits.folder, ["mnist"]), **change}
    digits_report(data, tmp_path, 0, files=files)
    with pytest.raises(GateError, match=complaint):
        record(digits, tmp_path / "report.json", [])


@pytest.mark.parametrize(
    ("options", "code", "complaint"),
    [
        (["--min-accuracy=0.9"], 1, "a demand needs labelled data"),
        (["--no-worse-than=initial"], 1, "a demand needs labelled data"),
        (["--data=x", "--evaluation=y"], 1, "--data and --evaluation exclude each other"),
        (["--min-accuracy=98"], 2, "'98' is not a number from 0 to 1"),
        (["--rename=x"], 2, "'x' is not of the form CLASS=LABEL"),
    ],
)
def test_options_that_do_not_fit(options, code, complaint, capsys):
    with pytest.raises(SystemExit, match=str(code)):
        sys.exit(main(["release", "digits", *options]))
    assert complaint in capsys.readouterr().err


def test_the_release_that_exists_records_it(digits, repository, data, tmp_path, capsys):
    """As `modelport release` is called: its name and files stay, and `releases` lists what was measured."""
    own = Path(shutil.copytree(digits.folder, tmp_path / "releases" / "digits" / digits.folder.name))
    assert b"evaluation" not in (own / RELEASE_FILE).read_bytes()
    report = tmp_path / "out"
    digits_report(data, report, 1, files=model_files(repository, ["mnist"]))
    command = ["release", "digits", f"--repository={repository}", f"--releases={tmp_path / 'releases'}"]
    command += [f"--evaluation={report / 'report.json'}"]
    assert main([*command, "--min-accuracy=0.98"]) == 0
    assert "accuracy at least 0.98: met: accuracy is 0.9900" in capsys.readouterr().out
    recorded = verify(Folder(own))
    assert recorded.evaluation["metrics"]["accuracy"]["count"] == 100
    assert recorded.digest == digits.release.digest
    assert (own / RELEASE_FILE).stat().st_mode & 0o777 == 0o444
    assert parse(recorded.to_json()) == recorded
    (own / "release.sig").write_text("covers release.json")
    with pytest.raises(GateError, match="is signed: name the key again by --sign-key"):
        building.record(own, recorded, {}, None)
    assert main(["releases", "digits", f"--releases={tmp_path / 'releases'}"]) == 0
    assert "measured: accuracy 0.9900 of 100" in capsys.readouterr().out
