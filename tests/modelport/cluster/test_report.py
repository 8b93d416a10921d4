"""The table, JUnit and the row for the documentation."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from modelport.cluster.report import FAILED, HEADER, PASSED, SKIPPED, Outcome, junit, markdown_row, recorded

OUTCOMES = [
    Outcome("ready", PASSED, "digits", 41.2),
    Outcome("canary-start", FAILED, 'got <0> & "nothing"\x1b[0m', 12.0),
    Outcome("full-disk", SKIPPED, "the volume is mounted"),
]


def test_junit_says_what_passed_failed_and_was_skipped_in_any_characters() -> None:
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


def test_the_row_names_everything_that_did_not_pass() -> None:
    row = markdown_row("local", "Kubernetes 1.35.4", "2026-11-26", OUTCOMES)
    assert row == "| `local` | 2026-11-26 | Kubernetes 1.35.4 | ready | failed: canary-start; skipped: full-disk |"


def test_a_document_has_one_row_for_each_overlay() -> None:
    empty = f"Before\n\n{HEADER}\n|---|---|---|---|---|\n\nafter\n"
    rows = [markdown_row(name, "here", "2026-11-26", OUTCOMES[:1]) for name in ("local", "keda", "local")]
    text = empty
    for row in rows:
        text = recorded(text, row)
    assert text == f"Before\n\n{HEADER}\n|---|---|---|---|---|\n{rows[1]}\n{rows[0]}\n\nafter\n"
    with pytest.raises(ValueError, match="no table"):
        recorded("nothing", rows[0])


def test_a_line_has_the_outcome_first() -> None:
    assert OUTCOMES[0].line().split() == ["passed", "ready", "41", "s", "digits"]
