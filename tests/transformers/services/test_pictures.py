"""What is a model's fault is never told as a broken picture."""

from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from kserve_transformers.errors import BadAnswerError
from kserve_transformers.services.cars import Cars
from kserve_transformers.settings import Limits


def cars(declaration):
    model = SimpleNamespace(name="cars", ready=True, known_declaration=declaration)
    with ThreadPoolExecutor(1) as threads:
        return Cars("cars", [model], Limits(), threads)


def test_a_model_that_is_learnt_anew_meanwhile(pictures):
    picture = cars(None).decode((pictures / "coffee.jpg").read_bytes())
    assert picture.rgb.shape == (400, 600, 3)


def test_a_resize_rule_that_nobody_knows(pictures):
    parameters = {"resize_mode": "centre_crop"}
    declaration = SimpleNamespace(name="cars", input=SimpleNamespace(shape=(224, 224, 3)), parameters=parameters)
    with pytest.raises(BadAnswerError, match="mend its config"):
        cars(declaration).decode((pictures / "coffee.jpg").read_bytes())
