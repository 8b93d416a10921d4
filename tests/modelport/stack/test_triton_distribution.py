"""Triton's layout: complete, made once, and never left half made."""

import os
import subprocess

import pytest

from modelport.environment import ROOT, SetupError
from modelport.stack import triton_distribution
from modelport.stack.triton_distribution import lay_out
from modelport.stack.triton_server import environment


def test_layout_runs_and_holds_our_backends(distribution):
    run = subprocess.run(
        [distribution.server, "--help"], env=environment(distribution), capture_output=True, text=True, check=False
    )
    assert "--model-repository" in run.stdout + run.stderr
    for name in ("onnxruntime", "pytorch", "tensorflow"):
        assert (distribution.backends / name / "model.py").resolve().is_relative_to(ROOT / "triton" / "backends")
    assert os.access(distribution.backends / "python" / "triton_python_backend_stub", os.X_OK)


def test_second_call_leaves_the_layout_as_it_is(distribution):
    before = distribution.server.stat()
    assert lay_out() == distribution
    assert distribution.server.stat() == before


def test_failed_fetch_leaves_nothing_half_made(monkeypatch, tmp_path):
    monkeypatch.setattr(triton_distribution, "TRITON", tmp_path / "triton")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(SetupError, match="pip failed on requirements/triton"):
        lay_out()
    assert list(tmp_path.iterdir()) == []
