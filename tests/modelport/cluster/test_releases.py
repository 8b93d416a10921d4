"""The releases of a test: the checkout's models, the same again, and some that must never serve."""

import json
from pathlib import Path

import pytest
from signing_keys import Signer

from kserve_transformers.predictor.signature import PublicKeys, SignatureError, check_signature
from modelport.cluster.releases import NEXT, SLOW, UNTRUSTED, WRONG, laid_out
from modelport.releases import assembly
from modelport.releases.release import RELEASE_FILE, SIGNATURE_FILE
from modelport.releases.sources import Folder
from modelport.releases.verification import verify

TEXT = json.dumps({"outputs": {"boxes": {"values": [[0.1, 0.2], [0.3, 0.4]], "atol": 0.01}}})
CONFIG = 'platform: "tensorflow_savedmodel"\nmax_batch_size: 8\n'


@pytest.fixture
def repository(tmp_path):
    """A model repository of one model."""
    model = tmp_path / "mnist"
    (model / "golden").mkdir(parents=True)
    (model / "1").mkdir()
    (model / "1" / "model.bin").write_bytes(b"weights")
    (model / "golden" / "answer.json").write_text(TEXT)
    (model / "config.pbtxt").write_text(CONFIG)
    return tmp_path


def test_the_other_releases_differ_in_one_way_and_the_checkout_stays_as_it_is(repository):
    with laid_out({"digits": ("mnist",), "other": ("mnist",)}, ("digits",), repository) as folder:
        assert sorted(path.name for path in (folder / "digits").iterdir()) == ["initial", NEXT, SLOW, WRONG]
        assert [path.name for path in (folder / "other").iterdir()] == ["initial"]
        same, slow, wrong = (folder / "digits" / name / "mnist" for name in (NEXT, SLOW, WRONG))
        assert (same / "golden" / "answer.json").read_text() == TEXT
        changed = json.loads((wrong / "golden" / "answer.json").read_text())
        assert changed["outputs"]["boxes"] == {"values": [[0.6, 0.7], [0.8, 0.9]], "atol": 0.01}
        assert (wrong / "config.pbtxt").read_text() == (same / "config.pbtxt").read_text() == CONFIG
        assert (slow / "config.pbtxt").read_text() == 'backend: "python"\nmax_batch_size: 8\n'
        assert [path.name for path in (slow / "1").iterdir()] == ["model.py"]
        compile((slow / "1" / "model.py").read_text(), "model.py", "exec")
    assert (repository / "mnist" / "golden" / "answer.json").read_text() == TEXT
    assert (repository / "mnist" / "config.pbtxt").read_text() == CONFIG
    assert (repository / "mnist" / "1" / "model.bin").read_bytes() == b"weights"


@pytest.mark.stack  # the lane that exports the models
def test_of_the_untrusted_releases_no_signature_holds(exported, tmp_path):
    mine, other = Signer(tmp_path / "mine"), Signer(tmp_path / "other")
    keys = PublicKeys([mine.public])
    with laid_out({"digits": ("mnist",)}, ("digits",), keys=[mine.private, other.private]) as folder:
        for release in sorted((folder / "digits").iterdir()):
            signature, manifest = release / SIGNATURE_FILE, (release / RELEASE_FILE).read_bytes()
            if release.name == "missing":
                assert not signature.exists()
                continue
            files = {name: record.sha256 for name, record in _found(release).items()}
            if release.name in UNTRUSTED:
                with pytest.raises(SignatureError):
                    check_signature(keys, signature, manifest, files)
            else:
                check_signature(keys, signature, manifest, files)
                verify(Folder(release))


def _found(release: Path) -> dict[str, assembly.FileRecord]:
    left_out = (RELEASE_FILE, SIGNATURE_FILE)
    files = {path.relative_to(release).as_posix(): path for path in release.rglob("*") if path.is_file()}
    return {
        name: assembly.FileRecord(assembly.content_sha256(path), path.stat().st_size)
        for name, path in files.items()
        if name not in left_out
    }
