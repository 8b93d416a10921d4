"""Faults of processes: killed, stalled, terminated."""

import contextlib
import dataclasses
import signal
import time
from collections.abc import Callable, Sequence

import psutil

from modelport.measure.generator.requests import CUT, REFUSED
from modelport.measure.torture.outcome import HONEST, LONGEST_MS, SUCCEEDED, Outcome, judge
from modelport.measure.torture.served import CHAIN, RECOVER_S, TRANSFORMER, TRITON, Served, wait_for
from modelport.measure.traffic import LIGHT, begin

# A fault is noticed within NOTICE_S, and on a slow machine later by SLOWER times its slowest answer before the fault.
NOTICE_S, SLOWER = 5.0, 10.0
LATE_S = 4.0  # after SIGTERM; requests that a slow machine sends later can come after the drain
RECOVERED = "again after"  # in the log of a stack that restarted a model or a server
BEFORE_S, AFTER_S = 1.5, 1.5


def _harmed(
    served: Served,
    victim: psutil.Process,
    harm: signal.Signals,
    kinds: Sequence[str] = LIGHT,
    server_killed: bool = False,
    hidden: bool = False,
) -> Outcome:
    """Send a signal to a process under load. `hidden`: callers must not see it."""
    timeout_ms = LONGEST_MS if hidden else 10_000
    running = begin(served.url, kinds, timeout_ms=timeout_ms)
    try:
        time.sleep(BEFORE_S)
        began, logged = time.monotonic(), len(served.log())
        victim.send_signal(harm)
        # Where one of a model's two processes is replaced, readiness may have no reason to change.
        noticed_s = wait_for(lambda: not served.all_ready() or len(served.log()) > logged, RECOVER_S)
        recovered = wait_for(lambda: served.all_ready() and RECOVERED in served.log()[logged:], RECOVER_S) is not None
        recovered_s = time.monotonic() - began if recovered else None
        time.sleep(AFTER_S)
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            victim.send_signal(signal.SIGCONT)
        records = running.stop()
    outcome = judge(records, SUCCEEDED if hidden else HONEST, server_killed, timeout_ms / 1000 if hidden else 0.0)
    broken = list(outcome.broken)
    slowest_s = max((record.seconds for record in records if record.at + record.seconds < began), default=0.0)
    if noticed_s is None or noticed_s > NOTICE_S + SLOWER * max(slowest_s, 0.2):
        broken.append("not noticed in time")
    if recovered_s is None:
        broken.append(f"not ready again after {RECOVER_S:g} s")
    elif records[-1].outcome != "200":
        broken.append("the last request still failed")
    return dataclasses.replace(outcome, noticed_s=noticed_s, recovered_s=recovered_s, broken=tuple(broken))


def model(name: str, harm: signal.Signals, kinds: tuple[str, ...] = LIGHT) -> Callable[[Served], Outcome]:
    """A process of a service's only model."""
    return lambda served: _harmed(served, served.stub(name), harm, kinds)


def chain(harm: signal.Signals) -> Callable[[Served], Outcome]:
    """The process of a chain's first model: no request fails."""
    return lambda served: _harmed(served, served.stub(CHAIN[0]), harm, ("classifier",), hidden=True)


def triton(harm: signal.Signals) -> Callable[[Served], Outcome]:
    """All models at once."""
    return lambda served: _harmed(served, served.server(TRITON), harm)


def transformer(harm: signal.Signals) -> Callable[[Served], Outcome]:
    """The server that callers are connected to: only their connections end."""
    return lambda served: _harmed(served, served.server(TRANSFORMER), harm, server_killed=True)


def terminated(served: Served) -> Outcome:
    """SIGTERM: not ready at once, and every request that comes before the end of the drain is answered.

    Callers stop shortly before that, like a load balancer that follows readiness; the last requests take longer than
    the drain.
    """
    victim = served.server(TRANSFORMER)
    running = begin(served.url)
    time.sleep(BEFORE_S)
    victim.terminate()
    began = time.monotonic()
    noticed_s = wait_for(lambda: not served.all_ready() or served.get("/v2/health/ready")[0] == 503, RECOVER_S)
    time.sleep(max(0.0, began + 2.0 - time.monotonic()))
    last = begin(served.url, ("detector many",), rate=2, timeout_ms=LONGEST_MS)
    time.sleep(max(0.0, began + 4.5 - time.monotonic()))
    running.end()
    last.end()
    records = running.stop() + last.stop()
    overtime_s = max((record.at + record.seconds for record in records), default=0.0) - began
    ended = wait_for(lambda: not victim.is_running(), RECOVER_S) is not None
    recovered_s = time.monotonic() - began if ended and wait_for(served.all_ready, RECOVER_S) is not None else None
    late = [record for record in records if record.at > began + LATE_S and record.outcome in (REFUSED, CUT, "503")]
    outcome = judge([record for record in records if record not in late], frozenset({"200", "429", "504"}))
    broken = (*outcome.broken, *(() if recovered_s else ("not started again",)))
    broken += () if "exit code 0" in served.log() else ("did not end with exit code 0",)
    note = f"last answer {overtime_s:.1f} s after SIGTERM"
    if late:
        note += f"; {len(late)} requests came after the drain and do not count"
    return dataclasses.replace(outcome, noticed_s=noticed_s, recovered_s=recovered_s, broken=broken, note=note)
