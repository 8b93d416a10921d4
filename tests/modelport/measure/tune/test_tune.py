"""`modelport tune` from the command line, and on a real Triton: what it measures, writes, refuses and leaves behind."""

import csv
import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from exporters.config import Config, Tensor, read_config
from exporters.files import content_sha256
from exporters.repository import REPOSITORY, write_config
from modelport.measure.tune import __main__ as tune
from modelport.measure.tune import report
from modelport.measure.tune.judging import Judge, Turn
from modelport.measure.tune.knobs import Knobs, read
from modelport.measure.tune.search import Found, RefusedError
from modelport.measure.tune.trials import Trials, saturating

COMMAND = [sys.executable, "-P", "-m", "modelport.measure.tune"]
CONFIG = """name: "mine" platform: "onnxruntime_onnx" max_batch_size: 8
input { name: "x" data_type: TYPE_FP32 dims: [2] } output { name: "y" data_type: TYPE_FP32 dims: [3] }
"""


@pytest.fixture
def mine(tmp_path):
    """A model's folder, with a configuration and something in place of an artefact."""
    folder = tmp_path / "models" / "mine"
    (folder / "1").mkdir(parents=True)
    (folder / "1" / "model.onnx").touch()
    (folder / "config.pbtxt").write_text(CONFIG)
    return folder


def run(folder: Path, *options: str, model: str = "mine") -> int:
    return tune.main([model, f"--repository={folder.parent}", f"--out={folder.parents[1] / 'out'}", *options])


@pytest.mark.parametrize(
    ("change", "options", "said"),
    [
        pytest.param("", {"model": "yours"}, "there is no model 'yours' in {}: there are mine", id="unknown"),
        pytest.param("", {"model": "../mine"}, "there is no model", id="a path"),
        pytest.param(
            "rm 1/model.onnx", {}, "mine has no artefact: run `modelport export mine` first", id="no artefact"
        ),
        pytest.param("rm 1", {}, "mine has no artefact", id="no version"),
        pytest.param("nonsense", {}, "mine/config.pbtxt is not a ModelConfig", id="malformed"),
        pytest.param("instance_group { kind: KIND_GPU }", {}, "places instances on GPUs", id="on a GPU"),
        pytest.param("", {}, "mine/golden is not a golden sample", id="no golden sample"),
    ],
)
def test_a_model_that_cannot_be_tuned(change, options, said, mine, capsys):
    if change.startswith("rm "):
        gone = mine / change[3:]
        shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
    elif change:
        (mine / "config.pbtxt").write_text(CONFIG + change)
    assert run(mine, **options) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {said.format(mine.parent)}" if "{}" in said else "error: ")
    assert said.format(mine.parent) in line


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--cores=0", "invalid choice: 0"),
        ("--minutes=0", "expected a number above 0"),
        ("--p99-ms=nan", "expected a number above 0"),
        ("--memory-mb=-1", "expected a number above 0"),
        ("--name=gpu", "gpu is the configuration for GPUs"),
        ("--name=../x", "use letters, digits and _"),
        ("--profile=fast", "invalid choice: 'fast'"),
    ],
)
def test_options_are_checked(option, said, mine, capsys):
    with pytest.raises(SystemExit) as ended:
        run(mine, option)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_more_cores_than_there_are_cannot_be_tried(mine, capsys):
    assert run(mine, "--cores=1000") == 1
    assert "--cores 1000: this process has " in capsys.readouterr().err


@pytest.mark.parametrize(("name", "file"), [(None, "config.pbtxt"), ("pod4", "configs/pod4.pbtxt")])
def test_what_is_written_is_kept_by_the_next_export(name, file, tmp_path):
    folder = tmp_path / "mine"
    tensors = (Tensor("x", "TYPE_FP32", (2,)),)
    exported = Config("mine", "onnxruntime_onnx", tensors, tensors, {"accuracy": "75 %"})
    write_config(folder, exported)
    before, best = read_config(folder / "config.pbtxt"), Knobs(3, 2, 500, (4,))
    tune._write(folder, best, "throughput, 4 cores", name)
    found = read_config(folder / file)
    assert read(found) == best
    assert found.parameters["tuned"].string_value == "throughput, 4 cores"
    assert (read_config(folder / "config.pbtxt") == before) == (name is not None)
    write_config(folder, dataclasses.replace(exported, parameters={"accuracy": "76 %"}))
    again = read_config(folder / "config.pbtxt")
    assert again.parameters["accuracy"].string_value == "76 %"
    assert read(again) == (read(before) if name else best)
    assert again.dynamic_batching.default_queue_policy.allow_timeout_override
    for changed in ({"platform": "pytorch_libtorch"}, {"max_batch_size": 2}):  # tuned for another engine, other batches
        write_config(folder, dataclasses.replace(exported, **changed))
        assert read(read_config(folder / "config.pbtxt")) == Knobs(1, 1)
        tune._write(folder, best, "throughput, 4 cores", None)


