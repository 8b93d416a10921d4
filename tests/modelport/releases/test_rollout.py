"""The commands canary, promote and rollback: what they refuse and write, and which manifests are rendered from it."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from release_files import own_manifests

from modelport.environment import ROOT
from modelport.manifests.release_file import Choice, read
from modelport.manifests.rendering import documents, kubectl
from modelport.releases.__main__ import main

ELSEWHERE = "2026-11-22-0123456789ab"


@pytest.fixture
def manifests(tmp_path):
    """A copy of the manifests without a log."""
    return own_manifests(tmp_path)


@pytest.fixture
def command(manifests, tmp_path):
    """Runs a command on those manifests and the releases in tmp_path; returns its exit code."""

    def run(*arguments: str) -> int:
        return main([*arguments, f"--manifests={manifests}", f"--releases={tmp_path}"])

    return run


@pytest.fixture
def release(toy):
    """The name of a release of digits."""
    return toy().name


def rendered(manifests: Path, overlay: str) -> dict[str, Any]:
    """spec.predictor and spec.canary of digits."""
    folder = str(manifests / "overlays" / overlay)
    text = subprocess.run([kubectl(), "kustomize", folder], capture_output=True, text=True, check=True).stdout
    (service,) = [d for d in documents(text) if d["kind"] == "InferenceService" and d["metadata"]["name"] == "digits"]
    spec: dict[str, Any] = service["spec"]
    return spec


def last_part(predictor: dict[str, Any]) -> str:
    return str(predictor["model"]["storageUri"].rpartition("/")[2])


def test_a_canary_is_rendered_in_standard_and_knative_mode(command, manifests, release):
    assert command("canary", "digits", release, "10") == 0
    standard = rendered(manifests, "canary-standard")
    assert last_part(standard["predictor"]) == "initial"
    (canary,) = standard["canary"]
    assert (canary["trafficPercent"], last_part(canary["predictor"])) == (10, release)
    knative = rendered(manifests, "canary-knative")["predictor"]
    assert (knative["canaryTrafficPercent"], last_part(knative)) == (10, release)


@pytest.mark.parametrize(("end", "stable"), [("promote", "the release"), ("rollback", "initial")])
def test_an_ended_canary_is_rendered_in_neither_mode(end, stable, command, manifests, release):
    assert command("canary", "digits", release, "10") == 0
    assert command(end, "digits") == 0
    for overlay in ("canary-standard", "canary-knative"):
        spec = rendered(manifests, overlay)
        assert last_part(spec["predictor"]) == (release if stable == "the release" else stable)
        assert "canary" not in spec
        assert "canaryTrafficPercent" not in spec["predictor"]


def test_rollback_returns_step_by_step_through_the_promoted_releases(command, manifests, toy):
    first, second = toy().name, toy(day="2026-11-22").name
    for name in (first, second):
        assert command("canary", "digits", name, "50") == 0
        assert command("promote", "digits") == 0
    stable = []
    while command("rollback", "digits") == 0:
        stable.append(read(manifests)["digits"])
    assert stable == [Choice(first, first, 0), Choice("initial", "initial", 0)]


def test_each_change_is_printed_and_logged(command, manifests, release, capsys):
    before = (manifests / "releases" / "releases.yaml").read_text()
    assert command("canary", "digits", release[-5:], "10", "--why=trained “longer”") == 0
    assert command("promote", "digits") == 0
    printed = capsys.readouterr().out.splitlines()
    assert {"-  digits-canary: initial", f"+  digits-canary: {release}", '+  digits-percent: "10"'} <= set(printed)
    after = (manifests / "releases" / "releases.yaml").read_text()
    assert after == before.replace("digits-stable: initial", f"digits-stable: {release}").replace(
        "digits-canary: initial", f"digits-canary: {release}"
    )
    first, second = map(json.loads, (manifests / "releases" / "log.jsonl").read_text().splitlines())
    assert (first["what"], first["service"], first["why"]) == ("canary", "digits", "trained “longer”")
    assert first["who"]
    assert first["when"].endswith("+00:00")
    assert first["before"] == {"stable": "initial", "canary": "initial", "percent": 0}
    assert first["after"] == second["before"] == {"stable": "initial", "canary": release, "percent": 10}


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        pytest.param(["canary", "numbers", "RELEASE", "10"], "no service 'numbers'", id="unknown service"),
        pytest.param(
            ["canary", "digits", "2027", "10"], "no release '2027' of digits: choose one of: ", id="unknown release"
        ),
        pytest.param(["canary", "digits", "", "10"], "there is no release '' of digits", id="no name"),
        pytest.param(["canary", "digits", ELSEWHERE, "10"], "UNCHECKED=1", id="built elsewhere"),
        pytest.param(["canary", "digits", "2026-11-22", "10", "--unchecked"], "full name", id="elsewhere, shortened"),
        pytest.param(["canary", "digits", "initial", "10"], "is the stable release already", id="stable"),
        pytest.param(["promote", "digits"], "no canary to promote", id="promote without a canary"),
        pytest.param(["rollback", "digits"], "no stable release of digits before", id="nothing to go back to"),
    ],
)
def test_a_refused_command_changes_nothing(arguments, reason, command, manifests, release, capsys):
    before = (manifests / "releases" / "releases.yaml").read_text()
    assert command(*(release if argument == "RELEASE" else argument for argument in arguments)) == 1
    assert reason in capsys.readouterr().err
    assert (manifests / "releases" / "releases.yaml").read_text() == before
    assert not (manifests / "releases" / "log.jsonl").exists()


@pytest.mark.parametrize("percent", ["0", "100", "-1", "ten", ""])
def test_a_share_is_1_to_99_percent(percent, command, release):
    with pytest.raises(SystemExit):
        command("canary", "digits", release, percent)


def test_an_ambiguous_part_of_a_name_is_refused(command, toy, capsys):
    toy()
    second = toy(day="2026-11-22").name
    assert command("canary", "digits", "2026-11", "10") == 1
    assert "several releases" in capsys.readouterr().err
    assert command("canary", "digits", "2026-11-22", "10") == 0
    assert second in capsys.readouterr().out


def test_a_release_from_another_machine_needs_unchecked(command, manifests):
    assert command("canary", "digits", ELSEWHERE, "10", "--unchecked") == 0
    assert read(manifests)["digits"] == Choice("initial", ELSEWHERE, 10)


def test_an_untrained_release_needs_untrained(command, toy, capsys):
    name = toy(weights="untrained").name
    assert command("canary", "digits", name, "10") == 1
    assert "untrained" in capsys.readouterr().err
    assert command("canary", "digits", name, "10", "--untrained") == 0


def test_a_release_whose_files_were_changed_is_refused(command, toy, capsys):
    folder = toy()
    (folder / "toy" / "1" / "model.onnx").write_bytes(bytes(256) * 8)
    assert command("canary", "digits", folder.name, "10") == 1
    assert "was changed" in capsys.readouterr().err


def test_concurrent_changes_are_all_logged(manifests, tmp_path, release):
    services = ["classifier", "cars", "digits", "anomaly"]
    for service in set(services) - {"digits"}:
        (tmp_path / service).symlink_to("digits")
    options = [f"--manifests={manifests}", f"--releases={tmp_path}"]

    def run(service: str) -> int:
        return subprocess.run(
            [sys.executable, "-m", "modelport.releases", "canary", service, release, "10", *options],
            cwd=ROOT,
            check=False,
        ).returncode

    with ThreadPoolExecutor(len(services)) as pool:
        assert list(pool.map(run, services)) == [0] * len(services)
    assert {name for name, choice in read(manifests).items() if choice.canary == release} == set(services)
    lines = (manifests / "releases" / "log.jsonl").read_text().splitlines()
    assert sorted(json.loads(line)["service"] for line in lines) == sorted(services)


def test_releases_lists_what_serves_and_what_was_changed(command, release, capsys):
    command("canary", "digits", release, "10", "--why=trained longer")
    capsys.readouterr()
    assert command("releases", "digits") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["service", "release", "serves", "created", "weights", "accuracy", "signed"]
    assert lines[1].split() == ["digits", "initial", "stable", "90", "%"]
    assert lines[2].startswith(f"digits   {release}  canary 10 %")
    assert lines[2].split()[-4:] == ["trained", "not", "stated", "no"]
    assert lines[3].endswith(f"canary digits, initial -> initial with 10 % {release}  trained longer")
    assert len(lines) == 4


def test_releases_lists_a_shadow_and_a_rollout_leaves_it(command, manifests, release, capsys):
    assert command("shadow", "digits", ELSEWHERE, "--unchecked", "--port=1") == 0  # no stack runs there
    assert command("canary", "digits", release, "10") == 0
    assert command("promote", "digits") == 0
    assert read(manifests)["digits"] == Choice(release, release, 0, ELSEWHERE, 20)
    assert command("rollback", "digits") == 0
    assert read(manifests)["digits"] == Choice("initial", "initial", 0, ELSEWHERE, 20)
    capsys.readouterr()
    assert command("releases", "digits") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[2:6] for line in lines if line.startswith(f"digits   {ELSEWHERE}")] == [
        ["shadow", "of", "20", "%"]
    ]
    assert f"initial -> initial, 20 % copied to {ELSEWHERE}" in lines[-4]
