"""Faults of load: too much of it, and too little time."""

import dataclasses
import math
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from modelport.measure.generator.load import RunningLoad
from modelport.measure.generator.requests import Record, counts
from modelport.measure.torture.outcome import Outcome, judge, p99_s, tally
from modelport.measure.torture.served import Served, copy_repository
from modelport.measure.traffic import begin

KIND = "detector V2"
MODEL = "yolov3_tiny"
CALLERS, CALLERS_S = 8, 6.0
TIMES, OVERLOAD_S = 4, 15.0
WARM_UP_S = 2.0
GOODPUT_SHARE, LATE_SHARE = 0.8, 0.2
LARGE, SMALL, SMALL_RATE = ("classifier", "cars"), "digits", 20.0
ROUNDS, ROUND_S, MAX_RATIO = 3, 10.0, 3.0


def overloaded(inferences: float = math.inf) -> Callable[[Served], Outcome]:
    """Four times the capacity: the goodput stays, answers come in time, and all other callers get 429 before them.

    The capacity is measured before and after, because shared machines change their speed.

    Args:
        inferences: the deadline of each request as a multiple of the time that the model takes for one, at most 10 s.
    """

    def fault(served: Served) -> Outcome:
        before, said = _capacity(served), len(served.log())
        timeout_s = min(10.0, max(1.0, inferences / before))
        load = begin(served.url, (KIND,), rate=TIMES * before, timeout_ms=int(1000 * timeout_s))
        records = _run(load, OVERLOAD_S)
        best = (before + _capacity(served)) / 2
        goodput, p99 = _goodput(records, OVERLOAD_S), p99_s(records)
        outcome = judge(records, frozenset({"200", "429", "504"}))
        answered_s, refused_s = (_median_s(records, status) for status in ("200", "429"))
        broken = list(outcome.broken)
        if goodput < GOODPUT_SHARE * best:
            broken.append(f"the goodput fell from {best:.1f}/s to {goodput:.1f}/s")
        if outcome.seen["504"] > LATE_SHARE * outcome.seen["200"]:
            broken.append(f"{outcome.seen['504']} requests were accepted and came too late")
        if not refused_s < answered_s / 2:
            broken.append(f"429 came after {refused_s:.2f} s")
        if " is not ready" in served.log()[said:]:
            broken.append("a model was called not ready")
        note = (
            f"capacity {best:.1f}/s, sent {TIMES * before:.0f}/s, deadline {timeout_s:.1f} s, goodput {goodput:.1f}/s, "
        )
        note += f"p99 {p99:.2f} s, 429 after {refused_s:.2f} s"
        return dataclasses.replace(outcome, note=note, broken=tuple(broken))

    return fault


def _median_s(records: list[Record], status: str) -> float:
    seconds = [record.seconds for record in records if record.outcome == status]
    return statistics.median(seconds) if seconds else math.inf


def _capacity(served: Served) -> float:
    """Answers per second to callers that wait for their answers."""
    return _goodput(_run(begin(served.url, (KIND,), callers=CALLERS), CALLERS_S), CALLERS_S)


def bystander(folder: Path) -> Outcome:
    """While large models are saturated, callers of a small one wait at most three times as long at p99.

    Windows with and without the load take turns, because shared machines change their speed.
    """
    services = (*LARGE, SMALL)
    with Served(folder / "bystander.log", copy_repository(folder, services), services) as served:
        served.wait_until_ready()
        return _beside_saturated(served)


def _beside_saturated(served: Served) -> Outcome:
    records: list[Record] = []
    ratios = []
    for _ in range(ROUNDS):
        alone = _run(begin(served.url, (SMALL,), rate=SMALL_RATE), ROUND_S)
        saturating = begin(served.url, LARGE, callers=CALLERS)
        beside = _run(begin(served.url, (SMALL,), rate=SMALL_RATE), ROUND_S)
        records += [*alone, *beside, *saturating.stop()]
        ratios.append(p99_s(beside) / p99_s(alone))
    outcome = judge(records, frozenset({"200", "429"}))
    ratio = statistics.median(ratios)
    broken = [*outcome.broken]
    broken += [f"the p99 of {SMALL} was {ratio:.1f} times that without load"] if ratio > MAX_RATIO else []
    note = f"p99 of {SMALL} beside {CALLERS} callers of {', '.join(LARGE)}: {ratio:.1f} times that without them"
    return dataclasses.replace(outcome, note=note, broken=tuple(broken))


def _run(running: RunningLoad, seconds: float) -> list[Record]:
    time.sleep(WARM_UP_S + seconds)
    return running.stop()


def _goodput(records: list[Record], seconds: float) -> float:
    """Answers with status 200 per second, from when the load was warm until it ended."""
    start = min(record.at for record in records) + WARM_UP_S / 2
    good = [record for record in records if record.outcome == "200"]
    return sum(start <= record.at + record.seconds < start + seconds for record in good) / seconds


def too_late(served: Served) -> Outcome:
    """Many requests that a busy model cannot answer in time get 504, and the model executes few of them."""
    before, said = executed(served), len(served.log())
    hurried_load = begin(served.url, (KIND,), rate=150, timeout_ms=250)
    other_load = begin(served.url, ("classifier",), rate=2)
    time.sleep(5)
    hurried = hurried_load.stop()
    records = other_load.stop()
    time.sleep(3)  # Triton works off its queue
    done = executed(served) - before
    outcome = judge(records)
    seen = counts(hurried)
    answered, late = seen["200"], seen["504"]
    broken = list(outcome.broken)
    if not late:
        broken.append("nobody got 504")
    if f"model {MODEL} is not ready" in served.log()[said:]:
        broken.append("the model was restarted without a fault")
    if done > answered + 0.2 * late:
        broken.append(f"the model executed {done} requests for {answered} answers")
    if seen.keys() - {"200", "429", "504"}:
        broken.append(f"callers with a deadline of 250 ms saw {dict(seen)}")
    note = f"deadline 250 ms: {tally(seen)}; the model executed {done}"
    return dataclasses.replace(outcome, note=note, broken=tuple(broken))


def executed(served: Served) -> int:
    """How many images the detector's model has processed, by Triton's statistics."""
    _, document = served.get(f"/v2/models/{MODEL}/stats", served.triton_port)
    return int(document["model_stats"][0]["inference_count"])
