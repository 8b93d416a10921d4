"""IDX files are read whole or refused."""

import gzip

import numpy as np
import pytest

from exporters.errors import TrainingDataError
from exporters.training.idx import read_idx

CONTENT = bytes([0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 4, 5, 6])


@pytest.mark.parametrize(
    ("name", "content"),
    [pytest.param("a", CONTENT, id="plain"), pytest.param("a.gz", gzip.compress(CONTENT), id="compressed")],
)
def test_rows_come_in_the_shape_that_the_file_states(name, content, tmp_path):
    (tmp_path / name).write_bytes(content)

    np.testing.assert_array_equal(read_idx(tmp_path / name), [[1, 2, 3], [4, 5, 6]])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(CONTENT[:-1], "not as long as it states", id="a byte is missing"),
        pytest.param(CONTENT + b"\0", "not as long as it states", id="a byte too many"),
        pytest.param(CONTENT[:9], "not as long as it states", id="half a header"),
        pytest.param(bytes([0, 0, 13, 1, 0, 0, 0, 0]), "not an IDX file of bytes", id="floats"),
        pytest.param(b"PK", "not an IDX file of bytes", id="something else"),
        pytest.param(b"", "not an IDX file of bytes", id="empty"),
    ],
)
def test_anything_else_is_refused(content, message, tmp_path):
    (tmp_path / "a").write_bytes(content)

    with pytest.raises(TrainingDataError, match=message):
        read_idx(tmp_path / "a")
