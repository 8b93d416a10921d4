"""--require_signature through a real stack: only what was signed answers, and what answered before goes on."""

import contextlib
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from signing_keys import Signer
from waiting import wait_for

from kserve_transformers.predictor.release import RELEASE_FILE, SIGNATURE_FILE
from modelport.environment import ROOT
from modelport.releases.assembly import copy_models, describe
from modelport.releases.signing import sign
from modelport.services import choose
from modelport.stack.control import ask
from modelport.stack.errors import UpdateError
from modelport.stack.server import free_ports
from modelport.stack.stack import StackSettings, export_missing


@pytest.fixture(scope="module")
def signer(tmp_path_factory):
    return Signer(tmp_path_factory.mktemp("keys") / "own")


@pytest.fixture(scope="module")
def release(repository, signer, tmp_path_factory):
    """Makes a release of digits whose content is its own, signed unless `signed` says otherwise."""
    export_missing(StackSettings(choose("digits")))
    root = tmp_path_factory.mktemp("releases")

    def make(content: str, signed: Signer | None = signer) -> Path:
        folder = root / content
        copy_models(repository, ("mnist",), folder)
        with (folder / "mnist" / "config.pbtxt").open("a") as config:
            config.write(f"# {content}\n")
        made = describe("digits", folder)
        (folder / RELEASE_FILE).write_bytes(made.to_json())
        if signed:
            sign(folder, signed.private)
        return folder.rename(root / made.name)

    return make


@contextlib.contextmanager
def started(log: Path, repository: Path, signer: Signer) -> Any:
    """A stack that starts on a repository; yields its REST port at once."""
    port, _, triton_port, *_ = free_ports(5)
    command = [sys.executable, "-P", "-m", "modelport.stack", f"--port={port}", f"--triton-port={triton_port}"]
    command += ["--services=digits", f"--repository={repository}", f"--require_signature={signer.public}"]
    with log.open("wb") as file, subprocess.Popen(command, cwd=ROOT, stdout=file, stderr=file) as process:
        try:
            yield port
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(300)


def report(port: int) -> dict[str, Any]:
    """What /v2/health/ready says of the model."""
    try:
        return dict(httpx.get(f"http://127.0.0.1:{port}/v2/health/ready", timeout=60).json()["services"]["digits"])
    except httpx.TransportError:
        return {"ready": None}


def digit(port: int, repository: Path) -> int:
    image = (repository / "mnist" / "golden" / "images.png").read_bytes()
    headers = {"content-type": "image/png"}
    answer = httpx.post(f"http://127.0.0.1:{port}/predict", content=image, headers=headers, timeout=60)
    return int(answer.json()["predicted_digit"])


def test_only_signed_releases_take_over(release, repository, signer, tmp_path):
    signed, after = release("first"), release("second")
    unsigned, foreign, flipped = release("third", None), release("fourth", Signer(tmp_path / "other")), release("fifth")
    config = flipped / "mnist" / "config.pbtxt"
    config.write_bytes(config.read_bytes() + b"#")
    mixed = release("sixth")
    shutil.copy(after / SIGNATURE_FILE, mixed / SIGNATURE_FILE)
    with started(tmp_path / "log", signed, signer) as port:
        wait_for(lambda: "ready: http" in (tmp_path / "log").read_text(), tmp_path / "log")

        def update(folder: Path) -> None:
            command = {"service": "digits", "release": folder.name, "folder": str(folder)}
            ask(port, command, lambda text: None)

        for serving in (None, after.name):
            for folder, problem in {
                unsigned: "is not signed",
                foreign: "not made with a key of public.pem",
                flipped: "mnist/config.pbtxt is not as released",
                mixed: "made for another release.json",
            }.items():
                with pytest.raises(UpdateError, match=f"{folder.name} is refused, .* answers as before: .*{problem}"):
                    update(folder)
                assert report(port)["models"]["mnist"].get("release") == serving
                assert digit(port, repository) == 5
            if serving is None:
                update(after)
                assert report(port)["models"]["mnist"]["release"] == after.name


@pytest.mark.slow
def test_a_stack_on_what_was_not_signed_is_never_ready(release, signer, tmp_path):
    folder = release("seventh")
    (folder / "mnist" / "labels.txt").write_text("x")
    with started(tmp_path / "log", folder, signer) as port:
        problem = "mnist/labels.txt is not as released"
        wait_for(lambda: problem in report(port).get("reason", ""), tmp_path / "log")
        assert httpx.get(f"http://127.0.0.1:{port}/v2/health/ready", timeout=60).status_code == 503
