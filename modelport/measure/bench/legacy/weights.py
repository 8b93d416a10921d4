"""The weights of a legacy server."""

import sys

from exporters.catalog import MODELS
from exporters.weights import Fetcher, Weights


def obtain(name: str) -> Weights:
    """Obtain the weights of a model; exits where there are none."""
    with Fetcher([MODELS[name]]) as fetcher:
        found = fetcher.obtain(MODELS[name])
    return found or sys.exit(f"model {name} has no weights: give them by WEIGHTS_DIR")
