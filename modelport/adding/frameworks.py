"""Runs the module of a format in the environment of its framework, which is installed where it was not yet."""

import importlib
import subprocess
import tempfile
from pathlib import Path
from types import ModuleType
from typing import cast

import numpy as np
import numpy.typing as npt

from exporters.adding.formats import FORMATS, recognise
from exporters.adding.plan import Description, Hints, Plan, from_json, to_json
from exporters.errors import ArtefactRefusedError, UnclearModelError
from modelport.exporting import framework_python

Arrays = dict[str, npt.NDArray[np.generic]]
_UNCLEAR = 2  # exit code


def describe(file: Path, hints: Hints) -> Description:
    """What looking at a file finds."""
    if (here := _here(file)) is not None:
        return cast(Description, here.describe(file, hints))
    with tempfile.TemporaryDirectory() as folder:
        return from_json(Description, _run(file, "describe", str(file), _written(folder, hints)).splitlines()[-1])


def build(file: Path, plan: Plan, artefact: Path) -> None:
    """Build a model's artefact."""
    if (here := _here(file)) is not None:
        here.build(file, plan, artefact)
        return
    with tempfile.TemporaryDirectory() as folder:
        _run(file, "build", str(file), _written(folder, plan), str(artefact))


def reference(file: Path, plan: Plan, samples: npt.NDArray[np.generic]) -> Arrays:
    """The original's answers to samples, by the outputs of the artefact, [N, ...] each."""
    if (here := _here(file)) is not None:
        return cast(Arrays, here.reference(file, plan, samples))
    with tempfile.TemporaryDirectory() as folder:
        given, answers = Path(folder, "samples.npy"), Path(folder, "answers.npz")
        np.save(given, samples)
        _run(file, "reference", str(file), _written(folder, plan), str(given), str(answers))
        with np.load(answers) as found:
            return dict(found)


def _here(file: Path) -> ModuleType | None:
    """The module of the file's format, where it needs no framework; None: it runs in another environment."""
    known = FORMATS[recognise(file)]
    return None if known.environment else importlib.import_module(known.module)


def _written(folder: str, value: Plan | Hints) -> str:
    path = Path(folder, "stated.json")
    path.write_text(to_json(value))
    return str(path)


def _run(file: Path, *arguments: str) -> str:
    """The standard output of a command of exporters.adding.

    Raises:
        UnclearModelError: something has to be stated.
        ArtefactRefusedError: it failed; the message is its own.
        SetupError: the framework could not be installed.
    """
    python = framework_python(FORMATS[recognise(file)].environment)
    run = subprocess.run(
        [python, "-P", "-m", "exporters.adding", *arguments], capture_output=True, text=True, check=False
    )
    if run.returncode:
        lines = run.stderr.strip().splitlines() or [f"exit code {run.returncode}"]
        told = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
        raise (UnclearModelError if run.returncode == _UNCLEAR else ArtefactRefusedError)((told or lines)[-1])
    return run.stdout
