"""Classification: a model's fault is never told as a broken image, and a presentation changes the wording alone."""

from types import SimpleNamespace

import pytest

from kserve_transformers.errors import BadAnswerError
from kserve_transformers.service_spec import ServiceSpec
from kserve_transformers.tasks import build_task
from kserve_transformers.tasks.classification import TopK
from kserve_transformers.tasks.task import Answered

LABELS = ("Audi", "BMW", "Fiat", "Kia", "Seat")
ANSWERED = Answered([TopK(LABELS, (0.51234, 0.2, 0.1, 0.05, 0.01))], "m", True, None, {})


def cars():
    return build_task(ServiceSpec.parse("cars=classification/cars:cars"))


def classifier():
    return build_task(ServiceSpec.parse("classifier=classification:m"))


def test_an_image_is_decoded_whole_while_no_model_is_known(images):
    decoded = cars().decode((images / "coffee.jpg").read_bytes(), [], 10**6)
    assert decoded.rgb.shape == (400, 600, 3)


def test_a_resize_rule_that_does_not_exist(images):
    parameters = {"resize_mode": "centre_crop"}
    declaration = SimpleNamespace(name="cars", input=SimpleNamespace(shape=(224, 224, 3)), parameters=parameters)
    with pytest.raises(BadAnswerError, match=r"correct its config\.pbtxt"):
        cars().decode((images / "coffee.jpg").read_bytes(), [declaration], 10**6)


def test_the_task_names_labels_scores_and_the_model():
    (prediction,) = classifier().predictions(ANSWERED)
    assert (prediction["model"], prediction["fallback"]) == ("m", True)
    assert prediction["predictions"][0] == {"label": "Audi", "score": 0.5123}
    assert set(classifier().presented_tensors(ANSWERED)) == {"label", "score", "model", "fallback"}


def test_cars_presents_the_same_answer_in_per_cent():
    (prediction,) = cars().predictions(ANSWERED)
    assert prediction["status"] == "success"
    assert prediction["top_prediction"] == prediction["predictions"][0] == {"class": "Audi", "confidence": 51.2}
    assert set(cars().presented_tensors(ANSWERED)) == {"label", "score"}
