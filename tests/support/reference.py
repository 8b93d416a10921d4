"""What a network answers in the framework that it was made in: `reference.py FOLDER MODEL...`.

It runs in that framework's environment. FOLDER holds a batch MODEL.npy of each; MODEL.npz will hold the outputs under
the names that they are served by.
"""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from exporters import anomaly, cars, classifiers, mnist
from exporters.catalog import MODELS, Model
from exporters.weights import Fetcher, Weights

Array = npt.NDArray[np.generic]
Outputs = Mapping[str, Array]


def _classifier(model: Model, weights: Weights | None, batch: Array) -> Outputs:
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


ANSWER: Mapping[str, Callable[[Model, Weights | None, Array], Outputs]] = {
    "exporters.classifiers": _classifier,
    "exporters.cars": _cars,
    "exporters.mnist": _mnist,
    "exporters.anomaly": _anomaly,
}

if __name__ == "__main__":
    folder, models = Path(sys.argv[1]), [MODELS[name] for name in sys.argv[2:]]
    with Fetcher(models) as fetcher:
        for one in models:
            batch = np.load(folder / f"{one.name}.npy")
            np.savez(folder / f"{one.name}.npz", **ANSWER[one.exporter](one, fetcher.obtain(one), batch))
