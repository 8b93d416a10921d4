"""TensorFlow, started without chatter and reproducible."""

import os
import sys
from typing import Any


def start(seed: int | None = None) -> Any:
    """Import TensorFlow, and make what follows reproducible.

    Args:
        seed: of weights, shuffling and augmentation from here on; layers are numbered afresh.

    Returns:
        The module `tensorflow`.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # Its libraries write to the file descriptor before any setting counts; an import that fails still raises.
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


def verbosity() -> int:
    """Keras's progress bar for people who watch, a line an epoch for logs."""
    return 1 if sys.stdout.isatty() else 2
