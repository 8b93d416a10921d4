"""`make compare`: two releases, each on a real Triton, get the same samples."""

import json

import cv2
import numpy as np
import pytest

from modelport.releases.__main__ import main
from modelport.releases.commands import compare


@pytest.fixture(scope="module")
def digits(tmp_path_factory, repository):
    """Sixty images of one five, each with another shade of paper."""
    folder = tmp_path_factory.mktemp("digits")
    ink = cv2.imread(str(repository / "mnist" / "golden" / "images.png"), cv2.IMREAD_GRAYSCALE)
    for shade in range(60):
        cv2.imwrite(str(folder / f"five-{shade}.png"), np.maximum(ink, shade))
    (folder / "damaged.png").write_bytes(b"\x89PNG no more")
    return folder


def test_another_network_is_told_apart(digits, digits_release, tmp_path, capsys, monkeypatch):
    """The same network is the subject of test_record.py, by the same sides, measures and rules."""
    monkeypatch.setattr(compare, "RULES", [rule for rule in compare.RULES if rule.measure != "latency ratio"])
    release = digits_release(tmp_path / "releases", other=True)
    out = tmp_path / "out"
    command = ["compare", "digits", "initial", release.name, f"--data={digits}", f"--out={out}"]
    assert main([*command, f"--releases={tmp_path / 'releases'}"]) == 3
    printed = capsys.readouterr().out
    results = json.loads((out / "results.json").read_text())
    measured = results["measures"]["agreement"]
    assert (measured["value"], measured["count"], measured["low"]) == (0, 60, 0)
    assert 10 < results["measures"]["new memory, MiB"]["value"] < 2000
    assert list(results["refused"]) == ["damaged.png"]
    assert results["verdict"] in printed
    assert "only the old release answers: 5 60" in printed
    assert "![five-" in (out / "report.md").read_text()
    assert len(list(out.glob("differs-*.jpg"))) == 8


def test_a_changed_release_is_not_served(digits_release, tmp_path, capsys):
    release = digits_release(tmp_path)
    labels = release / "mnist" / "labels.txt"
    labels.write_text(labels.read_text()[::-1])
    assert main(["compare", "digits", "initial", release.name, f"--releases={tmp_path}"]) == 1
    assert "labels.txt was changed" in capsys.readouterr().err
