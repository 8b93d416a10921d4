"""Both Dockerfiles, built for real without an engine, and the transformer run from its image's file system.

The base is a Debian of debootstrap's, kept in build/images/ with the wheels. Takes minutes, so it runs where IMAGES=1
(as in CI) and buildah, debootstrap and root are there.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from serving import served
from waiting import wait_for

from modelport.environment import ROOT

FOLDER = ROOT / "build" / "images"
BASE = "localhost/modelport-base:1"
TRANSFORMER, TRITON = "localhost/modelport-transformer:test", "localhost/modelport-triton:test"
PYTHON_SLIM_BYTES, LIMIT_BYTES = 130_000_000, 500_000_000
CONFINED = """
mount --bind "$1" "$1" && mount -t proc proc "$1/proc" && mount -t tmpfs tmpfs "$1/tmp" && mount --rbind /dev "$1/dev"
mount -o remount,ro,bind "$1" && root=$1 && shift && exec chroot --userspec=1000:1000 "$root" env -i PATH=/usr/bin "$@"
"""
MISSING = [tool for tool in ("buildah", "debootstrap", "unshare") if shutil.which(tool) is None]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.environ.get("IMAGES") != "1", reason="images are built by: make test IMAGES=1"),
    pytest.mark.skipif(bool(MISSING), reason=f"images cannot be built: apt-get install {' '.join(MISSING)}"),
    pytest.mark.skipif(os.geteuid() != 0, reason="images are built by root: the base is made by debootstrap"),
    pytest.mark.timeout(3600),
]


def buildah(*arguments: str | Path) -> str:
    """One buildah command, with a storage of the project's own."""
    result = subprocess.run(
        ["buildah", *map(str, arguments)],
        env={**os.environ, "BUILDAH_ISOLATION": "chroot", "CONTAINERS_STORAGE_CONF": str(FOLDER / "storage.conf")},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    return result.stdout.strip()


def make_base() -> None:
    """A small Debian with Python, pip and strip."""
    tree = FOLDER / "base"
    if not (tree / "usr/bin/python3").exists():
        include = "--include=python3,python3-pip,binutils,ca-certificates"
        subprocess.run(["debootstrap", "--variant=minbase", include, "bookworm", str(tree)], check=True)
        for waste in ("usr/share/doc", "usr/share/locale", "var/lib/apt/lists", "var/cache/apt/archives"):
            shutil.rmtree(tree / waste, ignore_errors=True)
    container = buildah("from", "scratch")
    buildah("add", container, tree, "/")
    buildah("commit", container, BASE)
    buildah("rm", container)


@pytest.fixture(scope="module")
def base():
    """The base image, and a package index of nothing but wheels that were downloaded beforehand."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    places = f'graphroot = "{FOLDER / "storage"}"\nrunroot = "{FOLDER / "run"}"\n'
    (FOLDER / "storage.conf").write_text(f'[storage]\ndriver = "vfs"\n{places}')
    (FOLDER / "pip.conf").write_text("[global]\nno-index = true\nfind-links = /wheels\n")
    make_base()


@contextmanager
def built(dockerfile: str, requirements: tuple[str, ...], image: str) -> Iterator[tuple[str, Path]]:
    """A container of the image that a Dockerfile makes, and its file system, mounted."""
    wheels = FOLDER / "wheels"
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--require-hashes", "--only-binary=:all:", "--no-deps"]
    files = [f"--requirement={ROOT / 'requirements' / name}" for name in requirements]
    subprocess.run([*pip, f"--dest={wheels}", *files], check=True)
    mounts = [f"--secret=id=pip.conf,src={FOLDER / 'pip.conf'}", f"--volume={wheels}:/wheels:ro"]
    buildah("bud", "--quiet", f"--file={dockerfile}", f"--build-arg=BASE={BASE}", *mounts, f"--tag={image}", ".")
    container = buildah("from", image)
    yield container, Path(buildah("mount", container))
    buildah("rm", container)


@pytest.fixture(scope="module")
def image(base):
    """The transformer image's own file system."""
    requirements = ("transformers.txt", "client.txt", "reference.txt")
    with built("transformers/Dockerfile", requirements, TRANSFORMER) as (_, folder):
        yield folder


def inspect(image: str, field: str) -> str:
    return buildah("inspect", "--type=image", f"--format={{{{{field}}}}}", image)


def test_size_user_and_entry(image):
    files = (path.lstat().st_size for top in ("packages", "app") for path in (image / top).rglob("*"))
    assert sum(files) + PYTHON_SLIM_BYTES < LIMIT_BYTES
    assert inspect(TRANSFORMER, ".OCIv1.Config.User") == "1000:1000"
    assert inspect(TRANSFORMER, ".OCIv1.Config.Entrypoint") == "[python3 -m kserve_transformers]"
    assert {path.name for path in (image / "app").iterdir()} == {"kserve_transformers"}
    page = {path.name for path in (ROOT / "transformers" / "kserve_transformers" / "page").iterdir()}
    assert {path.name for path in (image / "app" / "kserve_transformers" / "page").iterdir()} == page
    assert not list(image.glob("*.txt"))  # the requirements stay in the first stage


@pytest.fixture
def digits_port(tmp_path):
    """The REST port of a stack for digits alone; its Triton's is two further."""
    with served(tmp_path / "log", "--services=digits") as (_, port):
        yield port


def test_it_serves_non_root_from_a_read_only_root_against_triton_and_drains(image, digits_port, free_ports):
    rest, grpc = free_ports(2)
    settings = inspect(TRANSFORMER, "range .OCIv1.Config.Env}}{{.}} {{end").split()
    flags = [
        "--service=digits=digits:mnist",
        "--host=127.0.0.1",
        "--drain_s=1",
        f"--predictor_host=127.0.0.1:{digits_port + 2}",
    ]
    server = ["python3", "-m", "kserve_transformers", *flags, f"--http_port={rest}", f"--grpc_port={grpc}"]
    command = ["unshare", "--mount", "--propagation=private", "bash", "-ec", CONFINED, "confined", str(image)]
    with subprocess.Popen([*command, *settings[1:], *server]) as process:
        try:
            wait_for(lambda: _ready(rest) or process.poll() is not None)
            assert process.poll() is None
            assert "Uid:\t1000\t1000" in Path(f"/proc/{process.pid}/status").read_text()
            digit = (ROOT / "model_repository" / "mnist" / "golden" / "images.png").read_bytes()
            asked = [
                httpx.post(f"{url}/digits/predict", files={"file": digit}, timeout=60)
                for url in (f"http://127.0.0.1:{digits_port}", f"http://127.0.0.1:{rest}")
            ]
            assert asked[0].is_success
            assert asked[1].json() == asked[0].json()
            client = "import obstore, arro3.io; from kserve_transformers.client.__main__ import main; main()"
            arguments = ["python3", "-c", client, "digits", "-", f"--url=http://127.0.0.1:{rest}"]
            sent = subprocess.run([*command, *settings[1:], *arguments], input=digit, capture_output=True, check=True)
            assert json.loads(sent.stdout)["answer"] == asked[0].json()
            process.terminate()
            assert process.wait(300) == 0
        finally:
            process.kill()


def test_the_triton_image_reads_a_saved_model_and_holds_no_framework(base, exported):
    (saved,) = (ROOT / "model_repository" / "mnist").glob("*/model.savedmodel")
    script = """
import numpy, openvino
network = openvino.Core().compile_model("/saved_model", "CPU")
print(network({"images": numpy.zeros((2, 28, 28, 1), numpy.uint8)})["probabilities"].sum().round(4))
"""
    with built("triton/Dockerfile", ("backends.txt", "openvino.txt"), TRITON) as (container, folder):
        backends = folder / "opt" / "tritonserver" / "backends"
        assert (backends / "tensorflow" / "model.py").is_file()
        for module in ("modelport_backend.py", "openvino_model.py", "int8.py"):
            assert (backends / "python" / module).is_file()
        assert not [*folder.rglob("*-packages/tensorflow"), *folder.rglob("*-packages/torch")]
        run = ["run", "--user=1000:1000", f"--volume={saved}:/saved_model:ro", container, "--"]
        assert buildah(*run, "python3", "-c", script).endswith("2.0")
        assert inspect(TRITON, ".OCIv1.Config.User") == "1000:1000"


def _ready(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/v2/health/ready", timeout=60).is_success
    except httpx.TransportError:
        return False
