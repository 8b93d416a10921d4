"""What `make test` runs, and its last lines."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

FILE = Path(__file__).with_name("run.py")
spec = importlib.util.spec_from_file_location("run_of_all_tests", FILE)
assert spec
assert spec.loader
run = importlib.util.module_from_spec(spec)
sys.modules[spec.name] = run  # dataclasses look their module up
spec.loader.exec_module(run)

TORCH, TENSORFLOW = "tests/export/torch", "tests/export/tensorflow"
EVERY = {framework: [str(folder)] for framework, folder in run.FOLDERS.items()}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        pytest.param([], {None: [str(run.TESTS)], **EVERY}, id="no argument"),
        pytest.param(
            ["-x", "-k", "tests"],
            {key: ["-x", "-k", "tests", *paths] for key, paths in {None: [str(run.TESTS)], **EVERY}.items()},
            id="an option's value is no path",
        ),
        pytest.param(
            [f"{TORCH}/test_conversion.py::test_x"], {"torch": [f"{TORCH}/test_conversion.py::test_x"]}, id="one"
        ),
        pytest.param(["tests/fuzz", "-q"], {None: ["-q", "tests/fuzz"]}, id="no framework's"),
        pytest.param(["tests/export"], {None: ["tests/export"], **EVERY}, id="a folder around the frameworks'"),
        pytest.param(
            [f"{TENSORFLOW}/training", "tests/fuzz"],
            {"tensorflow": [f"{TENSORFLOW}/training"], None: ["tests/fuzz"]},
            id="two sessions",
        ),
    ],
)
def test_each_path_goes_to_its_session(arguments, expected):
    assert run.sessions(arguments) == expected


@pytest.mark.parametrize(("arguments", "speed"), [([], "not slow"), (["--slow"], "slow"), (["-x"], "not slow")])
def test_without_a_selection_each_test_is_in_one_of_three_lanes(arguments, speed):
    (alone,), (shared,), (*frameworks, own) = run.lanes(arguments)
    assert [session.framework for session in (alone, shared, *frameworks, own)] == [*[None] * 2, *run.FRAMEWORKS, None]
    for session, marks, folder in (
        (alone, "not stack", run.TESTS),
        (shared, "stack", run.TESTS),
        (own, "not stack", run.INTEGRATION),
    ):
        assert session.arguments[session.arguments.index("-m", 2) + 1] == f"{speed} and {marks}"
        assert [argument for argument in session.arguments if argument.startswith("/")] == [str(folder)]
    assert f"--ignore={run.INTEGRATION}" in alone.arguments
    assert {" ".join(session.arguments[:2]) for session in frameworks} == {f"-m {speed}"}


def test_what_is_selected_runs_one_after_another():
    (lane,) = run.lanes(["-k", "letterbox"])
    assert [session.framework for session in lane] == [None, *EVERY]
    assert all(session.arguments[:2] == ["-k", "letterbox"] for session in lane)


def test_slow_tests_are_left_out_unless_they_are_selected():
    assert run.with_marks([]) == ["-m", "not slow"]
    assert run.with_marks(["-x"]) == ["-m", "not slow", "-x"]
    assert run.with_marks(["--slow", "-x"]) == ["-m", "slow", "-x"]
    for selection in (["-k", "letterbox"], ["-m", "stack"], ["tests/fuzz"], ["tests/fuzz/test_heads.py::test_x"]):
        assert run.with_marks(selection) == selection


@pytest.mark.parametrize(
    ("codes", "expected"), [([0, 5, 0], 0), ([0, 1, 5], 1), ([5, 5], 5), ([0, 2], 2), ([1, 11], 11)]
)
def test_the_worst_exit_code_counts(codes, expected):
    assert run.worst(codes) == expected


TESTS = """
import pytest

@pytest.fixture
def breaking():
    yield
    raise ValueError("afterwards")

@pytest.fixture
def broken():
    raise ValueError("before")

def test_right(): pass
def test_wrong(): assert False
def test_broken(broken): pass
def test_breaking(breaking): pass
@pytest.mark.skip(reason="Chromium is missing: apt-get install chromium")
def test_browser(): pass
@pytest.mark.skip(reason="prometheus is not installed: apt-get install prometheus chromium")
def test_alerts(): pass
@pytest.mark.skip(reason="images are built by: make test IMAGES=1")
def test_images(): pass
"""


def test_results_are_counted_and_skips_say_what_brings_them(tmp_path):
    (tmp_path / "test_some.py").write_text(TESTS)
    (tmp_path / "test_damaged.py").write_text("import nothing_of_that_name")
    command = [sys.executable, "-P", "-m", "pytest", "--junit-xml=results.xml", "--continue-on-collection-errors", "."]
    subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)

    *_, skips, totals = run.summary(run.read_results(tmp_path / "results.xml"))

    assert totals == "1 passed, 4 failed, 3 skipped"
    assert skips == (
        "skipped: 2 tests want chromium, prometheus (sudo apt-get install chromium prometheus); "
        "1: images are built by: make test IMAGES=1"
    )
