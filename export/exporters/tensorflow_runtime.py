"""TensorFlow, imported without log output and made reproducible."""

import os
import sys
from typing import Any

import numpy as np
import numpy.typing as npt


def start(seed: int | None = None) -> Any:
    """Import TensorFlow, and seed it.

    Args:
        seed: of weights, shuffling and augmentation; Keras numbers layers from the start again. None: nothing changes.

    Returns:
        The module `tensorflow`.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # Its libraries write to the file descriptor before any setting applies. A failed import still raises.
    stderr, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        import keras
        import tensorflow as tf
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nowhere)
    if seed is not None:
        keras.backend.clear_session()
        keras.utils.set_random_seed(seed)
    return tf


def probabilities(network: Any, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """The answer of a Keras classifier, FP32 [N,classes], to images UINT8 [N,H,W,C]; no exported graph is involved."""
    return np.asarray(network(images.astype(np.float32), training=False), np.float32)


def verbosity() -> int:
    """Keras's verbosity: a progress bar on a terminal, otherwise a line an epoch."""
    return 1 if sys.stdout.isatty() else 2
