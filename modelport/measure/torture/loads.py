"""Faults of load: too much of it, and too little time."""

from __future__ import annotations

import dataclasses
import time
from collections import Counter

from kserve_transformers.settings import Limits
from modelport.measure.torture.load import Load, RunningLoad
from modelport.measure.torture.outcome import Outcome, judge
from modelport.measure.torture.served import Served
from modelport.measure.torture.traffic import Record, counts, p99_s

KIND = "detector V2"
MODEL = "yolov3_tiny"
CALLERS, CALLERS_S = 8, 6.0
TIMES, OVERLOAD_S = 4, 15.0
WARM_UP_S = 2.0
GOODPUT_SHARE = 0.8
DEADLINE_MS = 10_000
QUEUE = Limits().queue_size


def overloaded(served: Served) -> Outcome:
    """Four times what the machine carries: as much is answered as ever, in time; the rest is told to come back.

    What it carries is measured before and after, since machines that others use, too, change.
    """
    before = _carried(served)
    records = _run(served, Load(rate=TIMES * before, kinds=(KIND,), timeout_ms=DEADLINE_MS), OVERLOAD_S)
    best = (before + _carried(served)) / 2
    goodput, p99 = _goodput(records, OVERLOAD_S), p99_s(records)
    longest_s = 2 * QUEUE / max(goodput, 0.1)  # a full queue before it, twice over
    outcome = judge(records, frozenset({"200", "429"}))
    broken = list(outcome.broken)
    if goodput < GOODPUT_SHARE * best:
        broken.append(f"goodput fell from {best:.1f} to {goodput:.1f} a second")
    if p99 > longest_s:
        broken.append(f"99 of 100 answers took up to {p99:.1f} s, not {longest_s:.1f}")
    if not outcome.seen["429"]:
        broken.append("nobody was told to come back")
    note = f"{best:.1f}/s carried, {TIMES * before:.0f}/s sent: {goodput:.1f}/s answered, p99 {p99:.2f} s"
    return dataclasses.replace(outcome, note=note, broken=tuple(broken))


def _carried(served: Served) -> float:
    """Answers a second for callers who wait for theirs."""
    return _goodput(_run(served, Load(callers=CALLERS, kinds=(KIND,), timeout_ms=DEADLINE_MS), CALLERS_S), CALLERS_S)


def _run(served: Served, load: Load, seconds: float) -> list[Record]:
    running = RunningLoad(served.url, load)
    time.sleep(WARM_UP_S + seconds)
    return running.stop()


def _goodput(records: list[Record], seconds: float) -> float:
    """Good answers a second, that came once the load was warm and before it ended."""
    begin = min(record.at for record in records) + WARM_UP_S / 2
    good = [record for record in records if record.outcome == "200"]
    return sum(begin <= record.at + record.seconds < begin + seconds for record in good) / seconds


def too_late(served: Served) -> Outcome:
    """Many requests that a busy model cannot answer in time: 504, and the model does not work for most of them."""
    before, said = executed(served), len(served.log())
    crowd = RunningLoad(served.url, Load(rate=150, kinds=(KIND,), timeout_ms=250))
    light = RunningLoad(served.url, Load(rate=2, kinds=("classifier",)))
    time.sleep(5)
    hurried = crowd.stop()
    records = light.stop()
    time.sleep(3)  # what would still wait in Triton's queue is done by then
    done = executed(served) - before
    outcome = judge(records)
    seen = counts(hurried)
    answered, late = seen["200"], seen["504"]
    broken = list(outcome.broken)
    if not late:
        broken.append("nobody was too late")
    if f"model {MODEL} is not ready" in served.log()[said:]:
        broken.append("the model was replaced although it was well")
    if done > answered + 0.2 * late:
        broken.append(f"the model worked for {done} pictures, {answered} were waited for")
    if seen.keys() - {"200", "429", "504"}:
        broken.append(f"hurried callers saw {dict(seen)}")
    note = f"hurried: {_said(seen)}" + f"; the model worked for {done} pictures" * (done >= 0)
    return dataclasses.replace(outcome, note=note, broken=tuple(broken))


def executed(served: Served) -> int:
    """How many pictures the detector's model has worked for, by Triton's statistics."""
    _, document = served.get(f"/v2/models/{MODEL}/stats", served.triton_port)
    return int(document["model_stats"][0]["inference_count"])


def _said(seen: Counter[str]) -> str:
    return ", ".join(f"{count} x {what}" for what, count in sorted(seen.items()))
