"""The reader of series and the windows: the client's and the page's give the same for one table of cases."""

import base64
import codecs
import json
import shutil
import subprocess
from pathlib import Path

import playwright
import pytest

import kserve_transformers
from kserve_transformers.client.series import SeriesError, cut_windows, read_series

HERE = Path(__file__).parent
PAGE = Path(kserve_transformers.__file__).parent / "page"
NODE = Path(playwright.__file__).parent / "driver" / "node"
ENCODINGS = {"utf-16-le-bom": (codecs.BOM_UTF16_LE, "utf-16-le"), "utf-16-be-bom": (codecs.BOM_UTF16_BE, "utf-16-be")}
CASES = json.loads((HERE / "series_cases.json").read_text(encoding="utf-8"))
WINDOWS = [
    pytest.param(4, [0], id="one window"),
    pytest.param(8, [0, 4], id="two"),
    pytest.param(9, [0, 4, 5], id="the last one overlaps"),
]


def content(case: dict) -> bytes:
    bom, encoding = ENCODINGS.get(case.get("encoding"), (b"", case.get("encoding", "utf-8")))
    return bom + case["text"].encode(encoding)


def page_outcomes(folder: Path, cases: list[dict]) -> list[dict]:
    module = shutil.copy(PAGE / "series.js", folder / "series.mjs")
    command = [str(NODE), str(HERE / "read_series.mjs"), str(module)]
    return json.loads(
        subprocess.run(command, input=json.dumps(cases), capture_output=True, text=True, check=True).stdout
    )


@pytest.fixture(scope="module")
def on_page(tmp_path_factory):
    """What the page's reader makes of each case, by id."""
    sent = [{"data": base64.b64encode(content(case)).decode(), "column": case.get("column")} for case in CASES]
    outcomes = page_outcomes(tmp_path_factory.mktemp("page"), sent)
    return {case["id"]: outcome for case, outcome in zip(CASES, outcomes, strict=True)}


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_a_case(case, on_page):
    if "error" in case:
        with pytest.raises(SeriesError) as refused:
            read_series(content(case), case.get("column"))
        outcome = {"error": str(refused.value).removesuffix(" with --column")}
        assert case["error"] in outcome["error"]
    else:
        outcome = {"values": read_series(content(case), case.get("column"))}
        assert outcome["values"] == case["values"]
    assert on_page[case["id"]] == outcome


@pytest.mark.parametrize(("length", "starts"), WINDOWS)
def test_windows_cover_the_series(length, starts, tmp_path):
    series = [float(number) for number in range(length)]
    windows = cut_windows(series, 4)
    assert list(windows) == starts
    assert all(window == series[start : start + 4] for start, window in windows.items())
    assert page_outcomes(tmp_path, [{"points": length, "length": 4}]) == [{"values": starts}]


def test_a_series_shorter_than_a_window(tmp_path):
    told = "the series has 3 numbers; the model's windows take 4"
    with pytest.raises(SeriesError, match=told):
        cut_windows([1, 2, 3], 4)
    assert page_outcomes(tmp_path, [{"points": 3, "length": 4}]) == [{"error": told}]
