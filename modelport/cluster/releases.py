"""The releases that a test needs, on the overlay's volume or in the test's own S3 store."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from modelport.manifests.release_file import FIRST_RELEASE
from modelport.releases.release import RELEASE_FILE
from modelport.samples import REPOSITORY

NEXT, WRONG, SLOW = "next", "wrong", "slow"
# Releases that a key of the test's own does not vouch for, and what is wrong with each.
UNTRUSTED: Mapping[str, str] = {
    "missing": "a release without a signature",
    "other-key": "a release that another key signed",
    "flipped-byte": "a release with a flipped byte in a model",
    "swapped-file": "a signed release of which two files were exchanged",
}
_WRONG_BY = 0.5  # far outside of any golden tolerance
# Gives the golden answer to everything, and keeps one request in three waiting.
_SLOW_MODEL = """
import json, pathlib, random, time
import numpy as np
import triton_python_backend_utils as pb

class TritonPythonModel:
    def initialize(self, args):
        told = json.loads((pathlib.Path(args["model_repository"]) / "golden" / "answer.json").read_text())["outputs"]
        outputs = json.loads(args["model_config"])["output"]
        kinds = {one["name"]: pb.triton_string_to_numpy(one["data_type"]) for one in outputs}
        self.answers = {name: np.asarray(told[name]["values"], kind)[None] for name, kind in kinds.items()}

    def execute(self, requests):
        return [self.answer(one.inputs()[0].shape()[0]) for one in requests]

    def answer(self, size):
        time.sleep(random.choice((0, 0, 3)))
        answers = {name: np.repeat(one, size, 0) for name, one in self.answers.items()}
        return pb.InferenceResponse([pb.Tensor.from_dlpack(name, one) for name, one in answers.items()])
"""


@contextmanager
def laid_out(
    chains: Mapping[str, tuple[str, ...]],
    tried: Collection[str],
    repository: Path = REPOSITORY,
    keys: Sequence[Path] = (),
) -> Iterator[Path]:
    """A folder SERVICE/RELEASE/MODEL of the checkout's models.

    Args:
        chains: the models of each service.
        tried: services that also have the releases NEXT, the same models; WRONG, whose golden answers are wrong; and
            SLOW, which gives the golden answers and keeps one request in three waiting.
        repository: where the models are.
        keys: private keys: one that signs all releases, and another one; `tried` services then have UNTRUSTED too.
    """
    with tempfile.TemporaryDirectory(prefix="modelport-releases-") as scratch:
        root = Path(scratch)
        for service, models in chains.items():
            for release in (FIRST_RELEASE, NEXT, WRONG, SLOW) if service in tried else (FIRST_RELEASE,):
                for model in models:
                    shutil.copytree(repository / model, root / service / release / model, copy_function=_link)
        for answer in root.glob(f"*/{WRONG}/*/golden/answer.json"):
            _replace(answer, _falsified(answer.read_text()).encode())
        for config in root.glob(f"*/{SLOW}/*/config.pbtxt"):
            _slow_down(config)
        if keys:
            _sign(root, tried, keys)
        yield root


def _sign(root: Path, tried: Collection[str], keys: Sequence[Path]) -> None:
    """Make the folders releases, signed ones; and of `tried` services some whose signature does not hold."""
    from modelport.releases import assembly, signing

    for service in sorted(root.iterdir()):
        for name in UNTRUSTED if service.name in tried else ():
            shutil.copytree(service / FIRST_RELEASE, service / name, copy_function=_link)
        for folder in sorted(service.iterdir()):
            (folder / RELEASE_FILE).write_bytes(assembly.describe(service.name, folder).to_json())
            if folder.name != "missing":
                signing.sign(folder, keys[folder.name == "other-key"])
        if service.name in tried:
            _flip_a_byte(service / "flipped-byte")
            _swap_files(service / "swapped-file")


def _flip_a_byte(release: Path) -> None:
    *_, weights = _by_size(release)
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    _replace(weights, bytes(content))


def _swap_files(release: Path) -> None:
    *_, first, second = _by_size(release)
    one, other = first.read_bytes(), second.read_bytes()
    _replace(first, other)
    _replace(second, one)


def _by_size(release: Path) -> list[Path]:
    return sorted((path for path in release.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)


def _replace(file: Path, content: bytes) -> None:
    file.unlink()  # a link to the checkout's own
    file.write_bytes(content)


def _slow_down(config: Path) -> None:
    text = re.sub(r'(?m)^(platform|backend): ".*"$', 'backend: "python"', config.read_text())
    _replace(config, text.encode())
    for version in [path for path in config.parent.iterdir() if path.name.isdecimal()]:
        shutil.rmtree(version)
        version.mkdir()
        (version / "model.py").write_text(_SLOW_MODEL)


def _link(source: str, target: str) -> None:
    try:
        Path(target).hardlink_to(source)
    except OSError:  # another file system
        shutil.copy2(source, target)


def _falsified(text: str) -> str:
    document = json.loads(text)
    for output in document["outputs"].values():
        output["values"] = _shifted(output["values"])
    return json.dumps(document)


def _shifted(value: object) -> object:
    return [_shifted(one) for one in value] if isinstance(value, list) else float(str(value)) + _WRONG_BY
