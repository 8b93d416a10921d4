"""Releases signed by model-signing itself: what was signed is served, and nothing else, whatever was done to it."""

import base64
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from signing_keys import Signer

from kserve_transformers.assignment import FILES, renamed, triton_name
from kserve_transformers.predictor.release import ReleaseError, ReleaseFiles, RequiredSignature
from kserve_transformers.predictor.signature import PublicKeys
from modelport.releases.signing import sign

NAME = "2026-11-21-0123456789ab"
CONTENTS = {
    "toy/config.pbtxt": b'name: "toy"\r\nplatform: "onnxruntime_onnx"\r\n',
    "toy/1/model.onnx": bytes(range(256)),
    "other/config.pbtxt": b'name: "other"\n',
}


def make(folder: Path, signer: Signer | None, contents: dict[str, bytes] = CONTENTS, **told: str) -> Path:
    """The folder of a release."""
    for path, content in contents.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    files = {p: {"sha256": hashlib.sha256(c).hexdigest(), "size": len(c)} for p, c in contents.items() if "/" in p}
    more = {p: {"sha256": hashlib.sha256(c).hexdigest(), "size": len(c)} for p, c in contents.items() if "/" not in p}
    document = {"name": NAME, "service": "toys", "files": files, "documents": more, **told}
    (folder / "release.json").write_text(json.dumps(document))
    if signer:
        sign(folder, signer.private)
    return folder


@pytest.fixture(scope="module")
def signer(tmp_path_factory):
    return Signer(tmp_path_factory.mktemp("keys") / "first")


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    return Signer(tmp_path_factory.mktemp("keys") / "other")


@pytest.fixture(scope="module")
def releases(signer, other, tmp_path_factory):
    folder = tmp_path_factory.mktemp("releases")
    make(folder / "signed", signer, {**CONTENTS, "bom.json": b"{}"})
    make(folder / "unsigned", None)
    make(folder / "by another key", other)
    make(
        folder / "older",
        signer,
        {**CONTENTS, "toy/1/model.onnx": b"older", "bom.json": b"{}"},
        name="2026-11-20-ba9876543210",
    )
    make(folder / "of another service", signer, service="cars")
    return folder


def files(folder: Path, *keys: Path, model: str = "toy", release: str | None = None) -> ReleaseFiles:
    required = RequiredSignature(PublicKeys(keys), ("toys",), supervised=release is not None)
    return ReleaseFiles(folder, model, release, required)


def flip(path: Path, at: int = 100) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)


def resign(folder: Path, change: Callable[[dict[str, object]], object]) -> None:
    """Change what was signed, and keep the signature."""
    bundle = json.loads((folder / "release.sig").read_text())
    statement = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
    change(statement["predicate"]["resources"][-1])
    bundle["dsseEnvelope"]["payload"] = base64.b64encode(json.dumps(statement).encode()).decode()
    rewrite(folder, json.dumps(bundle))


def rewrite(folder: Path, content: str) -> None:
    (folder / "release.sig").unlink()
    (folder / "release.sig").write_text(content)


def edited(name: str, before: str, after: str) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        text = (folder / name).read_text()
        assert before in text
        (folder / name).unlink()
        (folder / name).write_text(text.replace(before, after))

    return edit


REFUSED = [
    pytest.param(lambda r: flip(r / "toy/1/model.onnx"), "toy/1/model.onnx is not as released", id="flipped byte"),
    pytest.param(lambda r: flip(r / "other/config.pbtxt", 3), "other/config.pbtxt is not", id="of another model"),
    pytest.param(lambda r: flip(r / "bom.json", 0), "bom.json is not as released", id="flipped byte of a document"),
    pytest.param(lambda r: (r / "bom.json").unlink(), "bom.json of the release is missing", id="no document"),
    pytest.param(
        lambda r: (r / "other/config.pbtxt").replace(r / "toy/config.pbtxt"), "other/config.pbtxt of", id="swapped"
    ),
    pytest.param(lambda r: shutil.rmtree(r / "other"), "other/config.pbtxt of the release is missing", id="no model"),
    pytest.param(lambda r: (r / "toy/1/model.py").touch(), "toy/1/model.py does not belong", id="added file"),
    pytest.param(lambda r: (r / "model.py").touch(), "model.py does not belong", id="added beside the models"),
    pytest.param(lambda r: shutil.copytree(r / "toy", r / "evil"), "evil/1/model.onnx does not", id="added model"),
    pytest.param(lambda r: (r / "toy/2").symlink_to("1"), "toy/2 does not belong", id="added link to a folder"),
    pytest.param(
        lambda r: (r / "serving.json").touch(), "serving.json does not", id="a supervisor's file, without one"
    ),
    pytest.param(lambda r: make(r / f"toy.{NAME}", None), "does not belong", id="a supervisor's folder, without one"),
    pytest.param(edited("release.json", NAME, "2026-11-22-0123456789ab"), "another release.json", id="other name"),
    pytest.param(edited("release.json", "{", "{ "), "another release.json", id="a blank in release.json"),
    pytest.param(lambda r: (r / "release.json").unlink(), "there is no release.json", id="no release.json"),
    pytest.param(lambda r: (r / "release.sig").unlink(), "is not signed", id="signature removed"),
    pytest.param(lambda r: rewrite(r, ""), "is malformed", id="empty signature"),
    pytest.param(lambda r: rewrite(r, "[]"), "is malformed", id="signature of another form"),
    pytest.param(lambda r: rewrite(r, "[" * 100_000), "is malformed", id="deep signature"),
    pytest.param(
        lambda r: (r / "release.sig").chmod(0o644) or (r / "release.sig").write_bytes(b"\xff"),
        "is malformed",
        id="no text",
    ),
    pytest.param(edited("release.sig", "in-toto+json", "in-toto+jsox"), "no Sigstore bundle", id="other payload type"),
    pytest.param(edited("release.sig", "v0.3", "v9.9"), "no Sigstore bundle", id="other version"),
    pytest.param(edited("release.sig", '"sig":"', '"sig":"AA'), "does not hold", id="damaged signature"),
    pytest.param(
        lambda r: resign(r, lambda one: one.update(digest="0" * 64)), "not made with a key", id="other digest"
    ),
    pytest.param(lambda r: resign(r, lambda one: one.update(name="x")), "not made with a key", id="other file"),
    pytest.param(
        lambda r: shutil.copy(r.parent / "older.sig", r / "release.sig"),
        "another release.json",
        id="signature of another",
    ),
    pytest.param(
        lambda r: [shutil.copy(r.parent / f"older.{end}", r / f"release.{end}") for end in ("sig", "json")],
        "toy/1/model.onnx is not as released",
        id="release.json and signature of another",
    ),
]


