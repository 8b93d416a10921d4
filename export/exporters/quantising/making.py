"""Makes an int8 network of a model, proves it on several instruction sets, and writes it if the proof holds."""

from __future__ import annotations

import hashlib
import math
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from exporters import config
from exporters.errors import ArtefactRefusedError, ProofMissedError
from exporters.quantising import artefact, golden_set, network, ptq, selection
from exporters.quantising.batches import Arrays, Network, batches, joined
from exporters.quantising.images import Inputs
from exporters.quantising.processors import instruction_sets, on, process_on
from exporters.quantising.proof import Proof
from exporters.quantising.proof import prove as proven

LOAD_S = 0.8  # of work that the golden set may be
MAX_GOLDEN = 256
GOLDEN_POOL = 300  # inputs among which a golden set is chosen
RANKED = 16  # calibration inputs by which operations are ranked
MAX_EVALUATION = 5000
_MIN_GOLDEN = 4
_ROOM = 1.2  # more inputs than an open limit seems to need


@dataclass(frozen=True)
class Made:
    """What was written: the version, and proof.json without digests."""

    version: int
    proof: Mapping[str, Any]


def make(
    model_dir: Path,
    task: str,
    calibration: Inputs,
    choice: Inputs,
    evaluate: Callable[[int], Inputs],
    count: int,
    source: str,
    select_layers: bool = True,
    say: Callable[[str], None] = lambda line: None,
) -> Made:
    """Quantise the newest version of a model, and write the next version with the int8 network if the proof holds.

    Args:
        model_dir: the model; TorchScript has been converted for OpenVINO.
        task: as services.yaml names it.
        calibration: inputs by which ranges are chosen.
        choice: inputs by which it is decided what stays fp32, of the same sources.
        evaluate: makes a number of other inputs, by which it is proven.
        count: of those; more where they leave a limit open.
        source: of the calibration inputs, for proof.json.
        select_layers: whether layers may go back to fp32 where the proof does not hold otherwise.
        say: called with a line for each step.

    Raises:
        ArtefactRefusedError: the model cannot be quantised.
        ProofMissedError: the proof does not hold; nothing was written.
    """
    import openvino

    model = network.read(model_dir)
    outputs = tuple(next(iter(output.get_names())) for output in model.outputs)
    stated = config.read_config(model_dir / config.FILENAME)
    threshold = stated.parameters["threshold"].string_value
    limit = float(threshold) if threshold else None
    decision = golden_set.Decision.of(outputs, limit)
    fp32 = remembering(network.answering(model, outputs))

    def prove(inputs: Inputs) -> dict[str, Proof]:
        proofs = {}
        for name in instruction_sets():
            with on(name, path, outputs) as candidate, tqdm(total=len(inputs), disable=None, leave=False) as bar:
                proof = proven(
                    task,
                    fp32,
                    candidate,
                    inputs.arrays,
                    inputs.labels,
                    sources=inputs.sources,
                    threshold=limit,
                    report=partial(_advance, bar),
                )
            say(f"{name}: {proof.refusal or 'every limit holds: ' + '; '.join(proof.lines)}")
            proofs[name] = proof
        return proofs

    def save(kept: Sequence[str]) -> Any:
        candidate = selection.restored(int8, model, set(kept))
        openvino.save_model(candidate, path, compress_to_fp16=False)
        return candidate

    def used(kept: Sequence[str]) -> float:
        save(kept)
        shares = []
        for name in instruction_sets():
            with on(name, path, outputs) as candidate:
                found = proven(task, fp32, candidate, choice.arrays, sources=choice.sources, threshold=limit)
            shares.append(share_used(found))
        say(f"{len(kept)} operations in fp32: {max(shares):.0%} of what the limits allow is used up")
        return max(shares)

    def ranked() -> list[str]:
        say("ranking the operations by what their quantisation costs")
        int8_file, fp32_file = path.with_name("int8.xml"), path.with_name("fp32.xml")
        openvino.save_model(int8, int8_file, compress_to_fp16=False)
        openvino.save_model(model, fp32_file, compress_to_fp16=False)
        costs: dict[str, float] = {}
        for name in instruction_sets():
            with process_on(name) as process:
                found = process.submit(selection.costs, int8_file, fp32_file, rows[:RANKED]).result()
            costs |= {name: max(cost, costs.get(name, 0)) for name, cost in found.items()}
        return sorted(costs, key=costs.__getitem__, reverse=True)

    evaluation = evaluate(count)
    rows = list(batches(calibration.arrays, 1))
    proofs: dict[str, Proof] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, artefact.NETWORK)
        say(f"quantising {model_dir.name}")
        int8 = ptq.quantise(model, rows)
        for kept in selection.attempts(ranked, used) if select_layers else ((),):
            candidate = save(kept)
            proofs = prove(evaluation)
            more = wanted(proofs.values())
            if len(evaluation) < more <= MAX_EVALUATION:
                say(f"{len(evaluation)} inputs leave it open: {more} are tried")
                evaluation = evaluate(more)
                proofs = prove(evaluation)
            if all(proof.passed for proof in proofs.values()):
                break
        else:
            raise ProofMissedError(missed(model_dir.name, proofs))
        layers, quantised = len(ptq.weighted_layers(model)), ptq.quantised_layers(candidate)
        if not quantised:
            raise ArtefactRefusedError(f"every layer of {model_dir.name} has to stay fp32: serve it as it is")
        with ExitStack() as stack:
            answering = {name: stack.enter_context(on(name, path, outputs)) for name in proofs}
            plan, golden, work_s = choose(decision, fp32, answering, evaluation)
            sample, answer = artefact.golden_sample(model_dir)
            answer = artefact.golden_answer(answer, {name: one(sample) for name, one in answering.items()})
        proof = {
            "format": 1,
            "model": model_dir.name,
            "task": task,
            "quantisation": {
                "nncf": version("nncf"),
                "openvino": version("openvino"),
                "preset": "mixed",
                "bias_correction": "fast",
                "int8_layers": quantised,
                "fp32_layers": layers - quantised,
            },
            "calibration": {"inputs": len(calibration), "sha256": digest(calibration), "source": source},
            "evaluation": {"inputs": len(evaluation), "sha256": digest(evaluation)},
            "instruction_sets": {name: one.as_json() for name, one in proofs.items()},
            "golden": {
                **decision.stated(),
                "inputs": len(plan.chosen),
                "allowed": plan.allowed,
                "loss": plan.loss,
                "power": round(plan.power, 3),
                "work_s": round(work_s, 2),
            },
        }
        return Made(artefact.write(model_dir, path, golden, answer, proof), proof)


