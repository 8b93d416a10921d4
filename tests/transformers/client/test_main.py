"""What needs no server: options that cannot be, and progress without tqdm, as in the image."""

import sys
import time

import pytest

from kserve_transformers.client.__main__ import _ask_all, _progress, main
from kserve_transformers.client.inputs import Input


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["detector", "a.jpg", "--threads=0"], "must be positive"),
        (["detector"], "required"),
    ],
)
def test_options_that_cannot_be(capsys, arguments, message):
    with pytest.raises(SystemExit):
        main(arguments)
    assert message in capsys.readouterr().err


def test_progress_in_lines_where_tqdm_is_missing(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    with _progress(2) as step:
        step()
        time.sleep(1.1)
        step()
    assert capsys.readouterr().err == "2 of 2\n"


def test_every_input_has_a_result_whatever_happens(tmp_path):
    def ask(one: Input) -> str:
        if one.name == "odd":
            raise RuntimeError("not foreseen")
        return one.name

    inputs = [Input(name, tmp_path) for name in ("a", "odd", "b", "c")]
    results = {result.file: result for result in _ask_all(inputs, ask, threads=2)}
    assert {name: result.answer for name, result in results.items()} == {"a": "a", "odd": None, "b": "b", "c": "c"}
    assert results["odd"].error == "not foreseen"
    assert {result.thread for result in results.values()} <= {0, 1}
