"""What `modelport test-cluster` is asked for."""

import sys

import pytest

from modelport.cluster.__main__ import main


@pytest.mark.parametrize("checks", [["canary-start,canary-end"], ["answers", "awnsers"]])
def test_a_check_that_there_is_not_is_refused_before_a_cluster_is_asked(checks, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["modelport test-cluster", "local", "--only", *checks])
    monkeypatch.delenv("KUBECONFIG", raising=False)
    with pytest.raises(SystemExit, match="2"):
        main()
    assert f"invalid choice: '{checks[-1]}'" in capsys.readouterr().err
