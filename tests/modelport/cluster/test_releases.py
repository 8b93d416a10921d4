"""The releases of a test: the checkout's models, the same again, and one that must never serve."""

from __future__ import annotations

import json
from pathlib import Path

from modelport.cluster.releases import NEXT, WRONG, laid_out


def test_only_the_wrong_release_differs_and_the_checkout_stays_as_it_is(tmp_path: Path) -> None:
    model = tmp_path / "mnist"
    (model / "golden").mkdir(parents=True)
    text = json.dumps({"outputs": {"boxes": {"values": [[0.1, 0.2], [0.3, 0.4]], "atol": 0.01}}})
    (model / "golden" / "answer.json").write_text(text)
    (model / "config.pbtxt").write_text("max_batch_size: 8\n")
    with laid_out({"digits": ("mnist",), "other": ("mnist",)}, ("digits",), tmp_path) as folder:
        assert sorted(path.name for path in (folder / "digits").iterdir()) == ["initial", NEXT, WRONG]
        assert [path.name for path in (folder / "other").iterdir()] == ["initial"]
        assert (folder / "digits" / NEXT / "mnist" / "golden" / "answer.json").read_text() == text
        wrong = json.loads((folder / "digits" / WRONG / "mnist" / "golden" / "answer.json").read_text())
        assert wrong["outputs"]["boxes"] == {"values": [[0.6, 0.7], [0.8, 0.9]], "atol": 0.01}
        assert (folder / "digits" / WRONG / "mnist" / "config.pbtxt").read_text() == "max_batch_size: 8\n"
    assert (model / "golden" / "answer.json").read_text() == text
