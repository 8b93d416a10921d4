"""The command-line client against the running stack."""

import io
import json
import sys

import cv2
import numpy as np
import pytest

from kserve_transformers.client.__main__ import main

pytestmark = pytest.mark.stack


@pytest.fixture
def ask(stack, capsys):
    """Runs the client; gives its exit code, its lines and what it said on standard error."""

    def run(*arguments):
        code = main([*map(str, arguments), "--url", stack.http])
        said = capsys.readouterr()
        return code, [json.loads(line) for line in said.out.splitlines()], said.err

    return run


def test_one_image_drawn(ask, images, tmp_path):
    code, (line,), said = ask("detector", images / "coffee.jpg", "--draw", tmp_path / "drawn.png")
    assert code == 0
    assert line["answer"]["detections"][0]["label"] == "cup"
    assert "1 requests, 0 errors" in said
    drawn, image = cv2.imread(str(tmp_path / "drawn.png")), cv2.imread(str(images / "coffee.jpg"))
    assert drawn.shape == image.shape
    x, y, _, height = line["answer"]["detections"][0]["bbox"]
    assert np.abs(drawn[y + height // 2, x].astype(int) - (90, 220, 60)).max() < 30


def test_a_folder_in_threads_with_a_broken_file_then_the_rest(ask, images, tmp_path):
    folder, out = tmp_path / "in", tmp_path / "results.jsonl"
    (folder / "deep").mkdir(parents=True)
    for name in ("coffee.jpg", "chelsea.jpg"):
        (folder / "deep" / name).write_bytes((images / name).read_bytes())
    (folder / "broken.jpg").write_bytes(b"no image")
    common = ("classifier", folder, "--threads", 3, "--out", out, "--draw", tmp_path / "drawn")
    code, _, said = ask(*common)
    lines = {line["file"]: line for line in map(json.loads, out.read_text().splitlines())}
    assert code == 1
    assert len(lines) == 3
    assert lines[str(folder / "broken.jpg")]["error"].startswith("415 not an image")
    assert lines[str(folder / "deep" / "coffee.jpg")]["answer"]["predictions"][0]["label"] == "espresso"
    assert "3 requests, 1 errors" in said
    assert "thread 0:" in said
    assert {one.name for one in (tmp_path / "drawn" / "deep").iterdir()} == {"coffee.jpg", "chelsea.jpg"}

    (folder / "broken.jpg").write_bytes((images / "camera.jpg").read_bytes())
    code, _, said = ask(*common)
    assert code == 0
    assert "2 of 3 have an answer already" in said
    assert len(out.read_text().splitlines()) == 4


@pytest.mark.parametrize("service", ["cars", "digits"])
def test_standard_input(ask, service, repository, monkeypatch):
    image = repository / {"cars": "cars", "digits": "mnist"}[service] / "golden" / "images.png"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(image.read_bytes())))
    code, (line,), _ = ask(service, "-")
    assert code == 0
    assert line["file"] == "-"
    assert {"cars": "top_prediction", "digits": "predicted_digit"}[service] in line["answer"]


def test_a_series_is_cut_into_windows(ask, repository, tmp_path):
    window = json.loads((repository / "anomaly" / "golden" / "windows.json").read_text())
    series = window * 40 + window[:10]
    (tmp_path / "series.csv").write_text("load\n" + "\n".join(map(str, series)))
    (tmp_path / "short.json").write_text("[1, 2]")
    code, lines, _ = ask("anomaly", tmp_path)
    assert code == 1
    found = {line["file"].rpartition("/")[2]: line for line in lines}
    answer = found["series.csv"]["answer"]
    assert [one["start"] for one in answer] == [*range(0, 40 * len(window), len(window)), len(series) - len(window)]
    assert set(answer[0]) == {"start", "mae", "threshold", "anomaly"}
    assert "2 numbers; the model's windows take" in found["short.json"]["error"]
