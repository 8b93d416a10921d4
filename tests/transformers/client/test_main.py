"""What needs no server: a result of every input, and progress without tqdm, as in the image."""

import sys
from pathlib import PurePosixPath
from types import SimpleNamespace

from kserve_transformers.client.__main__ import _predict_all
from kserve_transformers.client.inputs import Input
from kserve_transformers.client.progress import progress


def test_progress_in_lines_where_tqdm_is_missing(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    clock = SimpleNamespace(monotonic=lambda: clock.now, now=0.0)
    monkeypatch.setattr("kserve_transformers.client.progress.time", clock)
    with progress(2) as step:
        step()
        clock.now += 1.0
        step()
    assert capsys.readouterr().err == "2 of 2\n"


def test_every_input_has_a_result_whatever_happens():
    def ask(one: Input) -> str:
        if one.name == "odd":
            raise RuntimeError("not foreseen")
        return one.name

    inputs = [Input(name, PurePosixPath(name), bytes) for name in ("a", "odd", "b", "c")]
    results = {result.file: result for result in _predict_all(inputs, ask, threads=2)}
    assert {name: result.answer for name, result in results.items()} == {"a": "a", "odd": None, "b": "b", "c": "c"}
    assert results["odd"].error == "not foreseen"
    assert {result.thread for result in results.values()} <= {0, 1}
