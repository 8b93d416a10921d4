"""Releases that watch themselves on a real stack: a shadow's verdict, and a canary that promotes or reverts itself."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
from frameworks import run_script
from tritonclient.http import InferenceServerClient, InferInput
from waiting import wait_for

from modelport.environment import ROOT
from modelport.manifests.release_file import Choice, edited, read, release_file
from modelport.releases.__main__ import main
from modelport.releases.assembly import describe
from modelport.releases.release import RELEASE_FILE
from modelport.stack.overlay import OverlaySettings
from modelport.stack.overlay_stack import OverlayStack
from modelport.stack.stack import export_missing

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

CALLERS = 4


class Running:
    """A stack of digits that is supervised and gets images of fives all the time."""

    def __init__(self, settings: OverlaySettings, image: bytes) -> None:
        self.settings = settings
        self.stack = OverlayStack(settings)
        self.outcomes: Counter[str] = Counter()  # the digit, or the failure
        self.over, self.quiet = threading.Event(), threading.Event()
        self._counting = threading.Lock()
        self._image = image
        self._threads = [threading.Thread(target=self._supervise)]
        self._threads += [threading.Thread(target=self._call) for _ in range(CALLERS)]

    def start(self) -> None:
        self.stack.start()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self.over.set()
        for thread in self._threads:
            if thread.ident:
                thread.join()
        self.stack.stop(signal.SIGINT)

    def command(self, *arguments: str) -> int:
        places = [f"--manifests={self.settings.manifests}", f"--releases={self.settings.releases}"]
        return main([*arguments, *places, f"--port={self.settings.http_port}"])

    def wait_for(self, *predictors: str) -> None:
        wait_for(lambda: {p.name for p in self.stack.declared.predictors} == set(predictors))

    def wait_for_answers(self, count: int) -> None:
        start = self.outcomes.total()
        wait_for(lambda: self.outcomes.total() >= start + count)

    def _supervise(self) -> None:
        while not self.over.wait(0.5):
            self.stack.check()

    def _call(self) -> None:
        with httpx.Client(base_url=f"http://127.0.0.1:{self.settings.http_port}", timeout=60) as client:
            while not self.over.is_set():
                if self.quiet.is_set():
                    self.over.wait(0.1)
                    continue
                try:
                    answer = client.post("/digits/predict", content=self._image, headers={"content-type": "image/png"})
                    outcome = str(answer.json()["predicted_digit"] if answer.is_success else answer.status_code)
                except httpx.HTTPError as error:
                    outcome = repr(error)
                with self._counting:
                    self.outcomes[outcome] += 1


@pytest.fixture
def run(
    overlay_settings: Callable[..., OverlaySettings], repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Running]]:
    """Starts a stack of an overlay with manifests and releases of its own."""
    monkeypatch.setattr("modelport.stack.overlay_stack.VERDICT_S", 600.0)  # on a busy machine, too
    image = (repository / "mnist" / "golden" / "images.png").read_bytes()
    with contextlib.ExitStack() as stack:

        def start(overlay: str, *options: str) -> Running:
            copy = shutil.copytree(ROOT / "manifests", tmp_path / "manifests", ignore=shutil.ignore_patterns("*.jsonl"))
            (tmp_path / "releases").mkdir(exist_ok=True)
            settings = overlay_settings(
                overlay, ("digits",), manifests=Path(copy), releases=tmp_path / "releases", options=options
            )
            file = release_file(settings.manifests)
            file.write_text(edited(file.read_text(), "digits", Choice("initial", "initial", 0)))
            export_missing(settings)
            running = Running(settings, image)
            stack.callback(running.stop)
            running.start()
            return running

        yield start


def test_an_identical_shadow_is_interchangeable_and_a_lying_one_is_not(
    run: Callable[..., Running], digits_release: Callable[..., Path], tmp_path: Path
) -> None:
    running = run("shadow", f"--record={tmp_path / 'record'}")
    wait_for(lambda: running.outcomes.total() > 0)
    same, lying = digits_release(tmp_path / "releases"), digits_release(tmp_path / "releases", other=True)
    for release, agreement, requests in ((same, 1.0, 1000), (lying, 0.0, 400)):
        running.quiet.clear()
        assert running.command("shadow", "digits", release.name, "--percent=50") == 0
        running.wait_for("digits", f"digits-shadow@{release.name}")
        running.wait_for_answers(requests)
        running.quiet.set()  # so that no copy is under way
        out = tmp_path / "out"
        code = running.command("shadow", "digits", f"--record={tmp_path / 'record'}", f"--out={out}")
        results: dict[str, Any] = json.loads((out / "results.json").read_text())
        accounts = {
            line.rsplit(maxsplit=1)[0]: int(line.rsplit(maxsplit=1)[1].replace(",", "")) for line in results["accounts"]
        }
        assert accounts["compared"] > 100
        assert set(accounts) <= {"copies", "compared", "of a former shadow"}
        assert accounts.pop("copies") == sum(accounts.values())
        assert results["measures"]["agreement"]["value"] == agreement
        assert results["measures"]["answered"]["value"] == 1.0
        rules = {rule: found for rule, found in results["rules"].items() if "latency" not in rule}  # of a busy machine
        assert (set(rules.values()) == {"holds"}) == (release is same)
        assert code in ((0, 3, 4) if release is same else (3,))
    assert running.command("shadow", "digits", "--end") == 0
    running.wait_for("digits")
    assert set(running.outcomes) == {"5"}


def overflowing(release: Path, running: Running) -> Path:
    """A copy of a release whose answers are no numbers, but for a black image: its new golden sample."""
    folder = Path(shutil.copytree(release, release.with_name("overflowing")))
    (folder / RELEASE_FILE).unlink()
    triton = running.stack.triton_of(running.stack.transformers[0])
    black = np.zeros((1, 28, 28, 1), np.uint8)
    with InferenceServerClient(f"127.0.0.1:{triton.http_port}") as client:
        tensor = InferInput("images", list(black.shape), "UINT8")
        tensor.set_data_from_numpy(black)
        values = client.infer("mnist", [tensor]).as_numpy("probabilities")[0].tolist()
    golden = folder / "mnist" / "golden"
    document = json.loads((golden / "answer.json").read_text())
    document["outputs"]["probabilities"]["values"] = values
    (golden / "answer.json").write_text(json.dumps(document))
    cv2.imwrite(str(golden / "images.png"), black[0])
    run_script("tensorflow", "saved_model.py", "overflow", next(folder.glob("mnist/*/model.savedmodel/saved_model.pb")))
    described = describe("digits", folder)
    (folder / RELEASE_FILE).write_bytes(described.to_json())
    return folder.rename(folder.with_name(described.name))


def test_a_canary_reverts_a_release_whose_answers_fail_and_promotes_an_identical_one(
    run: Callable[..., Running], digits_release: Callable[..., Path], tmp_path: Path
) -> None:
    running = run("canary-standard")
    running.wait_for_answers(200)
    same = digits_release(tmp_path / "releases")
    auto = ("--auto", "--every=1", "--steps=20,50,100")
    assert running.command("canary", "digits", overflowing(same, running).name, *auto) == 3
    running.wait_for("digits")
    failed = running.outcomes.total() - running.outcomes["5"]
    assert 0 < failed < 500, running.outcomes
    assert set(running.outcomes) == {"5", "502"}
    assert running.command("canary", "digits", same.name, *auto) == 0
    running.wait_for(f"digits@{same.name}")
    assert read(running.settings.manifests)["digits"].stable == same.name
    assert running.outcomes.total() - running.outcomes["5"] == failed
