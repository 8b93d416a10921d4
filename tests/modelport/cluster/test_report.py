"""The lines of a terminal, JUnit, the records, and the table for the documentation."""

import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from modelport.cluster import records
from modelport.cluster.records import HEADER, Run, table, with_table
from modelport.cluster.report import FAILED, PASSED, SKIPPED, Outcome, junit

OUTCOMES = [
    Outcome("ready", PASSED, "digits", 41.2),
    Outcome("canary-start", FAILED, 'got <0> & "nothing"\x1b[0m', 12.0),
    Outcome("full-disk", SKIPPED, "the volume is mounted"),
]


def test_junit_says_what_passed_failed_and_was_skipped_in_any_characters():
    suite = ET.fromstring(junit("local", OUTCOMES))  # noqa: S314 (our own)
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped"), suite.get("time")) == (
        "3",
        "1",
        "1",
        "53.2",
    )
    ready, canary, disk = suite
    assert ready.get("name") == "ready"
    assert [child.tag for case in (ready, canary, disk) for child in case] == ["system-out", "failure", "skipped"]
    assert canary[0].get("message") == 'got <0> & "nothing"?[0m'


def run(began: str, *outcomes: Outcome, overlay: str = "local", services: tuple[str, ...] = ("digits",)) -> Run:
    return Run(overlay, f"2026-11-{began}T07:00:00Z", "Kubernetes 1.35.4", services, "50m", outcomes)


@pytest.mark.parametrize(
    ("runs", "cells"),
    [
        pytest.param([run("26", *OUTCOMES)], "ready | failed: canary-start; skipped: full-disk", id="one run"),
        pytest.param(
            [run("26", Outcome("canary-start", PASSED, "")), run("25", *OUTCOMES)],
            "ready, canary-start (passed in 1 of 2 runs) | skipped: full-disk",
            id="the latest result counts",
        ),
        pytest.param(
            [run("25", Outcome("deploy", FAILED, "no cluster")), run("26", OUTCOMES[0])],
            "ready | -",
            id="a deployment that failed before",
        ),
        pytest.param([run("26", Outcome("deploy", FAILED, "no"))], "nothing | failed: deploy", id="not deployed"),
        pytest.param(
            [run("26", OUTCOMES[0]), run("25", Outcome("admitted", PASSED, ""))], "ready | -", id="more than admitted"
        ),
    ],
)
def test_a_row_has_the_latest_result_of_each_check(runs, cells):
    assert table(runs).splitlines()[2:] == [f"| `local` | 2026-11-26 | Kubernetes 1.35.4 | digits | {cells} |"]


def test_a_table_has_one_row_for_each_overlay_and_replaces_the_former_one():
    runs = [run("26", *OUTCOMES, overlay=name, services=()) for name in ("local", "keda", "local")]
    rows = table(runs)
    assert [line.split(" | ")[0] for line in rows.splitlines()[2:]] == ["| `keda`", "| `local`"]
    assert "| all |" in rows
    text = f"Before\n\n{HEADER}\n|---|\n| `old` |\n\nafter\n"
    assert with_table(text, rows) == f"Before\n\n{rows}\n\nafter\n" == with_table(with_table(text, rows), rows)
    with pytest.raises(ValueError, match="no table"):
        with_table("nothing", rows)


def test_a_run_is_kept_as_a_line_and_puts_itself_into_the_table(tmp_path, monkeypatch):
    kept = run("26", Outcome("ready", PASSED, "two\nlines", 41.0), OUTCOMES[2])
    assert Run.parse(kept.record()) == replace(kept, outcomes=(kept.outcomes[0], replace(OUTCOMES[2], seconds=0)))
    monkeypatch.setattr(records, "RECORDS", tmp_path / "runs.jsonl")
    monkeypatch.setattr(records, "DOCUMENT", tmp_path / "deploy.md")
    records.DOCUMENT.write_text(f"{HEADER}\n\nafter\n")
    for one in (kept, run("27", OUTCOMES[1])):
        records.keep(one)
    assert len(records.RECORDS.read_text().splitlines()) == 2
    assert records.DOCUMENT.read_text() == f"{table(records.read())}\n\nafter\n"


def test_the_table_of_the_documentation_is_that_of_the_records():
    text = records.DOCUMENT.read_text()
    assert with_table(text, table(records.read())) == text, "run `modelport cluster-table`"
    assert not re.search(r"/(root|home|work|tmp)/", records.RECORDS.read_text())


def test_a_line_has_the_outcome_first():
    assert OUTCOMES[0].line().split() == ["passed", "ready", "41", "s", "digits"]
