"""`make update`: good and broken releases are loaded into a running stack under load, and no request fails."""

import threading
import time
from dataclasses import dataclass

import httpx
import pytest
from processes import STUB, TRITON, matching
from serving import served
from waiting import wait_for

from modelport.environment import ROOT
from modelport.releases.__main__ import main
from modelport.stack.control import run_folder
from modelport.stack.guard import SHARED_MEMORY

pytestmark = [pytest.mark.slow, pytest.mark.stack]

CALLERS = 3
PAUSE_S = 0.1  # the machine has releases to load, too


@dataclass(frozen=True)
class Answer:
    """What a caller saw, and when it asked and got it."""

    asked: float
    got: float
    status: int
    digit: int | None


class Load:
    """Callers who ask for the same five again and again, at a constant pace."""

    def __init__(self, url, image):
        self.answers = []
        self._url, self._image = url, image
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._call) for _ in range(CALLERS)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _call(self):
        with httpx.Client(base_url=self._url, timeout=60) as client:
            while not self._over.is_set():
                asked = time.monotonic()
                try:
                    response = client.post("/predict", content=self._image, headers={"content-type": "image/png"})
                    status, digit = response.status_code, response.json().get("predicted_digit")
                except httpx.TransportError:
                    status, digit = 0, None
                self.answers.append(Answer(asked, time.monotonic(), status, digit))
                self._over.wait(PAUSE_S)


@pytest.fixture(scope="module")
def serving(tmp_path_factory, digits_release):
    """`modelport serve --services=digits`; yields its process and port. `digits_release` exported what it needs."""
    with served(tmp_path_factory.mktemp("update") / "log", "--services=digits") as (process, port):
        yield process, port
    assert not run_folder(port).exists()
    assert not list(SHARED_MEMORY.glob(f"modelport-{process.pid}-*"))


def model(port):
    """What the transformer says of the model."""
    report = httpx.get(f"http://127.0.0.1:{port}/v2/health/ready", timeout=60).json()
    return report["services"]["digits"]["models"]["mnist"]


def predict(port):
    """The answer to an image of any digit."""
    image = (ROOT / "model_repository" / "mnist" / "golden" / "images.png").read_bytes()
    headers = {"content-type": "image/png"}
    return httpx.post(f"http://127.0.0.1:{port}/predict", content=image, headers=headers, timeout=60)


def test_ten_updates_under_load_lose_nothing(serving, digits_release, repository, tmp_path, capsys):
    process, port = serving
    same = digits_release(tmp_path).name  # the network that the stack starts with
    other = digits_release(tmp_path, other=True).name
    wrong = digits_release(tmp_path, other=True, wrong_golden=True).name
    truncated = digits_release(tmp_path, other=True, truncated=True).name
    updates = [
        (other, 3, None),
        (same, 5, None),
        (wrong, 5, "golden sample's answer is wrong"),
        (other, 3, None),
        ("initial", 5, None),
        (other, 3, None),
        (truncated, 3, "Triton could not load"),
        (same, 5, None),
        (other, 3, None),
        ("initial", 5, None),
    ]
    regions = len(list(SHARED_MEMORY.glob(f"modelport-{process.pid}-*")))
    image = (repository / "mnist" / "golden" / "images.png").read_bytes()
    settled = []  # from when to when which digit alone was right
    serves = None
    with Load(f"http://127.0.0.1:{port}", image) as load:
        for release, digit, complaint in updates:
            code = main(["update", "digits", release, f"--port={port}", f"--releases={tmp_path}"])
            printed = capsys.readouterr()
            began = time.monotonic()
            assert code == (1 if complaint else 0), printed
            assert (complaint or "is unloaded") in printed.err + printed.out
            if complaint is None:
                serves = None if release == "initial" else release
            wait_for(lambda: "refused" not in model(port))
            state = model(port)
            assert (state["ready"], state.get("release"), "refused" in state) == (True, serves, False)
            time.sleep(1)
            wait_for(lambda since=began: sum(answer.asked >= since for answer in list(load.answers)) >= 3)
            settled.append((began, time.monotonic(), digit))
            wait_for(lambda: len(matching(STUB, under=process.pid)) == 1)  # what is unloaded may be ending
            (stub,) = matching(STUB, under=process.pid)
            assert (f"/mnist.{serves}/" if serves else "/mnist/") in " ".join(stub.cmdline())
    assert len(load.answers) > 100
    assert {answer.status for answer in load.answers} == {200}
    assert {answer.digit for answer in load.answers} == {3, 5}
    for began, ended, digit in settled:
        seen = {a.digit for a in load.answers if a.asked >= began and a.got <= ended}
        assert seen == {digit}
    assert {path.name for path in (run_folder(port) / "models").glob("mnist*")} == {"mnist"}
    wait_for(lambda: len(list(SHARED_MEMORY.glob(f"modelport-{process.pid}-*"))) == regions)


def test_what_cannot_be_done_is_said(serving, digits_release, tmp_path, capsys, free_ports):
    _, port = serving
    release = digits_release(tmp_path, other=True)
    (nobody,) = free_ports(1)
    for command, complaint in {
        ("digits", "initial", port): "is served by initial already",
        ("cars", "initial", port): "does not serve cars",
        ("digits", release.name, nobody): "no stack of this checkout serves on port",
        ("digits", "2026-01-01-000000000000", port): "there is no release",
    }.items():
        service, name, where = command
        assert main(["update", service, name, f"--port={where}", f"--releases={tmp_path}"]) == 1
        assert complaint in capsys.readouterr().err
    (release / "mnist" / "labels.txt").write_text("not as released\n")
    assert main(["update", "digits", release.name, f"--port={port}", f"--releases={tmp_path}"]) == 1
    assert "labels.txt" in capsys.readouterr().err
    assert model(port)["ready"]


def test_a_release_outlives_its_triton(serving, digits_release, tmp_path, capsys):
    """Triton is killed while a release serves: what is started again serves it, too."""
    process, port = serving
    release = digits_release(tmp_path, other=True).name
    assert main(["update", "digits", release, f"--port={port}", f"--releases={tmp_path}"]) == 0
    (triton,) = matching(TRITON, under=process.pid)
    triton.kill()
    wait_for(lambda: set(matching(TRITON, under=process.pid)) - {triton})
    # readiness may still be that of the Triton before: an answer proves more
    wait_for(lambda: predict(port).status_code == 200)
    assert (model(port)["ready"], model(port)["release"]) == (True, release)
    assert main(["update", "digits", "initial", f"--port={port}", f"--releases={tmp_path}"]) == 0
    assert model(port).get("release") is None