@pytest.mark.parametrize(
    ("cores", "latency_ms", "callers"), [(2, 500.0, 5), (2, 2.0, 8), (2, 0.5, 20), (1, 1000.0, 3), (16, 8.0, 40)]
)
def test_two_requests_for_each_core_are_in_triton(cores, latency_ms, callers):
    assert saturating(cores, latency_ms) == callers


def test_the_report_has_every_candidate(tmp_path):
    present, best, refused = Knobs(1, 1), Knobs(2, 1), Knobs(9, 9)
    slow, fast = Turn([10.0, 12.0], [80.0], 100.0, 50.0), Turn([9.0, 11.0], [60.0], 130.0, 100.0)
    found = Found(present, best, "why")
    found.searched = {present: {1: slow, 2: slow}, best: {1: fast, 2: fast}}
    found.compared = {present: {3: slow}, best: {3: fast}}
    found.refused = {refused: "out of memory"}
    rows = report.rows(found, Judge("throughput"))
    head, first, second, third = report.text(rows).splitlines()
    assert " ".join(head.split()).startswith("configuration turns one caller p50 ms p99 ms inferences/s")
    assert " ".join(first.split()) == "2 instances of 1 thread 3 10.0 ±0.0 11.0 130.0 ±0.0 60.0 100 1.30 best"
    assert " ".join(second.split()) == "1 instance of 1 thread 3 11.0 ±0.0 12.0 100.0 ±0.0 80.0 50 1.00 present"
    assert " ".join(third.split()) == "9 instances of 9 threads refused: out of memory"
    path = report.save(tmp_path, "mine", {"model": "mine"}, found, rows)
    document = json.loads(path.read_text())
    assert (document["model"], document["best"]["instances"], len(document["turns"])) == ("mine", 2, 6)
    with (tmp_path / "mine.csv").open() as stream:
        assert [row["instances"] for row in csv.DictReader(stream)] == ["2", "1", "9"]


@pytest.fixture(scope="module")
def trials(exported, tmp_path_factory):
    folder, model_dir = tmp_path_factory.mktemp("tune"), REPOSITORY / "mnist"
    before = content_sha256(model_dir)
    config = read_config(model_dir / "config.pbtxt")
    with Trials(model_dir, config, 0.2, folder, 2, os.sched_getaffinity(0)) as running:
        yield running
        processes = psutil.Process().children(recursive=True)
    assert not any(process.is_running() for process in processes)
    assert [path.name for path in folder.iterdir()] == ["mnist.log"]
    assert content_sha256(model_dir) == before


def test_a_real_triton_measures_candidates_in_turn(trials):
    present = trials.measure(Knobs(1, 1))
    two = trials.measure(Knobs(2, 1, 500, (4,)))
    for turn in (present, two):
        assert min(turn.alone_ms) > 0
        assert turn.rate > 0
        assert len(turn.busy_ms) >= 4 * trials.callers
        assert turn.others >= 0
        assert turn.memory_mb > 0


def test_a_candidate_that_triton_refuses_harms_no_other(trials):
    with pytest.raises(RefusedError, match="preferred size must be <= max batch size"):
        trials.measure(Knobs(1, 1, 0, (1000,)))
    assert trials.measure(Knobs(1, 1)).rate > 0


def test_a_wrong_answer_is_refused(trials, monkeypatch):
    golden = trials._copy / "golden"
    held = golden.resolve()
    golden.unlink()
    try:
        shutil.copytree(held, golden)
        answer = json.loads((golden / "answer.json").read_text())
        answer["outputs"]["probabilities"]["values"][0] = 0.5
        (golden / "answer.json").write_text(json.dumps(answer))
        with pytest.raises(RefusedError, match="fails its golden check: output probabilities is off by"):
            trials.measure(Knobs(1, 1))
    finally:
        shutil.rmtree(golden)
        golden.symlink_to(held)


def test_an_interrupted_search_leaves_nothing(exported, tmp_path):
    command = [*COMMAND, "mnist", f"--out={tmp_path}", "--seconds=0.2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        while "inferences/s" not in process.stdout.readline():
            assert process.poll() is None
        started = psutil.Process(process.pid).children(recursive=True)
        assert any(one.name() == "tritonserver" for one in started)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate()
    assert (process.returncode, errors) == (130, "interrupted: nothing was written\n")
    assert not any(one.is_running() for one in started)
    assert [path.name for path in tmp_path.iterdir()] == ["mnist.log"]
