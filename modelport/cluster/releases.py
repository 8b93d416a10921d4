"""The releases that a test needs, on the overlay's volume or in the test's own S3 store."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from modelport.manifests.release_file import FIRST_RELEASE
from modelport.samples import REPOSITORY

NEXT, WRONG, FAILING = "next", "wrong", "failing"
_WRONG_BY = 0.5  # far outside of any golden tolerance
# Gives the golden answer to everything, and fails one request in five.
_FAILING_MODEL = """
import json, pathlib, random
import numpy as np
import triton_python_backend_utils as pb

class TritonPythonModel:
    def initialize(self, args):
        told = json.loads((pathlib.Path(args["model_repository"]) / "golden" / "answer.json").read_text())["outputs"]
        outputs = json.loads(args["model_config"])["output"]
        kinds = {one["name"]: pb.triton_string_to_numpy(one["data_type"]) for one in outputs}
        self.answers = {name: np.asarray(told[name]["values"], kind)[None] for name, kind in kinds.items()}

    def execute(self, requests):
        return [self.answer(len(one.inputs()[0].as_numpy())) for one in requests]

    def answer(self, size):
        if random.random() < 0.2:
            return pb.InferenceResponse(error=pb.TritonError("one request in five fails"))
        return pb.InferenceResponse([pb.Tensor(name, np.repeat(one, size, 0)) for name, one in self.answers.items()])
"""


@contextmanager
def laid_out(
    chains: Mapping[str, tuple[str, ...]], tried: Collection[str], repository: Path = REPOSITORY
) -> Iterator[Path]:
    """A folder SERVICE/RELEASE/MODEL of the checkout's models.

    Args:
        chains: the models of each service.
        tried: services that also have the releases NEXT, the same models; WRONG, whose golden answers are wrong; and
            FAILING, which gives the golden answers and fails one request in five.
        repository: where the models are.
    """
    with tempfile.TemporaryDirectory(prefix="modelport-releases-") as scratch:
        root = Path(scratch)
        for service, models in chains.items():
            for release in (FIRST_RELEASE, NEXT, WRONG, FAILING) if service in tried else (FIRST_RELEASE,):
                for model in models:
                    shutil.copytree(repository / model, root / service / release / model, copy_function=_link)
        for answer in root.glob(f"*/{WRONG}/*/golden/answer.json"):
            text = answer.read_text()
            answer.unlink()  # a link to the checkout's own
            answer.write_text(_falsified(text))
        for config in root.glob(f"*/{FAILING}/*/config.pbtxt"):
            _let_fail(config)
        yield root


def _let_fail(config: Path) -> None:
    text = re.sub(r'(?m)^(platform|backend): ".*"$', 'backend: "python"', config.read_text())
    config.unlink()
    config.write_text(text)
    for version in [path for path in config.parent.iterdir() if path.name.isdecimal()]:
        shutil.rmtree(version)
        version.mkdir()
        (version / "model.py").write_text(_FAILING_MODEL)


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
