"""Faults in processes: killed, stalled, asked to end."""

from __future__ import annotations

import contextlib
import dataclasses
import signal
import time
from collections.abc import Callable

import psutil

from modelport.measure.torture.load import Load, RunningLoad
from modelport.measure.torture.outcome import Outcome, judge
from modelport.measure.torture.served import CHAIN, TRANSFORMER, TRITON, Served, wait_for
from modelport.measure.torture.traffic import CUT, LIGHT, REFUSED

NOTICE_S = 5.0  # the promise
SLACK_S = 2.0  # of our own looking, on a machine that does other things too
RECOVER_S = 60.0
LATE_S = 4.0  # after SIGTERM; on a machine that stalls, later requests may come after the drain
AGAIN = "again after"  # the stack's word for a model or server that is back
BEFORE_S, AFTER_S = 1.5, 1.5


def _harmed(
    served: Served,
    victim: psutil.Process,
    harm: signal.Signals,
    load: Load | None = None,
    server_killed: bool = False,
    allowed: frozenset[str] | None = None,
) -> Outcome:
    running = RunningLoad(served.url, load or Load())
    try:
        time.sleep(BEFORE_S)
        began, said = time.monotonic(), len(served.log())
        victim.send_signal(harm)
        # Where one of a model's two processes is replaced, readiness may have no reason to change.
        noticed_s = wait_for(lambda: not served.well() or len(served.log()) > said, 20)
        recovered = wait_for(lambda: served.well() and AGAIN in served.log()[said:], RECOVER_S) is not None
        recovered_s = time.monotonic() - began if recovered else None
        time.sleep(AFTER_S)
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            victim.send_signal(signal.SIGCONT)
        records = running.stop()
    outcome = judge(records, **({"allowed": allowed} if allowed else {}), server_killed=server_killed)
    broken = list(outcome.broken)
    if noticed_s is None or noticed_s > NOTICE_S + SLACK_S:
        broken.append("not noticed in time")
    if recovered_s is None:
        broken.append(f"not well again after {RECOVER_S:g} s")
    elif records[-1].outcome != "200":
        broken.append("the last request still failed")
    return dataclasses.replace(outcome, noticed_s=noticed_s, recovered_s=recovered_s, broken=tuple(broken))


def model(name: str, harm: signal.Signals, kinds: tuple[str, ...] = LIGHT) -> Callable[[Served], Outcome]:
    """A process of a service's only model."""
    return lambda served: _harmed(served, served.stub(name), harm, Load(kinds=kinds))


def chain(harm: signal.Signals) -> Callable[[Served], Outcome]:
    """The process of a chain's first model: no request fails."""
    load = Load(kinds=("classifier",))
    return lambda served: _harmed(served, served.stub(CHAIN[0]), harm, load, allowed=frozenset({"200"}))


def triton(harm: signal.Signals) -> Callable[[Served], Outcome]:
    """All models at once."""
    return lambda served: _harmed(served, served.server(TRITON), harm)


def transformer(harm: signal.Signals) -> Callable[[Served], Outcome]:
    """The server that callers talk to: their connections end, and nobody else's."""
    return lambda served: _harmed(served, served.server(TRANSFORMER), harm, server_killed=True)


def terminated(served: Served) -> Outcome:
    """SIGTERM: not ready at once, and everything that comes before the drain's end is answered.

    Callers stop shortly before that, as a balancer that looks at readiness does; the last ones ask for so much that it
    takes longer.
    """
    victim = served.server(TRANSFORMER)
    running = RunningLoad(served.url, Load())
    time.sleep(BEFORE_S)
    victim.terminate()
    began = time.monotonic()
    noticed_s = wait_for(lambda: not served.well() or served.get("/v2/health/ready")[0] == 503, 5)
    time.sleep(max(0.0, began + 2.0 - time.monotonic()))
    last = RunningLoad(served.url, Load(rate=2, kinds=("detector many",), timeout_ms=30_000))
    time.sleep(max(0.0, began + 4.5 - time.monotonic()))
    running.end()
    last.end()
    records = running.stop() + last.stop()
    overtime_s = max((record.at + record.seconds for record in records), default=0.0) - began
    ended = wait_for(lambda: not victim.is_running(), 40) is not None
    recovered_s = time.monotonic() - began if ended and wait_for(served.well, RECOVER_S) is not None else None
    late = [record for record in records if record.at > began + LATE_S and record.outcome in (REFUSED, CUT, "503")]
    outcome = judge([record for record in records if record not in late], frozenset({"200", "429", "504"}))
    broken = (*outcome.broken, *(() if recovered_s else ("not started again",)))
    broken += () if "exit code 0" in served.log() else ("did not end with exit code 0",)
    note = f"last answer {overtime_s:.1f} s after SIGTERM"
    if late:
        note += f"; {len(late)} requests came too late and do not count"
    return dataclasses.replace(outcome, noticed_s=noticed_s, recovered_s=recovered_s, broken=broken, note=note)
