"""The commands in the documents that can run here do, and answer what is printed below them."""

import math
import re
import shutil
import subprocess
import sys
from typing import Any

import httpx
import numpy as np
import orjson
import pytest
from documents import DOCUMENTS, ROOT, blocks, name, words

from kserve_transformers.predictor import Declaration
from kserve_transformers.predictor.declaration import TensorSpec
from modelport.cli import COMMANDS

# What is not run here, by its first words, and why.
NOT_RUN = {
    **dict.fromkeys(("cd", "git", "source", "make setup"), "a clone and a shell"),
    **dict.fromkeys(
        ("kubectl", "helm", "kind", "minikube", "make deploy", "make undeploy", "modelport init-cluster"), "a cluster"
    ),
    **dict.fromkeys(
        ("gcloud", "sed", "PROJECT=", "REGISTRY=", "NUMBER=", "ADDRESS=", "for s in", "docker buildx"), "a cloud"
    ),
    **dict.fromkeys(("make images", "make publish-images", "make move-images"), "Docker"),
    **dict.fromkeys(("openssl", "cosign"), "keys and signatures by other programs"),
    "make serve": "tests/integration/test_stack_lifecycle.py and test_overlay.py",
    "make export": "tests/export, and the stack of this session",
    **dict.fromkeys(("make train", "modelport quantise"), "tests/export"),
    **dict.fromkeys(("make status", "make logs"), "tests/modelport/stack"),
    "modelport api-key": "tests/transformers/test_api_keys.py",
    "modelport client detector s3://": "tests/transformers/client/test_outputs.py",
    **dict.fromkeys(("modelport add", "modelport remove"), "tests/modelport/adding"),
    **dict.fromkeys(("modelport replay", "modelport drift-reference"), "tests/integration/test_record.py"),
    "make shadow": "tests/integration/test_self_watching.py",
    "make update": "tests/integration/test_update.py",
    "make compare": "tests/integration/test_compare.py",
    **dict.fromkeys(("make evaluate", "modelport evaluate"), "tests/integration/test_evaluate.py"),
    **dict.fromkeys(("modelport release digits --evaluation", "modelport release digits --data"), "as above"),
    "make prometheus": "tests/integration/test_dashboard.py",
    **dict.fromkeys(
        ("make bench", "env ONEDNN_MAX_CPU_ISA", "make load", "make tune", "modelport tune"), "tests/modelport/measure"
    ),
    **dict.fromkeys(("make test", "make test-slow", "make check"), "the developer's own"),
}
NO_STACK = re.compile(r"127\.0\.0\.1:(30081|8081)|\$ADDRESS")  # a cluster's services, and Envoy of an overlay
NUMBER = re.compile(r"\d+\.?\d*")
RELEASE = re.compile(r"\d{4}-\d\d-\d\d-[0-9a-f]{12}")
DIALOGUES = [
    pytest.param(command, output, id=f"{name(document)}: {command[:60]}")
    for document in DOCUMENTS
    for block in blocks(document)
    if block.language == "console"
    for command, output in block.dialogue()
    if not NO_STACK.search(command) and not command.startswith(tuple(NOT_RUN))
]
SCRIPTS = [
    pytest.param(block.text, following.text, id=name(document))
    for document in DOCUMENTS
    for block, following in zip(blocks(document), blocks(document)[1:], strict=False)
    if block.language == "python" and following.language == "text"
]
BASH = [
    (document, command)
    for document in DOCUMENTS
    for block in blocks(document)
    if block.language == "bash"
    for command in block.commands()
]