@pytest.mark.parametrize(("change", "problem"), REFUSED)
def test_what_was_not_signed_is_refused(change, problem, releases, signer, tmp_path):
    folder = shutil.copytree(releases / "signed", tmp_path / "release")
    for end in ("sig", "json"):
        shutil.copy(releases / "older" / f"release.{end}", tmp_path / f"older.{end}")
    (folder / "release.sig").chmod(0o644)
    change(folder)
    with pytest.raises(ReleaseError, match=problem):
        files(folder, signer.public).check()


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("unsigned", "is not signed: build it with --sign-key"),
        ("by another key", "not made with a key of public.pem"),
        ("of another service", "is one of cars, not of toys"),
    ],
)
def test_what_others_made_is_refused(name, problem, releases, signer):
    with pytest.raises(ReleaseError, match=problem):
        files(releases / name, signer.public).check()


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()], ids=lambda curve: curve.name)
def test_what_was_signed_is_served(curve, tmp_path):
    signer = Signer(tmp_path / "keys", curve)
    folder = make(tmp_path / "release", signer)
    files(folder, signer.public).check()
    linked = tmp_path / "linked"  # as KServe's storage initializer does
    linked.mkdir()
    for entry in folder.iterdir():
        (linked / entry.name).symlink_to(entry)
    files(linked, signer.public, model="other").check()
    with pytest.raises(ReleaseError, match="has no model third"):
        files(folder, signer.public, model="third").check()


def test_keys_are_replaced_while_both_are_named(releases, signer, other, tmp_path):
    for name in ("signed", "by another key"):
        files(releases / name, signer.public, other.public).check()
    one_file = tmp_path / "keys.pem"
    one_file.write_bytes(signer.public.read_bytes() + b"# the next one\n" + other.public.read_bytes())
    checked = files(releases / "signed", one_file)
    checked.check()
    one_file.write_bytes(other.public.read_bytes())
    with pytest.raises(ReleaseError, match=r"not made with a key of keys.pem"):
        checked.check()


def test_a_release_beside_another_is_checked_likewise(releases, signer, tmp_path):
    """As a supervisor adds it: the model has another name there, in its configuration, too."""
    folder = shutil.copytree(releases / "signed", tmp_path / "initial")
    added = folder / triton_name("toy", NAME)
    shutil.copytree(folder / "toy", added)
    config, _ = renamed((added / "config.pbtxt").read_bytes(), added.name)
    (added / "config.pbtxt").write_bytes(config)
    for name in ("release.json", "release.sig"):
        shutil.copy(folder / name, folder / triton_name(name, NAME))
    files(folder, signer.public, release=NAME).check()

    for name in FILES:
        (folder / name).write_text("{}")
    initial = RequiredSignature(PublicKeys([signer.public]), ("toys",), supervised=True)
    ReleaseFiles(folder, "toy", required=initial).check()
    (added / "config.pbtxt").write_bytes(config + b"#")
    with pytest.raises(ReleaseError, match=r"toy/config.pbtxt is not as released"):
        files(folder, signer.public, release=NAME).check()

    another = "2026-11-22-0123456789ab"
    for name in ("toy", "release.json", "release.sig"):
        (folder / triton_name(name, NAME)).rename(folder / triton_name(name, another))
    with pytest.raises(ReleaseError, match=f"that of {NAME}, not of {another}"):
        files(folder, signer.public, release=another).check()


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(None, id="no file"),
        pytest.param(b"", id="empty"),
        pytest.param(b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", id="damaged"),
        pytest.param("private", id="private key"),
        pytest.param(
            ed25519.Ed25519PrivateKey.generate()
            .public_key()
            .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
            id="no EC key",
        ),
    ],
)
def test_what_is_no_public_key_is_an_error(content, signer, tmp_path):
    path = tmp_path / "public.pem"
    if content is not None:
        path.write_bytes(signer.private.read_bytes() if isinstance(content, str) else content)
    with pytest.raises(ValueError, match=r"public.pem"):
        PublicKeys([signer.public, path]).read()
    with pytest.raises(ValueError, match="name a PEM file"):
        PublicKeys([]).read()
