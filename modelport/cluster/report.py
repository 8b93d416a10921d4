"""The outcomes of a test: a line for a terminal, JUnit for CI."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"


@dataclass(frozen=True)
class Outcome:
    """Of one check. The result is PASSED, FAILED or SKIPPED."""

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
