"""The releases that a test needs, on the overlay's volume or in the test's own S3 store."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from modelport.manifests.release_file import FIRST_RELEASE
from modelport.samples import REPOSITORY

NEXT, WRONG = "next", "wrong"
_WRONG_BY = 0.5  # far outside of any golden tolerance


@contextmanager
def laid_out(
    chains: Mapping[str, tuple[str, ...]], tried: Collection[str], repository: Path = REPOSITORY
) -> Iterator[Path]:
    """A folder SERVICE/RELEASE/MODEL of the checkout's models.

    Args:
        chains: the models of each service.
        tried: services that also have the releases NEXT, the same models, and WRONG, whose golden answers are wrong.
        repository: where the models are.
    """
    with tempfile.TemporaryDirectory(prefix="modelport-releases-") as scratch:
        root = Path(scratch)
        for service, models in chains.items():
            for release in (FIRST_RELEASE, NEXT, WRONG) if service in tried else (FIRST_RELEASE,):
                for model in models:
                    shutil.copytree(repository / model, root / service / release / model, copy_function=_link)
        for answer in root.glob(f"*/{WRONG}/*/golden/answer.json"):
            text = answer.read_text()
            answer.unlink()  # a link to the checkout's own
            answer.write_text(_falsified(text))
        yield root


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
