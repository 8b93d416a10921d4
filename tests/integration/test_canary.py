"""A new network goes out and back under load: canary, promote, rollback, by a real Envoy, and no request is lost."""

from __future__ import annotations

import contextlib
import json
import math
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import httpx
import pytest
from processes import TRITON, matching
from waiting import wait_for

from modelport.environment import ROOT
from modelport.manifests.release_file import Choice, edited, release_file
from modelport.releases.__main__ import main
from modelport.stack.overlay import OverlaySettings
from modelport.stack.overlay_stack import OverlayStack
from modelport.stack.stack import export_missing
from modelport.stack.triton_server import TritonServer

pytestmark = [pytest.mark.slow, pytest.mark.stack]

REQUESTS = 600
PERCENT = 10
CALLERS = 3
TRACKED = ROOT / "export" / "exporters" / "trained" / "mnist.weights.h5"
OLD, NEW = "old", "new"


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a release of digits whose network is less sure of itself, made from weights as a person does."""
    folder = tmp_path_factory.mktemp("weights")
    shutil.copyfile(TRACKED, folder / TRACKED.name)
    with h5py.File(folder / TRACKED.name, "r+") as weights:
        weights["layers/dense_1/vars/0"][...] *= 0.3
    releases = tmp_path_factory.mktemp("releases")
    weights_and_places = [f"--weights-dir={folder}", f"--repository={folder / 'models'}", f"--releases={releases}"]
    assert main(["release", "digits", *weights_and_places]) == 0
    (release,) = (releases / "digits").iterdir()
    return release


@pytest.fixture(scope="module")
def broken(released: Path) -> Path:
    """The same network beside it, with a golden answer that is not its own, and nothing that tells it was changed."""
    folder = released.with_name("broken")
    shutil.copytree(released, folder)
    file = folder / "mnist" / "golden" / "answer.json"
    answer = json.loads(file.read_text())
    answer["outputs"]["probabilities"]["values"].reverse()
    file.chmod(0o644)
    file.write_text(json.dumps(answer))
    (folder / "release.json").unlink()
    return folder


class Running:
    """A stack that is supervised and gets requests all the time."""

    def __init__(self, settings: OverlaySettings, image: bytes, confidences: dict[str, float]) -> None:
        self.settings = settings
        self.stack = OverlayStack(settings)
        self.answers: list[str] = []  # the network that each came from, or what went wrong
        self._image = image
        self._confidences = confidences
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._mind),
            *(threading.Thread(target=self._ask) for _ in range(CALLERS)),
        ]

    def start(self) -> None:
        self.stack.start()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._over.set()
        for thread in self._threads:
            if thread.ident:
                thread.join()
        self.stack.stop(signal.SIGINT)

    def predictors(self) -> list[str]:
        """Whom requests go to."""
        return [predictor.name for predictor in self.stack.declared.predictors]

    def next_answers(self, count: int) -> list[str]:
        """So many more answers."""
        start = len(self.answers)
        wait_for(lambda: len(self.answers) >= start + count)
        return self.answers[start:]

    def _mind(self) -> None:
        while not self._over.wait(0.5):
            self.stack.check()

    def _ask(self) -> None:
        with httpx.Client(base_url=f"http://127.0.0.1:{self.settings.http_port}", timeout=60) as client:
            while not self._over.is_set():
                try:
                    answer = client.post("/digits/predict", content=self._image, headers={"content-type": "image/png"})
                    self.answers.append(self._network(answer))
                except httpx.HTTPError as error:
                    self.answers.append(repr(error))

    def _network(self, answer: httpx.Response) -> str:
        if answer.status_code == 200:
            found = answer.json()["confidence"]
            for network, confidence in self._confidences.items():
                if abs(found - confidence) < 0.005:
                    return network
        return f"{answer.status_code} {answer.text}"


@pytest.fixture
def running(
    overlay_settings: Callable[..., OverlaySettings], repository: Path, released: Path, broken: Path, tmp_path: Path
) -> Iterator[Running]:
    """`make serve OVERLAY=canary-standard SERVICES=digits` under load, with manifests of its own."""
    copy = shutil.copytree(ROOT / "manifests", tmp_path / "manifests", ignore=shutil.ignore_patterns("log.jsonl"))
    settings = overlay_settings("canary-standard", ("digits",), manifests=Path(copy), releases=released.parents[1])
    choose(settings, Choice("initial", "initial", 0))
    export_missing(settings)
    confidences = {OLD: golden_confidence(repository), NEW: golden_confidence(released)}
    assert abs(confidences[OLD] - confidences[NEW]) > 0.02
    image = (repository / "mnist" / "golden" / "images.png").read_bytes()
    with contextlib.ExitStack() as stack:
        started = Running(settings, image, confidences)
        stack.callback(started.stop)
        started.start()
        yield started


def golden_confidence(models: Path) -> float:
    answer = json.loads((models / "mnist" / "golden" / "answer.json").read_text())
    return max(answer["outputs"]["probabilities"]["values"])


def choose(settings: OverlaySettings, choice: Choice) -> None:
    """Write the release file by hand, as people do who trust themselves."""
    file = release_file(settings.manifests)
    file.write_text(edited(file.read_text(), "digits", choice))


def command(settings: OverlaySettings, *arguments: str) -> None:
    places = [f"--manifests={settings.manifests}", f"--releases={settings.releases}"]
    assert main([*arguments, *places]) == 0


@pytest.mark.timeout(3600)  # six starts of Triton or a transformer, on a machine that may be busy
def test_a_release_goes_out_and_back_under_load_and_a_broken_one_never_serves(
    running: Running, released: Path, broken: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert set(running.next_answers(50)) == {OLD}

    told: list[str] = []
    choose(running.settings, Choice("initial", broken.name, 50))
    wait_for(lambda: bool(told.append(capfd.readouterr().err) or "nothing is changed" in "".join(told)))
    monkeypatch.setattr("modelport.stack.overlay_stack.VERDICT_S", 600.0)  # a good one is not to be late
    assert f"digits-canary@{broken.name} is not ready" in "".join(told)
    assert "the golden sample's answer is wrong" in "".join(told)
    assert running.predictors() == ["digits"]
    assert set(running.answers) == {OLD}

    command(running.settings, "canary", "digits", released.name[:-2], str(PERCENT))
    wait_for(lambda: running.predictors() == ["digits", f"digits-canary@{released.name}"])
    split = running.next_answers(REQUESTS)
    sigma = math.sqrt(len(split) * PERCENT / 100 * (1 - PERCENT / 100))
    assert abs(split.count(NEW) - len(split) * PERCENT / 100) < 5 * sigma

    command(running.settings, "promote", "digits")
    wait_for(lambda: running.predictors() == [f"digits@{released.name}"])
    # those under way are of the network before, and Envoy's threads take the new routes one after another
    wait_for(lambda: set(running.answers[-50:]) == {NEW})

    command(running.settings, "rollback", "digits")
    wait_for(lambda: running.predictors() == ["digits"])
    wait_for(lambda: set(running.answers[-50:]) == {OLD})
    assert set(running.answers) == {OLD, NEW}

    (triton,) = [server for server in running.stack.servers if isinstance(server, TritonServer)]
    (killed,) = matching(TRITON, f"--http-port={triton.http_port}")
    before = len(running.answers)
    killed.kill()  # it was not there at the start: it is supervised as well
    killed.wait()
    wait_for(lambda: triton.is_ready())
    running.next_answers(10)
    wait_for(lambda: set(running.answers[-10:]) == {OLD})
    assert {answer.split()[0] for answer in running.answers[before:]} <= {OLD, "503"}
