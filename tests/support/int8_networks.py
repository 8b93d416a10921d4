"""An int8 network beside the toy model, made by hand: its answers are higher by OFF, so that one sees which answers."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from toy_model import WEIGHTS

from exporters.quantising import artefact, golden_set
from exporters.quantising.proof import judge

OFF = 0.25
_SCORES = {"y__0": np.tile(np.array([0.75, 0.25], np.float32), (500, 1))}
PROOF = {
    "format": 1,
    "quantisation": {"nncf": "3.4.0", "preset": "mixed"},
    "calibration": {"inputs": 300},
    "instruction_sets": {"AVX2": judge("classification", _SCORES, _SCORES, 500).as_json()},
}


def add_int8(model_dir: Path, wrong: int = 0, allowed: int = 1, **proof: Any) -> Path:
    """Add a version with an int8 network to a toy model.

    Args:
        model_dir: of toy_model.add_model.
        wrong: of the ten golden answers, how many the network will not give.
        allowed: how many it may not give.
        proof: entries of proof.json other than PROOF's.

    Returns:
        The folder int8.
    """
    import openvino
    from openvino import opset13 as ops

    x = ops.parameter([-1, 2], np.float32, name="x__0")
    x.output(0).set_names({"x__0"})
    y = ops.add(ops.matmul(x, WEIGHTS, False, False), np.array([[OFF]], np.float32))
    y.output(0).set_names({"y__0"})
    inputs = np.random.default_rng(7).normal(size=(10, 2)).astype(np.float32)
    answers = inputs @ WEIGHTS
    answers[:wrong] *= -1
    decision = golden_set.Decision.of(("y__0",), None)
    sample = np.array([1, 2], np.float32) @ WEIGHTS + OFF
    stated = {**PROOF, "golden": {**decision.stated(), "inputs": 10, "allowed": allowed}, **proof}
    answer = {"outputs": {"y__0": {"values": sample.tolist(), "atol": 0.001}}}
    with tempfile.TemporaryDirectory() as folder:
        network = Path(folder, "model.xml")
        openvino.save_model(openvino.Model([y], [x]), network, compress_to_fp16=False)
        golden = golden_set.contents(decision, inputs, {"y__0": answers}, range(10))
        version = artefact.write(model_dir, network, golden, answer, stated)
    return model_dir / str(version) / artefact.FOLDER
