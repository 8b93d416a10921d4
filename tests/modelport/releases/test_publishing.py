"""KServe's own storage initializer downloads what was published, completely or not at all."""

import functools
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from buckets import URL
from pytest_httpserver import HTTPServer
from waiting import wait_for
from werkzeug import Request, Response

from modelport.releases.__main__ import main
from modelport.releases.errors import ReleaseInvalidError
from modelport.releases.publishing import publish
from modelport.releases.release import RELEASE_FILE
from modelport.releases.sources import Folder
from modelport.releases.store import CHUNK
from modelport.releases.verification import verify
from modelport.services import choose
from modelport.stack.transformer_server import TransformerServer, TransformerSettings
from modelport.stack.triton_distribution import lay_out
from modelport.stack.triton_server import TritonServer, TritonSettings

INITIALIZER = "import sys; from kserve_storage import Storage; Storage.download(*sys.argv[1:])"
Fetch = Callable[[str], Path]


@pytest.fixture
def fetch(tmp_path):
    """KServe's storage initializer, in a process of its own, as in a pod."""

    def run(address: str) -> Path:
        folder = tmp_path / "mnt" / "models"
        done = subprocess.run(
            [sys.executable, "-c", INITIALIZER, address, str(folder)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return folder

    return run


def answer_as_registry(httpserver: HTTPServer, layout: Path) -> None:
    """The two routes of a registry that a pull needs, answered from an image layout."""
    index = json.loads((layout / "index.json").read_bytes())["manifests"]
    tags = {m["annotations"]["org.opencontainers.image.ref.name"]: m["digest"] for m in index}

    def answer(request: Request) -> Response:
        kind, name = request.path.split("/")[-2:]
        digest = tags.get(name, name).removeprefix("sha256:")
        content_type = index[0]["mediaType"] if kind == "manifests" else "application/octet-stream"
        return Response((layout / "blobs" / "sha256" / digest).read_bytes(), content_type=content_type)

    httpserver.expect_request(re.compile("/")).respond_with_handler(answer)


def release_of(folder: Path, address: str, *more: str) -> str:
    """Publishes what lies in a folder of releases by the command. Returns the release's name."""
    assert main(["publish", "digits", f"--releases={folder.parents[1]}", f"--to={address}", *more]) == 0
    return folder.name


def test_a_folder(digits, tmp_path, fetch):
    name = release_of(digits.folder, f"file://{tmp_path}/models")
    assert verify(Folder(tmp_path / "models" / "digits" / name)) == digits.release  # what a volume mounts
    assert verify(Folder(fetch(f"file://{tmp_path}/models/digits/{name}"))) == digits.release


def test_s3(digits, bucket, fetch):
    name = release_of(digits.folder, f"{URL}/some/place")
    assert verify(Folder(fetch(f"{URL}/some/place/digits/{name}"))) == digits.release


def test_a_release_changed_in_storage_is_not_served_until_it_is_repaired(digits, bucket, fetch, free_ports, tmp_path):
    """Two labels are swapped: KServe downloads them, Triton loads them, and the golden check has no labels."""
    name, path = release_of(digits.folder, URL), "mnist/labels.txt"
    labels = (digits.folder / path).read_bytes()
    bucket.put_object(Key=f"digits/{name}/{path}", Body=labels.replace(b"5\n6", b"6\n5"))
    fetched = fetch(f"{URL}/digits/{name}")

    ports = free_ports(5)
    triton = TritonServer(lay_out(), TritonSettings(fetched, tmp_path / "triton.log", *ports[:3]))
    transformer = TransformerServer(
        TransformerSettings(choose("digits"), fetched, tmp_path / "digits.log", ports[0], *ports[3:])
    )
    try:
        triton.start()
        transformer.start()
        triton.wait_until_ready()
        wait_for(lambda: "is not as released" in str(transformer.services()))
        assert not transformer.is_ready()

        triton.stop()  # the wrong labels are in its memory
        (fetched / path).write_bytes(labels)
        triton.start()
        transformer.wait_until_ready()
        image = (fetched / "mnist" / "golden" / "images.png").read_bytes()
        answer = httpx.post(
            f"http://127.0.0.1:{ports[3]}/digits/predict",
            content=image,
            headers={"content-type": "image/png"},
            timeout=60,
        )
        assert answer.json()["predicted_digit"] == 5
    finally:
        transformer.kill()
        triton.kill()


def test_http_as_an_archive(digits, tmp_path, fetch, httpserver):
    path = f"/digits/{release_of(digits.folder, f'file://{tmp_path}/models', '--archive')}.tar"
    archive = (tmp_path / f"models{path}").read_bytes()
    httpserver.expect_request(path).respond_with_data(archive, content_type="application/x-tar")
    assert verify(Folder(fetch(httpserver.url_for(path)))) == digits.release


def test_kserve_downloads_no_folder_over_http(fetch, httpserver):
    httpserver.expect_request("/digits/release").respond_with_data("a list of files", content_type="text/html")
    with pytest.raises(AssertionError, match="did not respond with 'Content-Type': 'application/octet-stream'"):
        fetch(httpserver.url_for("/digits/release"))


def test_an_oci_image(digits, tmp_path, fetch, httpserver, monkeypatch):
    name = release_of(digits.folder, f"oci://{tmp_path}/images")
    assert main(["verify", f"oci://{tmp_path}/images/digits:{name}"]) == 0
    monkeypatch.setenv("KSERVE_OCI_INSECURE_REGISTRY", "true")
    answer_as_registry(httpserver, tmp_path / "images" / "digits")
    assert verify(Folder(fetch(f"oci://127.0.0.1:{httpserver.port}/modelport/digits:{name}"))) == digits.release


def test_image_tools_read_the_layout(digits, tmp_path):
    if not shutil.which("buildah"):
        pytest.skip("buildah is not installed: apt-get install buildah")
    name = release_of(digits.folder, f"oci://{tmp_path}/images")
    storage = ["--root", f"{tmp_path}/root", "--runroot", f"{tmp_path}/runroot", "--storage-driver", "vfs"]
    buildah = functools.partial(subprocess.run, check=True, capture_output=True, text=True)
    container = buildah(["buildah", *storage, "from", f"oci:{tmp_path}/images/digits:{name}"]).stdout.strip()
    mounted = buildah(["buildah", *storage, "mount", container]).stdout.strip()
    try:
        assert verify(Folder(Path(mounted) / "models")) == digits.release
    finally:
        buildah(["buildah", *storage, "umount", container])


def test_an_interrupted_upload_is_incomplete_and_can_be_continued(digits, bucket, capsys):
    left = 10_000

    def interrupt(size: int) -> None:
        nonlocal left
        left -= size
        if left < 0:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        publish(digits.folder, URL, interrupt)
    place = f"{URL}/digits/{digits.folder.name}"
    assert main(["verify", place]) == 1
    assert "has no release.json, so no complete release" in capsys.readouterr().err

    bucket.put_object(Key=f"digits/{digits.folder.name}/mnist/labels.txt", Body=b"9\n8\n7\n6\n5\n4\n3\n2\n1\n0\n")
    bucket.put_object(
        Key=f"digits/{digits.folder.name}/mnist/config.pbtxt",
        Body=(digits.folder / "mnist" / "config.pbtxt").read_bytes(),
    )
    published = publish(digits.folder, URL)
    assert published.new
    assert published.found >= 1  # at least config.pbtxt; labels.txt had the right size and another content
    assert main(["verify", place]) == 0


def test_large_files_are_sent_in_parts(toy, bucket):
    artefact = bytes(range(256)) * (3 * CHUNK // 256) + b"and some more"
    seen: list[int] = []
    published = publish(toy(contents={"toy/1/model.onnx": artefact}), URL, seen.append)
    (stored,) = [item for item in bucket.objects.all() if item.key.endswith("model.onnx")]
    assert stored.e_tag.endswith('-4"')  # S3's mark of a file in four parts
    assert sum(seen) == 2 * len(artefact)
    assert main(["verify", published.address]) == 0


def test_the_same_content_is_never_sent_twice(digits, bucket, tmp_path):
    first = publish(digits.folder, URL)
    changed_at = {item.key: item.last_modified for item in bucket.objects.all()}
    again = publish(digits.folder, URL)
    later = tmp_path / f"2099-01-01{digits.folder.name[10:]}"
    shutil.copytree(digits.folder, later)
    (later / RELEASE_FILE).chmod(0o644)
    (later / RELEASE_FILE).write_text(
        (digits.folder / RELEASE_FILE).read_text().replace(digits.folder.name, later.name)
    )
    by_another_name = publish(later, URL)
    assert [one.new for one in (first, again, by_another_name)] == [True, False, False]
    assert {one.address for one in (first, again, by_another_name)} == {first.address}
    assert {item.key: item.last_modified for item in bucket.objects.all()} == changed_at


def flip(content: bytes) -> bytes:
    return content[:1000] + bytes([content[1000] ^ 1]) + content[1001:]


@pytest.mark.parametrize(
    ("path", "change"),
    [
        pytest.param("mnist/1/model.savedmodel/saved_model.pb", flip, id="one bit"),
        pytest.param("mnist/1/model.savedmodel/saved_model.pb", lambda content: content[:-1], id="truncated"),
    ],
)
def test_changes_in_storage_are_detected(path, change, digits, bucket, capsys):
    name = release_of(digits.folder, URL)
    bucket.put_object(Key=f"digits/{name}/{path}", Body=change((digits.folder / path).read_bytes()))
    assert main(["verify", f"{URL}/digits/{name}"]) == 1
    assert f"{name}/{path}" in capsys.readouterr().err
    with pytest.raises(ReleaseInvalidError, match=path):
        publish(digits.folder, URL)


def test_another_release_json_is_never_overwritten(digits, bucket):
    key = f"digits/{digits.folder.name}/{RELEASE_FILE}"
    other = json.loads((digits.folder / RELEASE_FILE).read_text())
    other["files"]["mnist/labels.txt"]["sha256"] = "0" * 64
    bucket.put_object(Key=key, Body=json.dumps(other).encode())
    assert main(["publish", "digits", f"--releases={digits.folder.parents[1]}", f"--to={URL}"]) == 1
    assert json.loads(bucket.Object(key).get()["Body"].read()) == other


def test_a_foreign_file_in_the_target_is_named(digits, tmp_path, capsys):
    foreign = tmp_path / "digits" / digits.folder.name / "mnist" / "2" / "model.py"
    foreign.parent.mkdir(parents=True)
    foreign.write_text("print()")
    assert main(["publish", "digits", f"--releases={digits.folder.parents[1]}", f"--to=file://{tmp_path}"]) == 1
    assert "mnist/2/model.py does not belong to this release" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("to", "complaint"),
    [
        pytest.param("s3://no-such-bucket/x", "there is no such bucket: create it first", id="no bucket"),
        pytest.param("az://container", "name the account: set AZURE_STORAGE_ACCOUNT_NAME", id="no Azure account"),
        pytest.param("ftp://host/x", "is not a supported storage: write s3://", id="another scheme"),
        pytest.param("models", "is not a supported storage: write s3://", id="no scheme"),
        pytest.param("file:///proc/modelport", "No such file or directory", id="an unwritable folder"),
    ],
)
def test_an_unusable_storage_is_one_line(to, complaint, digits, bucket, capsys):
    assert main(["publish", "digits", f"--releases={digits.folder.parents[1]}", f"--to={to}"]) == 1
    error = capsys.readouterr().err.strip()
    assert complaint in error
    assert len(error.splitlines()) == 1


def test_a_full_disk_is_one_line(digits, tmp_path):
    unshare = ["unshare", "--map-root-user", "--mount"]
    mount = f"mount -t tmpfs -o size=200k none {tmp_path}"
    if subprocess.run([*unshare, "sh", "-c", mount], capture_output=True, check=False).returncode:
        pytest.skip("this machine does not allow mounting a small disk")
    command = f"{sys.executable} -m modelport.releases publish digits --releases={digits.folder.parents[1]} --to=file://{tmp_path}"
    done = subprocess.run(
        [*unshare, "sh", "-c", f"{mount} && exec {command}"],
        env={**os.environ, "PYTHONSAFEPATH": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "the disk is full: free some space and run it again" in done.stderr
    assert "Traceback" not in done.stderr
