"""The folder int8/ beside an artefact: a network that OpenVINO serves where it proves itself, and its proof.

    model.xml, model.bin    the network, with the tensor names of config.pbtxt
    golden.npz              the golden set, which the backend asks when it loads the network
    answer.json             the network's answer to the model's golden sample, for golden checks
    proof.json              limits, what was measured and on which instruction sets, what was made of what

The files names stand in triton/backends/int8.py, modelport/releases and the transformer, too: it is a format.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from exporters import config
from exporters.errors import RepositoryError
from exporters.files import content_sha256, locked
from exporters.golden import read_image
from exporters.quantising.batches import Arrays
from exporters.quantising.network import newest_artefact
from exporters.quantising.proof import Proof
from exporters.repository import write_version

FOLDER = "int8"
NETWORK, WEIGHTS, GOLDEN, ANSWER, PROOF = "model.xml", "model.bin", "golden.npz", "answer.json", "proof.json"
# How much farther than between the proven instruction sets an answer to the golden sample may be on another processor.
_ROOM = 4.0


def write(model_dir: Path, network: Path, golden: Arrays, answer: Mapping[str, Any], proof: Mapping[str, Any]) -> int:
    """Write the next version of a model: its artefact as it is, and the int8 network.

    Args:
        model_dir: the model.
        network: the .xml of the network; its weights are beside it.
        golden: what golden.npz contains.
        answer: what answer.json contains.
        proof: what proof.json contains, without the digests of files.

    Returns:
        The version; an equal one is not written again.

    Raises:
        RepositoryError: the repository cannot be written.
    """
    artefact = newest_artefact(model_dir)

    def build(target: Path) -> None:
        copy = shutil.copytree if artefact.is_dir() else shutil.copyfile
        copy(artefact, target)
        folder = target.with_name(FOLDER)
        folder.mkdir()
        shutil.copyfile(network, folder / NETWORK)
        shutil.copyfile(network.with_suffix(".bin"), folder / WEIGHTS)
        np.savez_compressed(folder / GOLDEN, allow_pickle=False, **golden)
        (folder / ANSWER).write_text(json.dumps(answer) + "\n")
        files = {path.name: content_sha256(path) for path in sorted(folder.iterdir())}
        origin = {"file": artefact.name, "sha256": content_sha256(artefact)}
        (folder / PROOF).write_text(json.dumps({**proof, "artefact": origin, "files": files}, indent=1) + "\n")

    with locked(model_dir):
        return write_version(model_dir, artefact.name, build, identity=lambda path: content_sha256(path.parent))[0]


def golden_sample(model_dir: Path) -> tuple[Arrays, Mapping[str, Any]]:
    """The golden sample of a model, batch of one, and its outputs as answer.json has them.

    Raises:
        RepositoryError: there is none.
    """
    tensor = config.read_config(model_dir / config.FILENAME).input[0]
    folder = model_dir / "golden"
    try:
        if (folder / f"{tensor.name}.png").exists():
            sample: npt.NDArray[Any] = read_image(folder / f"{tensor.name}.png")
        else:
            sample = np.array(json.loads((folder / f"{tensor.name}.json").read_text()), config.dtype(tensor))
        outputs = json.loads((folder / ANSWER).read_text())["outputs"]
        return {tensor.name: sample.reshape([1, *tensor.dims])}, outputs
    except (OSError, ValueError, KeyError) as exc:
        raise RepositoryError(f"{model_dir.name} has no golden sample ({exc}): export the model again") from exc


def golden_answer(fp32: Mapping[str, Any], answers: Mapping[str, Arrays]) -> dict[str, Any]:
    """What answer.json says of the int8 network.

    Args:
        fp32: the outputs of the model's golden answer.
        answers: to the golden sample, batch of one, by instruction set; the first is this processor's own.

    Returns:
        Leading rows and absolute tolerances, by output: as many rows as all instruction sets order in the same way.
    """
    own = next(iter(answers.values()))
    rows = {name: len(np.atleast_1d(output["values"])) for name, output in fp32.items()}
    spread = {
        name: np.max([np.abs(_rows(one[name], count) - _rows(own[name], count)) for one in answers.values()], axis=0)
        for name, count in rows.items()
    }
    count = max(rows.values(), default=1)
    while count > 1 and any(_ROOM * spread[name][:count].max(initial=0) > 10 * fp32[name]["atol"] for name in fp32):
        count -= 1
    return {
        "outputs": {
            name: {
                "values": np.round(_rows(own[name], min(count, rows[name])), 6).tolist(),
                "atol": max(output["atol"], _ROOM * float(spread[name][:count].max(initial=0))),
            }
            for name, output in fp32.items()
        }
    }


def _rows(output: npt.NDArray[Any], count: int) -> npt.NDArray[np.float64]:
    return np.asarray(output[0], np.float64)[:count]


def summary(proof: Mapping[str, Any]) -> str:
    """What a release says of a proof, in a line."""
    made = proof["quantisation"]
    sets = "; ".join(f"{name}: {Proof.from_json(one).headline}" for name, one in proof["instruction_sets"].items())
    return (
        f"int8 by NNCF {made['nncf']}, {made['preset']} preset, {proof['calibration']['inputs']} calibration inputs; "
        f"proven on {sets}"
    )
