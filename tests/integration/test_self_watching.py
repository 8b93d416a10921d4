"""Releases that watch themselves on a real stack: a shadow's verdict, and a canary that promotes or reverts itself."""

import contextlib
import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
from frameworks import run_script
from release_files import own_manifests
from supervised import Supervised, supervised
from tritonclient.http import InferenceServerClient, InferInput

from modelport.manifests.release_file import read
from modelport.releases.assembly import describe
from modelport.releases.release import RELEASE_FILE

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


@pytest.fixture
def run(overlay_settings, tmp_path, monkeypatch):
    """Starts a stack of an overlay with manifests and releases of its own."""
    monkeypatch.setattr("modelport.stack.overlay_stack.VERDICT_S", 600.0)  # on a busy machine, too
    releases = tmp_path / "releases"
    releases.mkdir()
    with contextlib.ExitStack() as stack:

        def start(overlay: str, *options: str) -> Supervised:
            own = {"manifests": own_manifests(tmp_path), "releases": releases, "options": options}
            return stack.enter_context(supervised(overlay_settings(overlay, ("digits",), **own), digit))

        yield start


def digit(answer: httpx.Response) -> str:
    """The digit, or the status of a failure."""
    return str(answer.json()["predicted_digit"] if answer.is_success else answer.status_code)


def test_an_identical_shadow_is_interchangeable_and_a_lying_one_is_not(run, digits_release, tmp_path):
    running = run("shadow", f"--record={tmp_path / 'record'}")
    running.next_answers(1)
    same, lying = digits_release(tmp_path / "releases"), digits_release(tmp_path / "releases", other=True)
    for release, agreement, requests in ((same, 1.0, 1000), (lying, 0.0, 400)):
        running.quiet.clear()
        assert running.command("shadow", "digits", release.name, "--percent=50") == 0
        running.wait_for("digits", f"digits-shadow@{release.name}")
        running.next_answers(requests)
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
    assert set(running.answers) == {"5"}


def overflowing(release: Path, running: Supervised) -> Path:
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


def test_a_canary_reverts_a_release_whose_answers_fail_and_promotes_an_identical_one(run, digits_release, tmp_path):
    running = run("canary-standard")
    running.next_answers(200)
    same = digits_release(tmp_path / "releases")
    auto = ("--auto", "--every=1", "--steps=20,50,100")
    assert running.command("canary", "digits", overflowing(same, running).name, *auto) == 3
    running.wait_for("digits")
    outcomes = Counter(running.answers)
    assert set(outcomes) == {"5", "502"}
    assert outcomes["502"] < 500
    assert running.command("canary", "digits", same.name, *auto) == 0
    running.wait_for(f"digits@{same.name}")
    assert read(running.settings.manifests)["digits"].stable == same.name
    assert running.answers.count("502") == outcomes["502"]
    assert set(running.answers) == set(outcomes)
