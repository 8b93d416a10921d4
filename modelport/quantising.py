"""`modelport quantise`: make an int8 network of a model, prove it against fp32, and write both as a new version."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from exporters.config import FILENAME
from exporters.errors import ExportError, ProofMissedError, UnknownModelError
from exporters.quantising import images
from exporters.quantising.artefact import summary
from exporters.quantising.making import make
from exporters.quantising.network import newest_artefact
from exporters.quantising.proof import FEWEST_INPUTS
from exporters.repository import REPOSITORY, models
from modelport import services
from modelport.arguments import positive_int
from modelport.environment import SetupError, say
from modelport.exporting import convert_missing, note_newer

CALIBRATION = 300
SELECTION = 100  # inputs by which it is decided what stays fp32
LABELLED = 10_000  # inputs of a proof where labels are known
MISSED = 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
        0: a version was written; 1: an error; 3: the int8 network loses too much, and nothing was written.
    """
    options = _parser().parse_args(arguments)
    try:
        return _quantise(options)
    except KeyboardInterrupt:
        say("interrupted: nothing was written", error=True)
        return 130
    except (ExportError, SetupError, OSError) as error:
        say(f"error: {error}", error=True)
        return MISSED if isinstance(error, ProofMissedError) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="modelport quantise",
        description=__doc__,
        epilog="exit codes: 0 a version was written; 1 an error; 3 int8 loses more than the limits allow",
        allow_abbrev=False,
    )
    parser.add_argument("model", metavar="MODEL", help="a model of a service, exported or added")
    parser.add_argument(
        "--data",
        type=Path,
        metavar="FOLDER",
        help="images that calibrate and prove, such as those that you serve: hundreds, without labels; for digits the "
        "four files of MNIST, for windows a CSV file (default: public ones)",
    )
    parser.add_argument(
        "--calibration",
        type=positive_int,
        default=CALIBRATION,
        metavar="N",
        help="inputs that calibrate (default: %(default)s)",
    )
    parser.add_argument(
        "--images",
        type=_proving,
        metavar="N",
        help=f"inputs that prove, {FEWEST_INPUTS} or more (default: {images.COUNT}, of digits {LABELLED}); more where "
        "they leave a limit open",
    )
    parser.add_argument(
        "--no-selection", action="store_true", help="where int8 loses too much, do not return layers to fp32"
    )
    parser.add_argument(
        "--repository", type=Path, default=REPOSITORY, metavar="DIR", help="model repository (default: %(default)s)"
    )
    return parser


def _proving(text: str) -> int:
    count = positive_int(text)
    if count < FEWEST_INPUTS:
        raise argparse.ArgumentTypeError(f"{text} inputs prove nothing: name {FEWEST_INPUTS} or more")
    return count


def _quantise(options: argparse.Namespace) -> int:
    model_dir = options.repository / options.model
    task = _task(options.model, options.repository)
    if options.data is not None and not options.data.exists():
        raise FileNotFoundError(f"{options.data} does not exist: name a folder of images by --data")
    newest_artefact(model_dir)
    convert_missing([model_dir])
    varied = partial(images.varied, model_dir, data=options.data, report=say)
    source = options.data.name if options.data else "public"
    made = make(
        model_dir,
        task,
        varied("calibration", options.calibration),
        varied("selection", SELECTION),
        partial(varied, "proof"),
        options.images or (LABELLED if task == "digits" else images.COUNT),
        source,
        not options.no_selection,
        say,
    )
    say(f"{model_dir / str(made.version)}: {summary(made.proof)}")
    note_newer(options.repository)
    return 0


def _task(model: str, repository: Path) -> str:
    """The task of the service in whose chain the model is.

    Raises:
        UnknownModelError: the repository has no such model, or no service has it.
    """
    if not (repository / model / FILENAME).is_file():
        known = ", ".join(models(repository)) or "none"
        raise UnknownModelError(f"there is no model {model!r} in {repository}: choose one of {known}")
    for spec in services.load().values():
        if model in spec.models:
            return spec.task
    raise UnknownModelError(f"no service has {model} in its chain: declare it in {services.FILE.name}")


if __name__ == "__main__":
    sys.exit(main())
