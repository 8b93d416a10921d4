"""Files, folders, series and windows."""

import pytest

from kserve_transformers.client.inputs import IMAGES, cut_windows, find_inputs, read_series


def test_a_folder_is_searched_for_pictures_and_a_named_file_is_taken_as_it_is(tmp_path):
    for name in ("b.JPG", "deep/a.png", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    found = list(find_inputs([str(tmp_path), str(tmp_path / "notes.txt"), "-"], IMAGES))
    assert [str(one.relative) for one in found] == ["b.JPG", "deep/a.png", "notes.txt", "stdin"]
    assert found[2].read() == b"x"


def test_a_missing_file_is_told():
    with pytest.raises(FileNotFoundError, match=r"gone\.jpg: no such file"):
        list(find_inputs(["gone.jpg"], IMAGES))


@pytest.mark.parametrize(
    ("text", "column"),
    [
        pytest.param("[1, 2.5, -3]", None, id="json"),
        pytest.param("1\n2.5\n-3\n", None, id="numbers alone"),
        pytest.param("\ufefftime,load\r\n10:00,1\r\n10:01,2.5\r\n10:02,-3\r\n", None, id="csv: the last column"),
        pytest.param("load,time\n1,10:00\n2.5,10:01\n-3,10:02\n", "load", id="csv: a named column"),
    ],
)
def test_series(text, column):
    assert read_series(text.encode(), column) == [1, 2.5, -3]


@pytest.mark.parametrize(
    ("text", "column"), [("", None), ("a,b\n1,2\n", "c"), ("a\nx\n", None), ('["a"]', None), ("[[1]]", None)]
)
def test_what_is_no_series_is_refused(text, column):
    with pytest.raises(ValueError, match=r"."):
        read_series(text.encode(), column)


@pytest.mark.parametrize(
    ("length", "starts"),
    [
        pytest.param(4, [0], id="one window"),
        pytest.param(8, [0, 4], id="two"),
        pytest.param(9, [0, 4, 5], id="the last one overlaps"),
    ],
)
def test_windows_cover_the_series(length, starts):
    series = [float(number) for number in range(length)]
    windows = cut_windows(series, 4)
    assert list(windows) == starts
    assert all(window == series[start : start + 4] for start, window in windows.items())


def test_a_series_shorter_than_a_window():
    with pytest.raises(ValueError, match="3 numbers; the model's windows take 4"):
        cut_windows([1, 2, 3], 4)
