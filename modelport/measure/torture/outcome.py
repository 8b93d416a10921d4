"""What a fault caused, and the table of all faults."""

import dataclasses
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from exporters.table import table as draw_table
from modelport.measure.generator.requests import CUT, REFUSED, UNANSWERED, Record, counts

# What a well-formed request may get.
HONEST = frozenset({"200", "429", "502", "503", "504"})
# Where a fault must not be visible. With LONGEST_MS, the longest deadline that a server accepts, only a machine without
# free processor time gives 504, and that late.
SUCCEEDED = frozenset({"200", "504"})
LONGEST_MS = 30_000
NO_ANSWER = (REFUSED, CUT, UNANSWERED)


@dataclass(frozen=True)
class Outcome:
    """What a fault caused."""

    fault: str
    seen: Counter[str]  # how often callers of the constant load saw each outcome
    # seconds from the fault until readiness or the log showed it; None where neither has a reason to
    noticed_s: float | None = None
    recovered_s: float | None = None  # seconds from the fault until all models were ready again
    sent: int = 0
    answered: int = 0
    lost: int = 0
    transformer_mb: int = 0
    stack_mb: int = 0
    note: str = ""
    broken: tuple[str, ...] = ()  # the promises that did not hold


def judge(
    records: Sequence[Record], allowed: frozenset[str] = HONEST, server_killed: bool = False, deadline_s: float = 0.0
) -> Outcome:
    """The outcome as far as the constant load shows it.

    Args:
        records: of all requests.
        allowed: outcomes.
        server_killed: whether refused and cut connections are no broken promise.
        deadline_s: of the requests; a 504 that came earlier is a broken promise.
    """
    seen = counts(records)
    lost = seen[UNANSWERED] + (0 if server_killed else seen[CUT])
    early = sum(record.outcome == "504" and record.seconds < 0.9 * deadline_s for record in records)
    allowed |= {REFUSED, CUT} if server_killed else set()
    broken = [f"{count} requests got {outcome}" for outcome, count in seen.items() if outcome not in allowed]
    broken += [f"{lost} requests were lost"] if lost else []
    broken += [f"{early} requests got 504 before their deadline"] if early else []
    broken += [] if all(record.retry_after for record in records) else ["a 429 or 503 had no Retry-After"]
    broken += [] if seen["200"] else ["no request succeeded"]
    answered = sum(count for outcome, count in seen.items() if outcome not in NO_ANSWER)
    return Outcome("", seen, sent=len(records), answered=answered, lost=lost, broken=tuple(broken))


def p99_s(records: Sequence[Record]) -> float:
    """The 99th percentile of the time to an answer with status 200, seconds."""
    seconds = sorted(record.seconds for record in records if record.outcome == "200")
    return seconds[min(len(seconds) - 1, int(0.99 * len(seconds)))] if seconds else float("inf")


def tally(seen: Counter[str]) -> str:
    """Outcomes and how often each occurred, in one line."""
    return ", ".join(f"{count} x {outcome}" for outcome, count in sorted(seen.items()))


def table(outcomes: Sequence[Outcome]) -> str:
    """A line for each fault."""
    head = ("fault", "callers saw", "noticed", "recovered", "sent", "answered", "lost", "MB: transf.", "stack", "")
    return draw_table([head, *[_row(outcome) for outcome in outcomes]])


def _row(outcome: Outcome) -> tuple[str, ...]:
    times = [f"{s:.1f} s" if s is not None else "-" for s in (outcome.noticed_s, outcome.recovered_s)]
    numbers = (outcome.sent, outcome.answered, outcome.lost, outcome.transformer_mb, outcome.stack_mb)
    notes = "; ".join((*(f"BROKEN: {promise}" for promise in outcome.broken), outcome.note)).strip("; ")
    return (outcome.fault, tally(outcome.seen), *times, *map(str, numbers), notes)


def document(outcomes: Sequence[Outcome]) -> dict[str, object]:
    """The content of results.json."""
    return {"faults": [{**dataclasses.asdict(outcome), "seen": dict(outcome.seen)} for outcome in outcomes]}
