"""A release is named by its content, states its provenance, and is built only if it passes the gate."""

import json
import shutil
from pathlib import Path

import pytest
from signing_keys import Signer

from modelport.releases import assembly
from modelport.releases.__main__ import main
from modelport.releases.release import NAME, RELEASE_FILE
from modelport.releases.sources import Folder
from modelport.releases.verification import verify


@pytest.fixture
def signer(tmp_path):
    return Signer(tmp_path / "keys")


@pytest.fixture
def own(digits, tmp_path):
    """A copy of the release of digits in a folder of releases."""
    return Path(shutil.copytree(digits.folder, tmp_path / "digits" / digits.folder.name))


def test_a_release_contains_what_triton_needs_and_states_its_provenance(digits, repository):
    release = verify(Folder(digits.folder))
    assert NAME.fullmatch(digits.folder.name)
    assert set(release.files) == {
        "mnist/config.pbtxt",
        "mnist/labels.txt",
        "mnist/golden/images.png",
        "mnist/golden/answer.json",
        "mnist/1/model.savedmodel/saved_model.pb",
    }
    mnist = release.models["mnist"]
    assert mnist.weights["weights_licence"] == "Apache-2.0"
    assert mnist.weights["weights_sha256"].startswith("0778eb09")
    answer = json.loads((repository / "mnist/golden/answer.json").read_text())["outputs"]["probabilities"]
    assert mnist.golden["probabilities"] == {"shape": [10], "leading": answer["values"], "atol": answer["atol"]}
    assert {"tensorflow-cpu", "openvino", "numpy", "tritonserver"} < release.packages.keys()
    assert all(path.stat().st_mode & 0o777 == 0o444 for path in digits.folder.rglob("*") if path.is_file())


def test_the_same_content_on_another_day_keeps_its_release(own, repository, capsys):
    yesterday = own.with_name(f"2001-02-03{own.name[10:]}")
    release_file = own / RELEASE_FILE
    text = release_file.read_text().replace(own.name, yesterday.name)
    release_file.chmod(0o644)
    release_file.write_text(text)
    own.rename(yesterday)
    assert main(["release", "digits", f"--repository={repository}", f"--releases={own.parents[1]}"]) == 0
    assert f"unchanged, kept: {yesterday}" in capsys.readouterr().out
    assert [path.name for path in own.parent.iterdir()] == [yesterday.name]


def test_a_changed_release_of_the_same_name_is_an_error(own, repository, capsys):
    labels = own / "mnist" / "labels.txt"
    labels.chmod(0o644)
    labels.write_text(labels.read_text()[::-1])
    assert main(["release", "digits", f"--repository={repository}", f"--releases={own.parents[1]}"]) == 1
    assert "labels.txt was changed" in capsys.readouterr().err


def test_untrained_weights_are_released_only_by_force_which_is_recorded(repository, tmp_path, capsys):
    models, releases = tmp_path / "models", tmp_path / "releases"
    shutil.copytree(repository / "anomaly", models / "anomaly")
    config = models / "anomaly" / "config.pbtxt"
    config.write_text(config.read_text().replace('"trained"', '"untrained"'))
    command = ["release", "anomaly", f"--repository={models}", f"--releases={releases}"]

    assert main(command) == 1
    assert "error: untrained: anomaly" in capsys.readouterr().err
    assert list((releases / "anomaly").iterdir()) == []

    assert main([*command, "--force"]) == 0
    (folder,) = (releases / "anomaly").iterdir()
    assert verify(Folder(folder)).untrained == ("anomaly",)
    capsys.readouterr()
    assert main(["verify", str(folder)]) == 0
    assert "warning: anomaly is untrained" in capsys.readouterr().out


def test_a_release_of_what_is_not_exported_is_one_line(tmp_path, capsys):
    assert main(["release", "digits", f"--repository={tmp_path}", f"--releases={tmp_path / 'releases'}"]) == 1
    assert "run `modelport export mnist` first" in capsys.readouterr().err


def test_older_versions_and_unfinished_exports_are_not_copied(repository, tmp_path):
    shutil.copytree(repository / "mnist", tmp_path / "mnist")
    shutil.copytree(tmp_path / "mnist" / "1", tmp_path / "mnist" / "12")
    (tmp_path / "mnist" / ".building-x").mkdir()
    assembly.copy_models(tmp_path, ["mnist"], tmp_path / "copy")
    assert {path.name for path in (tmp_path / "copy" / "mnist").iterdir()} == {
        "12",
        "config.pbtxt",
        "golden",
        "labels.txt",
    }


def test_a_signature_covers_every_file(own, signer, repository, capsys):
    build = ["release", "digits", f"--repository={repository}", f"--releases={own.parents[1]}"]
    check = ["verify", str(own), f"--verify-key={signer.public}"]
    assert main(check) == 1
    assert "has no release.sig" in capsys.readouterr().err
    assert main([*build, f"--sign-key={signer.private}"]) == 0
    assert "signed" in capsys.readouterr().out
    assert main(check) == 0
    assert "the signature is valid for public.pem" in capsys.readouterr().out

    release_file = own / RELEASE_FILE  # covered by the signature, but not by the release's name
    release_file.chmod(0o644)
    release_file.write_text(release_file.read_text().replace("Apache-2.0", "all mine!!"))
    assert main(["verify", str(own)]) == 0
    assert main(check) == 1
    assert "release.sig is not valid for public.pem" in capsys.readouterr().err


def test_the_signature_of_another_key_is_not_valid(own, signer, repository, tmp_path):
    build = ["release", "digits", f"--repository={repository}", f"--releases={own.parents[1]}"]
    assert main([*build, f"--sign-key={signer.private}"]) == 0
    other = Signer(tmp_path / "other")
    assert main(["verify", str(own), f"--verify-key={other.public}"]) == 1
