"""`modelport export`: each framework's models by the exporters, in a process and an environment of its framework."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from exporters.__main__ import parser
from exporters.adding import record
from exporters.adding.formats import FORMATS
from exporters.catalog import MODELS
from exporters.conversion import converted_path, inputs_of
from exporters.errors import ExportError
from exporters.repository import versions
from exporters.torchscript import FILENAME
from modelport.environment import BASE, FRAMEWORKS, SetupError, ensure, say
from modelport.stack import guard
from modelport.stack.running import newer, running


class ConversionError(SetupError):
    """A TorchScript model cannot be served by OpenVINO; the message names it and says why."""


FRAMEWORK: Mapping[str, str | None] = {
    "onnxruntime_onnx": None,
    "pytorch_libtorch": "torch",
    "tensorflow_savedmodel": "tensorflow",
}


def framework_python(framework: str | None) -> str:
    """The interpreter that has a framework, installed now where it was not yet; None: the one that serves.

    Raises:
        SetupError: it could not be installed.
    """
    ensure(*([framework] if framework else []))
    return str((FRAMEWORKS[framework] if framework else BASE).python)


def export(models: Sequence[str], repository: Path, environment: Mapping[str, str] = os.environ) -> int:
    """Export models of the catalog, framework by framework, and those that `modelport add` has added.

    Args:
        models: names; the rest of the command line is the exporters' own.
        repository: the model repository.
        environment: of the exporters, where WEIGHTS_DIR may stand.

    Returns:
        0, or the last exit code that was not; the exporters said why.

    Raises:
        SetupError: a framework could not be installed.
    """
    failed = 0
    for framework in FRAMEWORK.values():
        mine = [model for model in models if model in MODELS and FRAMEWORK[MODELS[model].platform] == framework]
        if mine:
            failed = run_exporters(framework, [*mine, f"--repository={repository}"], environment) or failed
    for model in models:
        added = record.read(repository / model)
        if added is not None:
            say(f"{model}: building from {Path(added.file).name}", error=True)
            command = ["rebuild", str(repository / model)]
            failed = (
                run_exporters(FORMATS[added.format].environment, command, environment, "exporters.adding") or failed
            )
        elif model not in MODELS:
            say(f"error: {model} has no artefact, and nothing says how it is built: put {model}/1/ there", error=True)
            failed = 1
    return failed


def run_exporters(
    framework: str | None,
    arguments: Sequence[str],
    environment: Mapping[str, str] = os.environ,
    module: str = "exporters",
) -> int:
    """Run the exporters in a framework's environment; they end when this process ends, however it ends.

    Returns:
        Their exit code.
    """
    command = [framework_python(framework), "-P", "-m", module, *arguments]
    guarded = [sys.executable, "-IS", guard.__file__, "5", "", *command]
    with subprocess.Popen(guarded, stdin=subprocess.PIPE, env=dict(environment)) as running:
        return running.wait()


def convert_missing(model_dirs: Sequence[Path]) -> None:
    """Convert those TorchScript models for OpenVINO that have not been yet; other models need nothing.

    Args:
        model_dirs: folders of models, with config.pbtxt and versions.

    Raises:
        ConversionError: some cannot be converted, or answer differently then; the message names each of them.
        SetupError: PyTorch could not be installed.
    """
    missing = [str(model_dir.absolute()) for model_dir in model_dirs if _to_convert(model_dir)]
    if not missing:
        return
    command = [framework_python("torch"), "-P", "-m", "exporters.conversion", *missing]
    run = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    if run.returncode:
        lines = run.stderr.strip().splitlines() or [f"exit code {run.returncode}"]
        errors = [line for line in lines if line.startswith("error: ")] or lines[-1:]
        raise ConversionError("; ".join(line.removeprefix("error: ") for line in errors))


def _to_convert(model_dir: Path) -> bool:
    artefact = model_dir / str(max(versions(model_dir), default=0)) / FILENAME
    if not artefact.is_file():
        return False
    try:
        return not converted_path(artefact, inputs_of(model_dir)).is_file()
    except (ExportError, OSError) as error:
        raise ConversionError(f"{model_dir.name}: {error}") from error


def note_newer(repository: Path) -> None:
    """Say which running stacks of a model repository serve older versions than it has."""
    for stack in running():
        if Path(stack.repository).resolve() == repository.resolve():
            for model in stack.newer():
                say(f"note: the stack on port {stack.port}: {newer(model)}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    known = parser().parse_args(given)
    own = known.cfg or known.weights or known.names or known.name
    added = [path.parent.name for path in sorted(known.repository.glob(f"*/{record.FILENAME}"))]
    models = [name for name in known.models if name in MODELS or name in added]
    if known.list or own or len(models) < len(known.models):
        return run_exporters(None, given)  # Darknet's need no framework; what is wrong is said there
    try:
        failed = export(models or [*MODELS, *added], known.repository)
        note_newer(known.repository)
        return failed
    except SetupError as error:
        say(f"setup: {error}", error=True)
        return 1
    except ExportError as error:
        say(f"error: {error}", error=True)
        return 1


if __name__ == "__main__":
    sys.exit(main())
