"""Options of a request: what is taken, and what a caller reads of the others."""

import pytest

from kserve_transformers.errors import BadRequestError
from kserve_transformers.tasks.parameters import Flag, Number, check_parameters

KNOWN = {"share": Number(0, 1, "A share.", 0.5), "loud": Flag("Whether it is.")}


@pytest.mark.parametrize("given", [{}, {"share": 0}, {"share": 1.0, "loud": False}])
def test_taken(given):
    check_parameters("s", KNOWN, given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"share": 1.01}, "share must be a number between 0 and 1"),
        ({"share": True}, "share must be a number between 0 and 1"),
        ({"share": float("nan")}, "share must be"),
        ({"share": "1"}, "share must be"),
        ({"loud": 1}, "loud must be true or false"),
        ({"quiet": 1}, "s has no parameter 'quiet': there are share, loud"),
    ],
)
def test_refused(given, message):
    with pytest.raises(BadRequestError, match=message):
        check_parameters("s", KNOWN, given)


def test_a_service_without_options():
    with pytest.raises(BadRequestError, match=r"s has no parameter 'a': it has none$"):
        check_parameters("s", {}, {"a": 1})
