"""What Triton serves is what each network answers in the framework that it was made in.

tests/export compares framework and artefact; here the same request goes through Triton, its batching and our backends.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest
import tritonclient.http as triton_http

from exporters import anomaly, cars, classifiers, mnist
from exporters.catalog import MODELS, Model
from exporters.samples import sample_image, sample_values
from exporters.weights import Fetcher, Weights

Array = npt.NDArray[np.generic]
Outputs = Mapping[str, Array]


@dataclass(frozen=True)
class Reference:
    """A model's framework.

    Attributes:
        tensor: name and data type of its input.
        sample: a request without the batch dimension.
        answer: loads the network and answers a batch.
        atol: how far a served value may be off: other kernels, threads and batch sizes round otherwise.
    """

    tensor: str
    datatype: str
    sample: Callable[[], Array]
    answer: Callable[[Model, Weights | None, Array], Outputs]
    atol: float


def _torchscript(model: Model, weights: Weights | None, batch: Array) -> Outputs:
    network = classifiers.load(model.name, weights.path(model.files[0].name) if weights else None)
    return {"probabilities__0": classifiers.probabilities(network, batch.astype(np.uint8))}


def _cars(model: Model, weights: Weights | None, batch: Array) -> Outputs:
    return {"probabilities": cars.probabilities(cars.load(model, weights)[0], batch.astype(np.uint8))}


def _mnist(model: Model, weights: Weights | None, batch: Array) -> Outputs:
    assert weights is not None, "its weights are tracked"
    return {"probabilities": mnist.probabilities(mnist.load(weights.path(mnist.WEIGHTS)), batch.astype(np.uint8))}


def _anomaly(model: Model, weights: Weights | None, batch: Array) -> Outputs:
    assert weights is not None, "its weights are tracked"
    reconstruction, mae = anomaly.rebuild(anomaly.load(weights.path(anomaly.WEIGHTS)), batch.astype(np.float32))
    return {"reconstruction": reconstruction, "mae": mae}


def _classifier(name: str) -> Reference:
    return Reference("images__0", "UINT8", lambda: sample_image(name, "images__0"), _torchscript, 1e-4)


REFERENCES = {
    "wide_resnet50_2": _classifier("wide_resnet50_2"),
    "mobilenet_v2": _classifier("mobilenet_v2"),
    "efficientnet_lite0": _classifier("efficientnet_lite0"),
    "cars": Reference("images", "UINT8", lambda: sample_image("cars", "images"), _cars, 1e-5),
    "mnist": Reference("images", "UINT8", lambda: sample_image("mnist", "images"), _mnist, 1e-5),
    "anomaly": Reference("windows", "FP32", lambda: sample_values("anomaly", "windows"), _anomaly, 2e-4),
}


@pytest.mark.parametrize("name", REFERENCES)
def test_triton_answers_as_the_framework(name: str, stack) -> None:
    reference, model = REFERENCES[name], MODELS[name]
    sample = reference.sample()
    batch = np.ascontiguousarray(np.stack([sample, sample[::-1], np.zeros_like(sample)]))

    tensor = triton_http.InferInput(reference.tensor, list(batch.shape), reference.datatype)
    tensor.set_data_from_numpy(batch)
    with triton_http.InferenceServerClient(stack.triton_http, network_timeout=60) as triton:
        served = triton.infer(name, [tensor])
    with Fetcher([model]) as fetcher:
        expected = reference.answer(model, fetcher.obtain(model), batch)

    for output, values in expected.items():
        found = served.as_numpy(output)
        assert (found.dtype, found.shape) == (np.float32, values.shape)
        np.testing.assert_allclose(found, values, rtol=0, atol=reference.atol, err_msg=output)
        told_apart, off = np.abs(values[0] - values[2]).max(), np.abs(found - values).max()
        assert told_apart > 20 * off, "an answer to another request of the batch would have been noticed"
