"""Pairs what a service and its shadow answered to the same requests, and accounts for every copy of a request."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from exporters import statistics
from exporters.rules import Rule
from exporters.statistics import Estimate
from kserve_transformers.judging.answers import difference, recorded_answer
from kserve_transformers.judging.pairs import IOU_THRESHOLD, MAX_COMPARED, is_shadow, names_in_record
from kserve_transformers.observe import SUCCESS
from kserve_transformers.record.reading import Recorded
from modelport.releases.comparison.measuring import Compared, Observations, answer_measures
from modelport.releases.comparison.samples import Sample
from modelport.releases.comparison.verdict import RULES
from modelport.stack.envoy.counters import Counters

SHADOW_RULES: Sequence[Rule] = (
    Rule("answered", 0.99, True, "at least 99 % of the copies are answered where the caller got an answer"),
    Rule(
        "agreement", 0.97, True, "at least 97 % of the answers (of a detector: of the boxes, by an IoU of 0.75) agree"
    ),
    *(rule for rule in RULES if rule.measure not in ("agreement", "memory ratio")),
)


@dataclass
class Account:
    """What became of the copies of requests."""

    # pairs of answers, in the order of the record
    compared: list[tuple[Recorded, Recorded]] = field(default_factory=list)
    refused: int = 0  # pairs without success on both sides, such as bad images
    without: int = 0  # pairs without anything to compare, such as requests for metadata
    shadow_failed: dict[str, int] = field(default_factory=dict)  # pairs that the shadow alone failed, by its status
    stable_failed: int = 0  # pairs that the stable side alone failed
    twice: int = 0  # requests whose id came more than once on a side, so that they cannot be paired
    shadow_alone: int = 0  # copies without the stable side's record
    stable_alone: int = 0  # requests of the stable side without the shadow's record: not copied, or lost
    former: int = 0  # copies that went to another release, which was the shadow until this one was ready
    # copies that the shadow did not record, by the reason; empty where nobody counted the copies
    lost: dict[str, int] = field(default_factory=dict)

    @property
    def recorded(self) -> int:
        """Copies that the shadow recorded."""
        pairs = len(self.compared) + self.refused + self.without + sum(self.shadow_failed.values()) + self.stable_failed
        return pairs + self.twice + self.shadow_alone

    @property
    def copies(self) -> int:
        """All copies."""
        return self.recorded + self.former + sum(self.lost.values())

    @property
    def unanswered(self) -> int:
        """Copies without an answer, of which the caller's request had one or may have had one."""
        return sum(self.shadow_failed.values()) + sum(self.lost.values())

    def rows(self) -> list[tuple[str, str]]:
        """Each copy once, for a table."""
        rows = [
            ("copies", self.copies),
            ("compared", len(self.compared)),
            ("refused by both", self.refused),
            ("nothing to compare", self.without),
            *((f"the shadow failed with {status}", count) for status, count in sorted(self.shadow_failed.items())),
            ("the stable side failed", self.stable_failed),
            ("ids that came twice", self.twice),
            ("of a former shadow", self.former),
            ("lost: no record of the stable side", self.shadow_alone),
            *((f"lost on the shadow's side: {reason}", count) for reason, count in self.lost.items()),
        ]
        return [(name, f"{count:,}") for name, count in rows if count or name in ("copies", "compared")]


def account(records: Iterable[Recorded], release: str, since: float = 0.0, until: float = math.inf) -> Account:
    """Pair the records of both sides by their ids.

    Args:
        records: of one service.
        release: the shadow's; what other shadows recorded is left out.
        since: seconds since 1970; the first requests.
        until: likewise, the last ones.
    """
    releases = {None, *names_in_record(release)}
    sides: tuple[dict[str, list[Recorded]], dict[str, list[Recorded]]] = ({}, {})
    former = 0
    for one in records:
        if since <= one.began <= until:
            if is_shadow(one) and one.release not in releases:
                former += 1
            else:
                sides[is_shadow(one)].setdefault(one.request_id, []).append(one)
    stable, shadow_side = sides
    first = min((one.began for ones in shadow_side.values() for one in ones), default=since)  # it takes time to start
    alone = [one for key, ones in stable.items() if key not in shadow_side for one in ones]
    found = Account(stable_alone=sum(one.began >= first for one in alone), former=former)
    for key, copies in shadow_side.items():
        if key not in stable:
            found.shadow_alone += len(copies)
        elif len(copies) > 1 or len(stable[key]) > 1:
            found.twice += len(copies)
        else:
            _pair(found, stable[key][0], copies[0])
    return found


def _pair(found: Account, stable: Recorded, shadow: Recorded) -> None:
    answered, copied = stable.status in SUCCESS, shadow.status in SUCCESS
    if answered and not copied:
        found.shadow_failed[shadow.status] = found.shadow_failed.get(shadow.status, 0) + 1
    elif copied and not answered:
        found.stable_failed += 1
    elif not answered:
        found.refused += 1
    elif stable.predictions and len(stable.predictions) == len(shadow.predictions):
        found.compared.append((stable, shadow))
    else:
        found.without += 1


def count_lost(found: Account, envoy: Counters | None, percent: int) -> None:
    """Add what the shadow did not record.

    Args:
        found: the account of its record.
        envoy: what Envoy counted of the copies; None where nobody counted them: then a share of the requests that is
            too far from `percent` to be chance is taken as lost.
        percent: the share of the requests that are copied.
    """
    if envoy is not None:
        missing = max(0, envoy.all - found.recorded - found.former)
        reasons = {
            "still under way": envoy.active,
            "no answer in time": envoy.timed_out,
            "no connection": envoy.unreachable,
            "too many under way": envoy.overflowed,
        }
        for reason, count in reasons.items():
            if taken := min(count, missing):
                found.lost[reason] = taken
                missing -= taken
        if missing:
            found.lost["ended without a record"] = missing
        return
    requests = found.stable_alone + found.recorded - found.shadow_alone
    expected, chance = requests * percent / 100, math.sqrt(requests * percent * (100 - percent)) / 100
    if found.recorded < expected - 4 * chance:
        found.lost["neither answered nor recorded (estimated)"] = round(expected) - found.recorded


def observations(found: Account) -> Observations:
    """The latest pairs as `modelport compare` has them."""
    seen = Observations()
    for stable, shadow in found.compared[-MAX_COMPARED:]:
        seen.old_ms.append(stable.seconds * 1000)
        seen.new_ms.append(shadow.seconds * 1000)
        contents = stable.samples() or [b""] * len(stable.predictions)  # of some there are only hashes
        for number, predictions in enumerate(zip(stable.predictions, shadow.predictions, strict=True)):
            old, new = map(recorded_answer, predictions)
            name = stable.request_id + (f"#{number}" if len(stable.predictions) > 1 else "")
            seen.compared.append(
                Compared(Sample(name, contents[number]), old, new, difference(old, new, IOU_THRESHOLD))
            )
    return seen


def measures(found: Account, seen: Observations) -> Mapping[str, Estimate]:
    """What is judged by SHADOW_RULES; empty where there are no copies."""
    measured: dict[str, Estimate] = {}
    asked = len(found.compared) + found.without + found.unanswered - found.lost.get("still under way", 0)
    if asked:
        measured["answered"] = statistics.share(len(found.compared) + found.without, asked)
    if seen.compared:
        measured |= answer_measures(seen.compared)
        measured["old latency, ms"] = statistics.median(seen.old_ms)
        measured["new latency, ms"] = statistics.median(seen.new_ms)
        measured["latency ratio"] = statistics.ratio_of_medians(seen.new_ms, seen.old_ms)
    return measured
