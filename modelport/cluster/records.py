"""`modelport cluster-table`: write the table "What ran where" of docs/deploy.md from the runs on record.

A record is a line of JSON; `modelport test-cluster --record` appends one, and writes the table.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from modelport.cluster.report import FAILED, PASSED, SKIPPED, Outcome
from modelport.environment import ROOT

RECORDS = ROOT / "docs" / "cluster-runs.jsonl"
DOCUMENT = ROOT / "docs" / "deploy.md"
HEADER = "| overlay | last run | where | services | passed | not passed |"
ADMITTED, READY = "admitted", "ready"
DETAIL = 240  # characters that a record keeps of what a check saw


@dataclass(frozen=True)
class Run:
    """A run of `modelport test-cluster`."""

    overlay: str  # its name
    began: str  # in UTC, as in 2026-11-26T17:45:00Z
    where: str  # the cluster's versions
    services: tuple[str, ...]  # those that were deployed; empty for all
    cpu: str | None  # what each container requested; None for the declared requests
    outcomes: tuple[Outcome, ...]  # of all checks, in order

    def record(self) -> str:
        """The run as a line of JSON."""
        told = [{**asdict(one), "detail": one.detail[:DETAIL], "seconds": round(one.seconds)} for one in self.outcomes]
        return json.dumps({**asdict(self), "outcomes": told}, ensure_ascii=False)

    @classmethod
    def parse(cls, record: str) -> Run:
        """The run that `record` wrote."""
        found = json.loads(record)
        outcomes = tuple(Outcome(**one) for one in found.pop("outcomes"))
        return cls(**{**found, "services": tuple(found["services"])}, outcomes=outcomes)


def table(runs: Iterable[Run]) -> str:
    """The rows of the table, one for each overlay, with the latest result of each check."""
    by_overlay: dict[str, list[Run]] = {}
    for run in sorted(runs, key=lambda run: run.began):
        by_overlay.setdefault(run.overlay, []).append(run)
    return "\n".join([HEADER, "|---|---|---|---|---|---|", *(_row(by_overlay[name]) for name in sorted(by_overlay))])


def _row(runs: Sequence[Run]) -> str:
    last, found = runs[-1], dict[str, list[Outcome]]()
    for run in runs:
        for one in run.outcomes:
            if run is last or not _is_about_the_run(one.name):
                found.setdefault(one.name, []).append(one)
    if READY in found:
        found.pop(ADMITTED, None)
    told: dict[str, list[str]] = {PASSED: [], FAILED: [], SKIPPED: []}
    for name, outcomes in found.items():
        told[outcomes[-1].result].append(name + _share(outcomes))
    wrong = [f"{result}: {', '.join(told[result])}" for result in (FAILED, SKIPPED) if told[result]]
    services, passed = ", ".join(last.services) or "all", ", ".join(told[PASSED]) or "nothing"
    return (
        f"| `{last.overlay}` | {last.began[:10]} | {last.where} | {services} | {passed} | {'; '.join(wrong) or '-'} |"
    )


def _is_about_the_run(name: str) -> bool:
    """Whether an outcome says that the overlay could not be deployed, at first or between two checks."""
    return name == "deploy" or name.startswith("after ")


def _share(outcomes: Sequence[Outcome]) -> str:
    """In how many of its runs a check passed, where it did not pass in all."""
    tried = [one.result for one in outcomes if one.result != SKIPPED]
    passed = tried.count(PASSED)
    return "" if passed in (0, len(tried)) else f" (passed in {passed} of {len(tried)} runs)"


def with_table(text: str, rows: str) -> str:
    """A document with these rows instead of those of its table.

    Raises:
        ValueError: it has no such table.
    """
    before, header, rest = text.partition(HEADER)
    if not header:
        raise ValueError(f"there is no table that begins with {HEADER}")
    return before + rows + "\n\n" + rest.partition("\n\n")[2]


def read() -> list[Run]:
    """All runs on record."""
    return [Run.parse(line) for line in RECORDS.read_text().splitlines()]


def keep(run: Run) -> None:
    """Add a run to the records, and to the table."""
    with RECORDS.open("a") as file:
        file.write(run.record() + "\n")
    write()


def write() -> None:
    """Write the table from the records."""
    DOCUMENT.write_text(with_table(DOCUMENT.read_text(), table(read())))


def main() -> int:
    """Exit status 0."""
    argparse.ArgumentParser(prog="modelport cluster-table", description=__doc__).parse_args()
    write()
    return 0


if __name__ == "__main__":
    sys.exit(main())
