"""The outcomes of a test: a table for a terminal, JUnit for CI, a row for docs/deploy.md."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass

HEADER = "| overlay | date | where | passed | not passed |"
PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"


@dataclass(frozen=True)
class Outcome:
    """Of one check.

    Attributes:
        name: of the check.
        result: PASSED, FAILED or SKIPPED.
        detail: what was seen.
        seconds: how long it took.
    """

    name: str
    result: str
    detail: str
    seconds: float = 0.0

    def line(self) -> str:
        """One line of the table."""
        return f"{self.result:<8}{self.name:<18}{self.seconds:>6.0f} s  {self.detail}"


def junit(overlay: str, outcomes: Sequence[Outcome]) -> str:
    """The outcomes as JUnit's XML."""
    suite = ET.Element(
        "testsuite",
        name=f"test-cluster {overlay}",
        tests=str(len(outcomes)),
        failures=str(sum(one.result == FAILED for one in outcomes)),
        skipped=str(sum(one.result == SKIPPED for one in outcomes)),
        time=f"{sum(one.seconds for one in outcomes):.1f}",
    )
    for one in outcomes:
        case = ET.SubElement(
            suite, "testcase", classname=f"cluster.{overlay}", name=one.name, time=f"{one.seconds:.1f}"
        )
        detail = re.sub(r"[^\t\n\x20-\ud7ff\ue000-\ufffd]", "?", one.detail)  # what XML allows
        if one.result == PASSED:
            ET.SubElement(case, "system-out").text = detail
        else:
            ET.SubElement(case, "failure" if one.result == FAILED else "skipped", message=detail)
    ET.indent(suite)
    return ET.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def markdown_row(overlay: str, where: str, date: str, outcomes: Sequence[Outcome]) -> str:
    """The row for the table "What ran where" in docs/deploy.md."""
    by_result = {result: [one.name for one in outcomes if one.result == result] for result in (PASSED, FAILED, SKIPPED)}
    told = [f"{result}: {', '.join(names)}" for result, names in by_result.items() if names and result != PASSED]
    return (
        f"| `{overlay}` | {date} | {where} | {', '.join(by_result[PASSED]) or 'nothing'} | {'; '.join(told) or '-'} |"
    )


def recorded(text: str, row: str) -> str:
    """A document with a row of `markdown_row` in its table "What ran where", instead of the overlay's former one.

    Raises:
        ValueError: the document has no such table.
    """
    first = row.split("|")[1]
    if HEADER not in text:
        raise ValueError(f"there is no table that begins with {HEADER}")
    before, _, rest = text.partition(HEADER)
    table, separator, after = rest.partition("\n\n")
    rows = [line for line in table.splitlines() if line]
    rows = [line for line in rows[1:] if line.split("|")[1] != first] + [row]
    ruler = table.splitlines()[1]
    return "\n".join([before + HEADER, ruler, *sorted(rows)]) + separator + after