def run(command: list[str] | str) -> str:
    """What a command prints, in the checkout with the environment that runs the tests."""
    shell = isinstance(command, str)
    ran = subprocess.run(command, shell=shell, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def modelport(command: str, *arguments: str) -> list[str]:
    """A command of modelport in this environment, which has all that it needs."""
    module = COMMANDS[command]
    return [sys.executable, "-P", "-m", module.module, *module.arguments, *arguments]


def is_close(got: Any, printed: Any) -> bool:
    """Whether an answer is the printed one, numbers within rounding and timings aside."""
    if isinstance(printed, dict):
        return got.keys() == printed.keys() and all(is_close(got[key], printed[key]) for key in printed if key != "ms")
    if isinstance(printed, list):
        return len(got) == len(printed) and all(map(is_close, got, printed))
    if isinstance(printed, float):
        return math.isclose(got, printed, abs_tol=0.01)
    if type(printed) is int:
        return abs(got - printed) <= 1  # a pixel
    return bool(got == printed)


def numbers(text: str) -> list[float]:
    """The numbers in a text; those without a fraction may be off by a pixel."""
    return [int(float(one)) if float(one) >= 1 else float(one) for one in NUMBER.findall(text)]


def is_as_tracked(stack: Any, command: str) -> bool:
    """Whether the weights are those of package indexes, with which the documents were written."""
    services = httpx.get(f"{stack.http}/v2/models", timeout=60).json()["models"]
    for service in (one for one in services if one in command):
        models = httpx.get(f"{stack.http}/v2/models/{service}", timeout=60).json()["parameters"]["models"]
        for model, state in models.items():
            tracked = subprocess.run(
                ["git", "show", f"HEAD:model_repository/{model}/config.pbtxt"],
                cwd=ROOT, capture_output=True, text=True, check=True,
            ).stdout  # fmt: skip
            if f'"{state["weights"]}"' not in tracked:
                return False
    return True


@pytest.mark.parametrize(("command", "output"), DIALOGUES)
def test_what_is_printed_comes_back(command, output, stack, tmp_path):
    if command.startswith("modelport client"):
        given = [str(tmp_path / word.removeprefix("build/")) if "build/" in word else word for word in words(command)]
        came = run(modelport("client", *given[2:], f"--url={stack.http}"))
    else:
        came = run(command.replace("http://127.0.0.1:8080", stack.http))
    if not output or not is_as_tracked(stack, command):
        return
    if output.startswith("{'"):
        assert came.strip() == output
    else:
        assert is_close(orjson.loads(came), orjson.loads(output)), came


@pytest.mark.parametrize(("script", "output"), SCRIPTS)
def test_scripts_print_what_is_printed(script, output, stack):
    here = script.replace("127.0.0.1:8080", stack.http.removeprefix("http://"))
    came = run([sys.executable, "-c", here.replace("127.0.0.1:8000", stack.triton_http)])
    assert is_close(numbers(came), numbers(output))
    assert NUMBER.sub("", came) == NUMBER.sub("", output)


def test_every_command_is_run_or_has_its_reason():
    for document, command in BASH:
        known = NO_STACK.search(command) or command.startswith(tuple(NOT_RUN)) or _release_arguments(command)
        assert known or command.startswith(("make render", "make lint-manifests")), f"{name(document)}: {command}"


def test_renders_and_lints_its_overlays():
    seen = {command for _, command in BASH if command.startswith(("make render", "make lint-manifests"))}
    assert seen
    for command in seen:
        overlay = words(command)[2].removeprefix("OVERLAY=")
        assert run(modelport("render" if "render" in command else "lint", overlay))


def _release_arguments(command: str) -> list[str] | None:
    """A command on releases as modelport takes it, by the Makefile's own words; None for other commands."""
    if command.startswith("make "):
        made = run(["make", "--dry-run", *words(command)[1:]])
        command = re.search(r"\.venv/bin/(modelport .*)", made.replace("\\\n", ""))[1]
    given = words(command)[1:]
    return given if given[0] in ("release", "publish", "verify", "canary", "promote", "rollback", "releases") else None


def test_releases_go_the_documented_way(tmp_path):
    """Built, published, verified, tried, promoted and taken back, in folders of the test's own."""
    manifests, releases, storage = (tmp_path / folder for folder in ("manifests", "releases", "storage"))
    shutil.copytree(ROOT / "manifests", manifests)
    done = []
    for document, line in BASH:
        if document.name != "releases.md" or line.startswith(tuple(NOT_RUN)):
            continue
        command, *given = _release_arguments(line.replace("WEIGHTS_DIR=build/trained", "")) or []
        if command in done:
            continue  # the same weights are the same release
        built = next((folder.name for folder in (releases / "digits").glob("*-*")), "")
        given = [RELEASE.sub(built, word).replace("/srv/models", str(storage)) for word in given]
        given += [] if command == "verify" else [f"--releases={releases}"]
        given += [] if command in ("release", "publish", "verify") else [f"--manifests={manifests}"]
        run(modelport(command, *given))
        done.append(command)
    assert done == ["release", "publish", "verify", "canary", "promote", "rollback", "releases"]
    assert "digits-stable: initial" in (manifests / "releases" / "releases.yaml").read_text()


def test_the_example_of_a_task_is_one():
    """It is run as it is printed, on a model of made-up numbers."""
    tasks = pytest.importorskip("kserve_transformers.tasks.task")
    (script,) = [block.text for block in blocks(ROOT / "docs" / "add-a-task.md") if block.language == "python"]
    written: dict[str, Any] = {"__name__": "embedding"}
    exec(compile(script, "embedding", "exec"), written)  # noqa: S102 (our own document)
    task = written["EmbeddingTask"]("vectors")
    answered = tasks.Answered([np.ones(3, np.float32)], "m", False, "untrained", {})
    assert task.predictions(answered) == [{"embedding": [1.0, 1.0, 1.0], "warning": "untrained"}]
    assert task.presented_tensors(answered)["embedding"].shape == (1, 3)
    image = TensorSpec("images", "UINT8", (8, 8, 3))
    rule = {"resize_mode": "stretch", "crop_size": "8", "interpolation": "bilinear"}
    model = Declaration("m", "1", {"images": image}, {}, 1, rule, ())
    decoded = task.decode(task.example_instance(), [model], 10**6)
    assert task.prepare(decoded, model).row.shape == (8, 8, 3)
