"""Weights are read in Darknet's order, folded as Darknet normalises, and refused when anything is left or missing."""

from pathlib import Path

import numpy as np
import pytest

from exporters.darknet.cfg import parse_cfg
from exporters.darknet.weights import read_weights
from exporters.errors import DarknetError

NETWORK = """[net]
width=32
height=32
[convolutional]
batch_normalize=1
filters=2
size=1
activation=leaky
[convolutional]
filters=6
size=1
activation=linear
[yolo]
classes=1
anchors=10,20
"""
# bias, scale, mean, variance of two filters; kernel [2,3,1,1]; then bias and kernel of the head [6,2,1,1]
NORMALISED = [1, 2, 3, 4, 5, 6, 16, 25]
VALUES = [*NORMALISED, *range(6), *range(100, 106), *range(12)]


@pytest.fixture
def network():
    return parse_cfg(NETWORK)


def written(path: Path, values: list[float], header: tuple[int, int, int] = (0, 2, 0), seen: str = "<i8") -> Path:
    start = np.array(header, "<i4").tobytes() + np.array([7], seen).tobytes()
    path.write_bytes(start + np.array(values, "<f4").tobytes())
    return path


@pytest.mark.parametrize(
    ("header", "seen"), [pytest.param((0, 2, 5), "<i8", id="20 bytes"), pytest.param((0, 1, 0), "<i4", id="16 bytes")]
)
def test_values_are_read_in_order_and_folded(header, seen, network, tmp_path):
    found = read_weights(written(tmp_path / "w", VALUES, header, seen), network)
    assert sorted(found) == [0, 1]
    # filter 0: scale 3 / deviation 4; filter 1: scale 4 / deviation 5
    np.testing.assert_allclose(found[0].kernel.reshape(2, 3), [[0, 0.75, 1.5], [2.4, 3.2, 4.0]], rtol=1e-6)
    np.testing.assert_allclose(found[0].bias, [1 - 5 * 0.75, 2 - 6 * 0.8], rtol=1e-6)
    np.testing.assert_array_equal(found[1].kernel.reshape(6, 2), np.arange(12).reshape(6, 2))
    np.testing.assert_array_equal(found[1].bias, range(100, 106))


def test_a_variance_of_zero_is_what_darknet_makes_of_it(network, tmp_path):
    values = [1, 2, 3, 4, 0, 6, 0, 25, *VALUES[8:]]
    found = read_weights(written(tmp_path / "w", values), network)
    np.testing.assert_allclose(found[0].kernel[0, :, 0, 0], [0, 3e6, 6e6], rtol=1e-6)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        pytest.param(VALUES[:13], r"\[convolutional\] in line 4 needs 14 weights, only 13 are left", id="too few"),
        pytest.param(VALUES[:-1], r"\[convolutional\] in line 9 needs 18 weights, only 17", id="too few at the end"),
        pytest.param([], r"\[convolutional\] in line 4 needs 14 weights, only 0", id="none"),
        pytest.param([*VALUES, 1, 2], r"2 weights are left after the last convolution, .* in line 9", id="too many"),
        pytest.param([np.nan, *VALUES[1:]], "line 4 has weights that are not finite", id="not a number"),
        pytest.param([*VALUES[:-1], np.inf], "line 9 has weights that are not finite", id="infinite"),
        pytest.param([*VALUES[:6], -1, *VALUES[7:]], "line 4 has a negative variance", id="negative variance"),
        pytest.param([*VALUES[:6], np.nan, *VALUES[7:]], "line 4 has a negative variance", id="variance no number"),
        pytest.param([*VALUES[:2], 3e38, *VALUES[3:6], 1e-9, *VALUES[7:]], "not finite", id="folding overflows"),
    ],
)
def test_weights_that_do_not_fit_name_the_section(values, message, network, tmp_path):
    with pytest.raises(DarknetError, match="mine.weights: .*" + message):
        read_weights(written(tmp_path / "mine.weights", values), network)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"PK\x03\x04" + bytes(100), id="a zip"),
        pytest.param(np.array([0, 3, 0, 0, 0], "<i4").tobytes(), id="version 0.3"),
        pytest.param(np.array([1001, 2, 0, 0, 0], "<i4").tobytes(), id="transposed"),
        pytest.param(np.array([0, 2, -1, 0, 0], "<i4").tobytes(), id="negative revision"),
    ],
)
def test_a_wrong_header_is_refused(content, network, tmp_path):
    path = tmp_path / "mine.weights"
    path.write_bytes(content)
    with pytest.raises(DarknetError, match=r"mine.weights: the header is not that of Darknet weights"):
        read_weights(path, network)


def test_a_file_cut_within_a_number_is_refused(network, tmp_path):
    path = written(tmp_path / "mine.weights", VALUES)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DarknetError, match="ends within a number"):
        read_weights(path, network)
