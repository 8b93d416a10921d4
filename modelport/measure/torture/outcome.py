"""What a fault did, and the table of all."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from modelport.measure.torture.traffic import CUT, REFUSED, UNANSWERED, Record, counts, lost

# What a well-formed request may meet.
HONEST = frozenset({"200", "429", "502", "503", "504"})
NO_ANSWER = (REFUSED, CUT, UNANSWERED)


@dataclass(frozen=True)
class Outcome:
    """What a fault did.

    Attributes:
        seen: what the callers of the constant load saw.
        noticed_s: until readiness or the stack said so; None where they have no reason to.
        recovered_s: until all models were ready again, from the fault on.
        broken: promises that did not hold.
    """

    fault: str
    seen: Counter[str]
    noticed_s: float | None = None
    recovered_s: float | None = None
    sent: int = 0
    answered: int = 0
    lost: int = 0
    transformer_mb: int = 0
    stack_mb: int = 0
    note: str = ""
    broken: tuple[str, ...] = ()


def judge(records: Sequence[Record], allowed: frozenset[str] = HONEST, server_killed: bool = False) -> Outcome:
    """The outcome as far as the constant load tells it."""
    seen = counts(records)
    allowed |= {REFUSED, CUT} if server_killed else set()
    gone = lost(records, server_killed)
    broken = [f"{count} requests met {outcome}" for outcome, count in seen.items() if outcome not in allowed]
    broken += [f"{gone} requests were lost"] if gone else []
    broken += ["a 429 or 503 without Retry-After"] if not all(record.polite for record in records) else []
    broken += [] if seen["200"] else ["no request was answered well"]
    return Outcome(
        fault="",
        seen=seen,
        sent=len(records),
        answered=sum(count for outcome, count in seen.items() if outcome not in NO_ANSWER),
        lost=gone,
        broken=tuple(broken),
    )


def table(outcomes: Sequence[Outcome]) -> str:
    """For people."""
    head = ("fault", "callers saw", "noticed", "recovered", "sent", "answered", "lost", "MB: transf.", "stack", "")
    rows = [head, *[_row(outcome) for outcome in outcomes]]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def _row(outcome: Outcome) -> tuple[str, ...]:
    seen = ", ".join(f"{count} x {what}" for what, count in sorted(outcome.seen.items()))
    times = [f"{s:.1f} s" if s is not None else "-" for s in (outcome.noticed_s, outcome.recovered_s)]
    numbers = (outcome.sent, outcome.answered, outcome.lost, outcome.transformer_mb, outcome.stack_mb)
    said = "; ".join((*(f"BROKEN: {promise}" for promise in outcome.broken), outcome.note)).strip("; ")
    return (outcome.fault, seen, *times, *map(str, numbers), said)


def document(outcomes: Sequence[Outcome]) -> dict[str, object]:
    """For programs."""
    return {"faults": [{**dataclasses.asdict(outcome), "seen": dict(outcome.seen)} for outcome in outcomes]}
