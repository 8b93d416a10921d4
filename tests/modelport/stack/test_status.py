"""What `modelport status` tells of a running stack."""

import json
import os
import time

import httpx

from modelport.environment import ROOT
from modelport.stack import running, status
from modelport.stack.running import Running


def test_nothing_runs(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(running, "FOLDER", tmp_path)
    assert status.main([]) == status.NONE_RUNS
    assert "no stack of this checkout runs: `make serve`" in capsys.readouterr().out
    assert status.main(["--json"]) == status.NONE_RUNS
    assert json.loads(capsys.readouterr().out) == []


def test_server_that_does_not_answer_is_not_ready(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(running, "FOLDER", tmp_path)
    Running(7, str(tmp_path), "", {"the transformer server": 9}, [], {}).write()
    assert status.main([]) == 1
    assert "not ready: does not answer (ConnectError)" in capsys.readouterr().out


def test_running_stack(stack, monkeypatch, capsys):
    monkeypatch.setattr(status, "TIMEOUT_S", 60.0)
    port = int(stack.http.rpartition(":")[2])
    before = {one["name"]: one for one in status.state(next(running.running(port)))["services"]}
    image = (ROOT / "model_repository" / "mnist" / "golden" / "images.png").read_bytes()
    assert httpx.post(f"{stack.http}/digits/predict", files={"file": image}, timeout=60).is_success
    assert httpx.post(f"{stack.http}/digits/predict", files={"file": b"none"}, timeout=60).status_code == 415
    assert status.main([f"--port={port}", "--json"]) in (0, 1)  # another test may keep a model from being ready
    (told,) = json.loads(capsys.readouterr().out)
    assert (told["url"], told["pid"], told["overlay"], told["newer"]) == (stack.http, os.getpid(), None, [])
    digits = next(one for one in told["services"] if one["name"] == "digits")
    assert digits["requests"] >= before["digits"]["requests"] + 2
    assert digits["failed"] == before["digits"]["failed"]
    assert [model["name"] for model in digits["models"]] == ["mnist"]
    assert any("mnist" in line and line.startswith("digits") for line in "\n".join(status.lines(told)).splitlines())


def test_export_since_the_start_is_told(tmp_path):
    version = tmp_path / "m" / "1"
    version.mkdir(parents=True)
    (tmp_path / "m" / "config.pbtxt").touch()
    (version / "model.onnx").touch()
    stack = Running(1, str(tmp_path), "", {}, [], running.exported(tmp_path))
    assert stack.newer() == []
    later = time.time_ns() + 10**9
    os.utime(version / "model.onnx", ns=(later, later))
    assert stack.newer() == ["m"]
    assert "restart `make serve`" in running.newer("m")


def test_running_stack_says_once_that_a_model_has_been_exported(stack, monkeypatch, capsys):
    monkeypatch.setattr(Running, "newer", lambda _: ["mnist"])
    stack.stack.remind()
    stack.stack.remind()
    assert capsys.readouterr().out.count("mnist has been exported since") == 1
