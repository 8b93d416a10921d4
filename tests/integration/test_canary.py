"""A new network goes out and back under load: canary, promote, rollback, by a real Envoy, and no request is lost."""

import json
import math
import shutil
from pathlib import Path

import h5py
import httpx
import pytest
from processes import TRITON, matching
from release_files import choose, own_manifests
from supervised import supervised
from waiting import wait_for

from modelport.environment import ROOT
from modelport.manifests.release_file import Choice
from modelport.releases.__main__ import main
from modelport.stack.triton_server import TritonServer

pytestmark = [pytest.mark.slow, pytest.mark.stack]

REQUESTS = 600
PERCENT = 10
TRACKED = ROOT / "export" / "exporters" / "trained" / "mnist.weights.h5"
OLD, NEW = "old", "new"


@pytest.fixture(scope="module")
def released(tmp_path_factory):
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
def broken(released):
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


@pytest.fixture
def running(overlay_settings, repository, released, broken, tmp_path):
    """`make serve OVERLAY=canary-standard SERVICES=digits` under load, with manifests of its own."""
    confidences = {OLD: golden_confidence(repository), NEW: golden_confidence(released)}
    assert abs(confidences[OLD] - confidences[NEW]) > 0.02

    def network(answer: httpx.Response) -> str:
        """That an answer came from, or what went wrong."""
        if answer.status_code == 200:
            for name, confidence in confidences.items():
                if abs(answer.json()["confidence"] - confidence) < 0.005:
                    return name
        return f"{answer.status_code} {answer.text}"

    places = {"manifests": own_manifests(tmp_path), "releases": released.parents[1]}
    with supervised(overlay_settings("canary-standard", ("digits",), **places), network) as started:
        yield started


def golden_confidence(models: Path) -> float:
    answer = json.loads((models / "mnist" / "golden" / "answer.json").read_text())
    return max(answer["outputs"]["probabilities"]["values"])


@pytest.mark.timeout(3600)  # six starts of Triton or a transformer, on a machine that may be busy
def test_a_release_goes_out_and_back_under_load_and_a_broken_one_never_serves(
    running, released, broken, monkeypatch, capfd
):
    assert set(running.next_answers(50)) == {OLD}

    told: list[str] = []
    choose(running.settings.manifests, Choice("initial", broken.name, 50))
    wait_for(lambda: bool(told.append(capfd.readouterr().err) or "nothing is changed" in "".join(told)))
    monkeypatch.setattr("modelport.stack.overlay_stack.VERDICT_S", 600.0)  # a good one is not to be late
    assert f"digits-canary@{broken.name} is not ready" in "".join(told)
    assert "the golden sample's answer is wrong" in "".join(told)
    assert [predictor.name for predictor in running.stack.declared.predictors] == ["digits"]
    assert set(running.answers) == {OLD}

    assert running.command("canary", "digits", released.name[:-2], str(PERCENT)) == 0
    running.wait_for("digits", f"digits-canary@{released.name}")
    split = running.next_answers(REQUESTS)
    sigma = math.sqrt(len(split) * PERCENT / 100 * (1 - PERCENT / 100))
    assert abs(split.count(NEW) - len(split) * PERCENT / 100) < 5 * sigma

    assert running.command("promote", "digits") == 0
    running.wait_for(f"digits@{released.name}")
    # those under way are of the network before, and Envoy's threads take the new routes one after another
    wait_for(lambda: set(running.answers[-50:]) == {NEW})

    assert running.command("rollback", "digits") == 0
    running.wait_for("digits")
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
