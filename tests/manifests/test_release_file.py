"""The release file is edited in place: the lines of one service change, and nothing else."""

import pytest

from modelport.manifests.release_file import Choice, ReleaseFileError, edited, parse

TEXT = """# what serves
apiVersion: v1
data:
  digits-stable: initial  # the first one
  digits-canary: initial
  digits-percent: "0"
  my-digits-stable: one
  my-digits-canary: two
  my-digits-percent: "5"
"""


def test_it_is_read_by_service():
    assert parse(TEXT) == {"digits": Choice("initial", "initial", 0), "my-digits": Choice("one", "two", 5)}


def test_an_edit_keeps_comments_quotes_and_other_services():
    assert edited(TEXT, "digits", Choice("r1", "r2", 10)) == TEXT.replace(
        "digits-stable: initial  #", "digits-stable: r1  #"
    ).replace("digits-canary: initial", "digits-canary: r2").replace('"0"', '"10"')


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("data: [", id="no YAML"),
        pytest.param("data: 5", id="no keys"),
        pytest.param(TEXT.replace('  digits-percent: "0"\n', ""), id="a key is missing"),
        pytest.param(TEXT.replace('"0"', "many"), id="no number"),
    ],
)
def test_a_damaged_file_is_refused(text):
    with pytest.raises(ReleaseFileError, match="correct it"):
        parse(text)


def test_a_file_in_another_notation_is_not_edited_wrongly():
    flow = 'data: {digits-stable: a, digits-canary: a, digits-percent: "0"}'
    with pytest.raises(ReleaseFileError, match="plain lines"):
        edited(flow, "digits", Choice("a", "b", 10))
