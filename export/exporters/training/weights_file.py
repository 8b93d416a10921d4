"""Weights as a file, without what the optimiser remembers."""

from pathlib import Path
from typing import Any

from exporters.files import staged


def save_weights(trained: Any, untrained: Any, path: Path) -> None:
    """Write a network's weights, atomically.

    Args:
        trained: the network.
        untrained: the same network, not compiled: Keras would add the optimiser's state, twice as large as the weights.
        path: of the .weights.h5 file; its folder is made.
    """
    untrained.set_weights(trained.get_weights())
    path.parent.mkdir(parents=True, exist_ok=True)
    with staged(path) as temporary:
        untrained.save_weights(temporary)
