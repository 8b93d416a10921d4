"""IDX, the file format of MNIST."""

import gzip
import math
from pathlib import Path

import numpy as np
import numpy.typing as npt

from exporters.errors import TrainingDataError

_UNSIGNED_BYTE = 8


def read_idx(path: Path) -> npt.NDArray[np.uint8]:
    """Read an IDX file of unsigned bytes, compressed with gzip or not.

    Returns:
        UINT8, with the shape that the file states.

    Raises:
        TrainingDataError: it is not such a file, or it is truncated.
    """
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] != _UNSIGNED_BYTE:
        raise TrainingDataError(f"{path.name} is not an IDX file of bytes: use MNIST's files as published")
    dimensions = content[3]
    start = 4 + 4 * dimensions
    header = content[4:start].ljust(4 * dimensions, b"\0")
    shape = tuple(np.frombuffer(header, ">u4").tolist())
    if len(content) != start + math.prod(shape):
        raise TrainingDataError(f"{path.name} is not as long as it states ({shape}): download it again")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)
