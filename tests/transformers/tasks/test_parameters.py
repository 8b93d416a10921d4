"""Options of a request: what is taken, and what a caller reads of the others."""

import pytest

from kserve_transformers.errors import BadRequestError
from kserve_transformers.tasks.parameters import Flag, Number, check_parameters, options_beside_image, options_of_texts

KNOWN = {"share": Number(0, 1, "A share.", 0.5), "loud": Flag("Whether it is.")}


@pytest.mark.parametrize("given", [{}, {"share": 0}, {"share": 1.0, "loud": False}, {"share": None}])
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


@pytest.mark.parametrize(
    ("texts", "options"),
    [
        ([("share", "0.5"), ("loud", "TRUE")], {"share": 0.5, "loud": True}),
        ([("share", "1e-1"), ("loud", "false")], {"share": 0.1, "loud": False}),
        ([("share", "high"), ("loud", "1")], {"share": "high", "loud": "1"}),
        ([("share", "0_1")], {"share": "0_1"}),
        ([("share", "nan")], {"share": "nan"}),
    ],
)
def test_options_in_a_query(texts, options):
    assert options_of_texts("s", KNOWN, texts) == options


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ([("quiet", "")], "s has no parameter 'quiet': there are share, loud"),
        ([("id", "5")], "s has no parameter 'id'"),
        ([("share", "0.5"), ("share", "0.5")], "share is given twice"),
    ],
)
def test_a_query_that_is_refused(texts, message):
    with pytest.raises(BadRequestError, match=message):
        options_of_texts("s", KNOWN, texts)


def test_options_beside_an_image():
    assert options_beside_image("s", KNOWN, {"share": 0.5, "id": 5}, {}) == {"share": 0.5}
    assert options_beside_image("s", KNOWN, {}, {"share": "0.5", "loud": "true"}) == {"share": 0.5, "loud": True}


HARMLESS = {
    "id": 5,
    "user_id": "u",
    "timestamp": 1.7e9,
    "filename": "a.jpg",
    "confirm": "Upload",
    "comment": "",
    "x": None,
}


@pytest.mark.parametrize("name", HARMLESS)
def test_what_says_nothing_about_how_to_answer_is_ignored(name):
    assert options_beside_image("s", KNOWN, {name: HARMLESS[name]}, {}) == {}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("shar", 0.5),
        ("shar", "0.5"),
        ("SHARE", ".5"),
        ("quiet", True),
        ("quiet", "false"),
        ("parameters", {"share": 0.5}),
        ("options", "share=0.5"),
        ("classes", ["cat"]),
        ("model", "other"),
        ("threshold", "high"),
        ("output_format", "xyxy"),
        ("id", {"a": 1}),
    ],
)
def test_what_looks_like_an_option_is_refused_by_name(name, value):
    with pytest.raises(BadRequestError, match=f"s has no parameter '{name}': there are share, loud"):
        options_beside_image("s", KNOWN, {name: value}, {})
