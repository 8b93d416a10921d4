"""`modelport quantise` says what is wrong before it computes anything."""

import re

import pytest
from toy_model import add_model

from exporters.errors import ProofMissedError
from modelport import quantising
from modelport.environment import ROOT


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        pytest.param(["nothing"], "there is no model 'nothing' in .*: choose one of toy", id="an unknown model"),
        pytest.param(["toy"], "no service has toy in its chain: declare it in services.yaml", id="of no service"),
        pytest.param(["mnist", "--data=/nowhere"], "/nowhere does not exist: name a folder", id="no data"),
        pytest.param(["mnist"], "mnist has no artefact: run `modelport export mnist` first", id="not exported"),
    ],
)
def test_what_cannot_be_quantised_is_one_line(arguments, complaint, tmp_path, capsys):
    add_model(tmp_path)
    if "mnist" in arguments:
        (tmp_path / "mnist").mkdir()
        (tmp_path / "mnist" / "config.pbtxt").write_bytes((ROOT / "model_repository/mnist/config.pbtxt").read_bytes())
    assert quantising.main([*arguments, f"--repository={tmp_path}"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert len(error.splitlines()) == 1
    assert re.search(complaint, error)


@pytest.mark.parametrize("count", ["0", "-5", "499", "many"])
def test_a_proof_of_too_few_inputs_is_refused_at_once(count, capsys):
    with pytest.raises(SystemExit, match="2"):
        quantising.main(["mnist", f"--images={count}"])
    assert "argument --images: " in capsys.readouterr().err


def test_a_missed_proof_has_an_exit_code_of_its_own(monkeypatch, capsys):
    def miss(options: object) -> int:
        raise ProofMissedError("int8 toy is not proven, and nothing was written: on AVX2: top-1 agreement 0.9")

    monkeypatch.setattr(quantising, "_quantise", miss)
    assert quantising.main(["toy"]) == 3
    assert "nothing was written: on AVX2: top-1 agreement 0.9" in capsys.readouterr().err


def test_a_count_that_is_none_is_refused(capsys):
    with pytest.raises(SystemExit) as refused:
        quantising.main(["toy", "--calibration=0"])
    assert refused.value.code == 2
    assert "--calibration" in capsys.readouterr().err
