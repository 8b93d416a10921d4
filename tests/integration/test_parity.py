"""What Triton serves is what each network answers in the framework that it was made in.

tests/export compares framework and artefact; here the same request goes through Triton, its batching and our backends.
"""

from collections.abc import Mapping

import numpy as np
import pytest
import tritonclient.http as triton_http
from frameworks import run_script

from exporters.catalog import MODELS
from exporters.samples import sample_image, sample_values
from modelport.exporting import FRAMEWORK

Answers = tuple[Mapping[str, triton_http.InferResult], Mapping[str, Mapping[str, np.ndarray]]]
# How far a served value may be off: other kernels, threads and batch sizes round otherwise.
ATOL = {
    "wide_resnet50_2": 1e-4,
    "mobilenet_v2": 1e-4,
    "efficientnet_lite0": 1e-4,
    "cars": 1e-5,
    "mnist": 1e-5,
    "anomaly": 2e-4,
}


@pytest.fixture(scope="module")
def answers(stack, tmp_path_factory):
    """What Triton and what the framework answer to the same batch, by model; each framework is started once."""
    folder = tmp_path_factory.mktemp("parity")
    served = {}
    with triton_http.InferenceServerClient(stack.triton_http, network_timeout=60) as triton:
        for name in ATOL:
            (declared,) = triton.get_model_metadata(name)["inputs"]
            sample = (sample_values if declared["datatype"] == "FP32" else sample_image)(name, declared["name"])
            batch = np.ascontiguousarray(np.stack([sample, sample[::-1], np.zeros_like(sample)]))
            tensor = triton_http.InferInput(declared["name"], list(batch.shape), declared["datatype"])
            tensor.set_data_from_numpy(batch)
            served[name] = triton.infer(name, [tensor])
            np.save(folder / f"{name}.npy", batch)
    for framework in {FRAMEWORK[MODELS[name].platform] for name in ATOL}:
        run_script(framework, "reference.py", folder, *(n for n in ATOL if FRAMEWORK[MODELS[n].platform] == framework))
    return served, {name: dict(np.load(folder / f"{name}.npz")) for name in ATOL}


@pytest.mark.parametrize("name", ATOL)
def test_triton_answers_as_the_framework(name, answers):
    served, expected = (by_name[name] for by_name in answers)
    assert len(expected) > 0
    for output, values in expected.items():
        found = served.as_numpy(output)
        assert (found.dtype, found.shape) == (np.float32, values.shape)
        np.testing.assert_allclose(found, values, rtol=0, atol=ATOL[name], err_msg=output)
        told_apart, off = np.abs(values[0] - values[2]).max(), np.abs(found - values).max()
        assert told_apart > 20 * off, "an answer to another request of the batch would have been noticed"
