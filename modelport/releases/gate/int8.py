"""Checks of the int8 network that `modelport quantise` puts beside an artefact: proven, of this artefact, harmless."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from exporters.files import content_sha256
from exporters.quantising.artefact import ANSWER, FOLDER, GOLDEN, NETWORK, PROOF, WEIGHTS
from exporters.quantising.proof import Proof
from exporters.repository import versions
from modelport.releases.errors import GateError

FILES = "|".join(re.escape(name) for name in (NETWORK, WEIGHTS, GOLDEN, ANSWER, PROOF))
FORMAT = 1
_LAYER = re.compile(r"<layer\b[^>]*?\bversion=\"([^\"]*)\"")
_OPSET = re.compile(r"opset\d+")


def folder_of(model_dir: Path) -> Path | None:
    """The folder of the int8 network of a model's newest version; None where it has none."""
    folder = model_dir / str(max(versions(model_dir), default=0)) / FOLDER
    return folder if folder.is_dir() else None


def read_proof(folder: Path) -> Mapping[str, Any]:
    """The proof of an int8 network.

    Raises:
        GateError: it is missing or malformed.
    """
    model = folder.parent.parent.name
    try:
        proof: dict[str, Any] = json.loads((folder / PROOF).read_text())
        if proof["format"] != FORMAT or not proof["instruction_sets"]:
            raise ValueError("of another format")
        return proof
    except (OSError, ValueError, LookupError, TypeError) as exc:
        raise GateError(f"{model}/{FOLDER}/{PROOF} is no proof ({exc!r}): quantise the model again") from exc


def check_int8(folder: Path) -> None:
    """Refuse int8 networks that were not proven, were made of another artefact, or need operations of others.

    Raises:
        GateError: names the model.
    """
    for model_dir in sorted(folder.iterdir()):
        int8 = folder_of(model_dir)
        if int8 is None:
            continue
        name, proof = f"{model_dir.name}/{FOLDER}", read_proof(int8)
        try:
            artefact = int8.with_name(proof["artefact"]["file"])
            expected = {int8 / file: digest for file, digest in proof["files"].items()}
            expected[artefact] = proof["artefact"]["sha256"]
            failed = [key for key, one in proof["instruction_sets"].items() if one["passed"] is not True]
        except (LookupError, TypeError, ValueError, AttributeError) as exc:
            raise GateError(f"{name}/{PROOF} is no proof ({exc!r}): quantise the model again") from exc
        if failed:
            raise GateError(f"{name} was not proven on {failed[0]}: quantise the model again")
        for key, one in proof["instruction_sets"].items():
            try:
                refusal = Proof.from_json(one).refusal
            except ValueError as exc:
                raise GateError(f"{name}/{PROOF} is no proof on {key}: {exc}: quantise the model again") from exc
            if refusal:
                raise GateError(f"{name} misses a limit on {key}: {refusal}: quantise the model again")
        for path in (int8 / file for file in (NETWORK, WEIGHTS, GOLDEN, ANSWER)):
            if path not in expected:
                raise GateError(f"{name}/{PROOF} says nothing of {path.name}: quantise the model again")
        for path, digest in expected.items():
            if not path.exists() or content_sha256(path) != digest:
                raise GateError(f"{name} was made for another {path.name}: quantise the model again")
        foreign = [found for found in _LAYER.findall((int8 / NETWORK).read_text()) if not _OPSET.fullmatch(found)]
        if foreign:
            raise GateError(f"{name} needs operations of {foreign[0]!r}: only OpenVINO's own are served")


def signature(folder: Path) -> Mapping[str, Any]:
    """The inputs and outputs of an int8 network: by name, its dtype, and its shape with None for any size.

    Raises:
        GateError: OpenVINO cannot read it.
    """
    import openvino

    try:
        model = openvino.Core().read_model(folder / NETWORK)
        return {
            kind: {
                one.get_any_name(): (
                    one.get_element_type().to_dtype().name,
                    [None if size.is_dynamic else size.get_length() for size in one.partial_shape],
                )
                for one in tensors
            }
            for kind, tensors in (("inputs", model.inputs), ("outputs", model.outputs))
        }
    except RuntimeError as exc:
        raise GateError(f"{folder.parent.parent.name}/{FOLDER} cannot be read: quantise the model again") from exc
