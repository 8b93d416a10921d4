"""`python -m exporters.inspection MODEL_DIR`: the inputs and outputs of a model's newest artefact, as a line of JSON.

It runs in the environment of the artefact's framework, which its caller need not have. An artefact that does more than
arithmetic is refused before anything else is done with it.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from exporters import config, saved_model, torchscript
from exporters.errors import ArtefactRefusedError, last_line
from exporters.repository import versions

_FORMATS: Mapping[str, ModuleType] = {"pytorch_libtorch": torchscript, "tensorflow_savedmodel": saved_model}


def inspect(model_dir: Path) -> Mapping[str, Any]:
    """Read the signature of the newest artefact in the folder of a model.

    Returns:
        A Signature, {"refused": reason} where the artefact is dangerous, or {"unreadable": reason}.
    """
    try:
        stated = config.read_config(model_dir / config.FILENAME)
        artefact_format = _FORMATS[stated.platform]
        artefact = model_dir / str(versions(model_dir)[-1]) / artefact_format.FILENAME
        artefact_format.refuse_dangerous(artefact)
        signature: Mapping[str, Any] = artefact_format.signature(artefact, stated)
        return signature
    except ArtefactRefusedError as exc:
        return {"refused": str(exc)}
    except Exception as exc:  # the frameworks' errors for a damaged file have no common base
        return {"unreadable": last_line(exc)}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(inspect(Path(sys.argv[1]))) + "\n")