def _advance(bar: tqdm[Any], done: int) -> None:
    bar.update(done - bar.n)


def remembering(answer: Network) -> Network:
    """The same function; what it was asked before it answers from memory."""
    known: dict[bytes, Arrays] = {}

    def remembered(inputs: Arrays) -> Arrays:
        key = _digest(inputs).digest()
        if key not in known:
            known[key] = answer(inputs)
        return known[key]

    return remembered


def share_used(proof: Proof) -> float:
    """What part of what the limits allow a network uses up: 0 where it answers as fp32 does, 1 at the nearest limit."""
    best = {True: 1.0, False: 0.0}
    parts = [
        (best[one.limit.at_least] - one.estimate.value) / (best[one.limit.at_least] - one.limit.limit)
        for one in proof.findings
        if not one.limit.by_value
    ]
    return max(parts, default=math.inf)


def all_answers(answer: Network, inputs: Arrays) -> dict[str, npt.NDArray[Any]]:
    """The answers to all inputs, [N, ...] each, computed in batches."""
    return joined([answer(batch) for batch in batches(inputs)])


def choose(
    decision: golden_set.Decision, fp32: Network, candidates: Mapping[str, Network], inputs: Inputs
) -> tuple[golden_set.Plan, Arrays, float]:
    """Choose the golden set of an int8 network.

    Args:
        decision: what is decided by its answers.
        fp32: answers of the model.
        candidates: answers of the int8 network, by instruction set; the first is this processor's own.
        inputs: of the proof.

    Returns:
        The plan, what golden.npz contains, and the seconds of work that the set was for this processor.

    Raises:
        ArtefactRefusedError: the int8 network decides so differently that no set can be chosen.
    """
    ((name, values),) = inputs.arrays.items()
    stored = golden_set.reduced(values[:GOLDEN_POOL])
    pool = {name: golden_set.restored(stored, values.shape[1:])}
    expected = all_answers(fp32, pool)
    began = time.perf_counter()
    answers = []
    for candidate in candidates.values():
        answers.append(all_answers(candidate, pool))
        if len(answers) == 1:
            row_s = (time.perf_counter() - began) / len(stored)
    margins = np.array([decision.margins(answer) for answer in answers])
    usable = np.logical_and.reduce([decision.agree(expected, answer) for answer in answers])
    noise = float(np.std(margins - margins[0])) * np.sqrt(2) if len(margins) > 1 else 0.0
    largest = int(np.clip(LOAD_S / row_s, _MIN_GOLDEN, MAX_GOLDEN))
    plan = golden_set.plan(margins.min(axis=0), noise, usable, largest)
    if len(plan.chosen) < min(_MIN_GOLDEN, len(stored)):
        raise ArtefactRefusedError("too few answers of the int8 network agree with fp32 to choose a golden set")
    return plan, golden_set.contents(decision, stored, expected, plan.chosen), row_s * len(plan.chosen)


def wanted(proofs: Iterable[Proof]) -> int:
    """How many inputs would settle what proofs leave open; 0 where no number would."""
    open_ones = [one.needed for proof in proofs for one in proof.findings if not one.passed]
    return math.ceil(_ROOM * max(one or 0 for one in open_ones)) if open_ones and all(open_ones) else 0


def missed(model: str, proofs: Mapping[str, Proof]) -> str:
    """What a proof misses and by how much, in a line; without proofs, that none was worth making."""
    parts = [f"on {name}: {proof.refusal}" for name, proof in proofs.items() if proof.refusal]
    why = "; ".join(parts) or "on calibration inputs every operation would have to stay fp32"
    return f"int8 {model} is not proven, and nothing was written: {why}"


def digest(inputs: Inputs) -> str:
    """The sha256 of inputs."""
    found: str = _digest(inputs.arrays).hexdigest()
    return found


def _digest(arrays: Arrays) -> Any:
    found = hashlib.sha256()
    for name in sorted(arrays):
        found.update(f"{name} {arrays[name].dtype} {arrays[name].shape}".encode())
        found.update(np.ascontiguousarray(arrays[name]).tobytes())
    return found
