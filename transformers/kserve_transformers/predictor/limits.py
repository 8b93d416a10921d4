"""The limits that decide when a model is probed, trusted and used. Every duration is in seconds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PredictorLimits:
    """Limits of one model's health, releases and queue.

    Attributes:
        probe_timeouts_s: timeouts of late probes in a row. When all of them passed without an answer, the model is not
            ready. There are two because a full queue can make a single probe late.
        probe_retry_s: pause between two probes, except after the first late one.
        idle_min_s: a model that answered within this time is not probed.
        idle_max_s: a model that has not answered for this time is probed, however long its probes take. It must leave
            time for all `probe_timeouts_s` within `fresh_s`.
        probe_share: largest share of all time that probes of an idle model take, between the two limits above.
        golden_check_s: the golden sample is checked at least this often, also while callers get answers: a wrong
            answer is not an error to Triton.
        fresh_s: a model is ready for this time after its last good answer.
        failures_to_open: failed requests in a row that open the circuit breaker. Only a right golden answer closes it.
        blame_timeout_s: timeouts below this are not counted as failures of the model.
        recovery_s: how long a request waits for a model that lost its process before the request was carried out.
        learn_timeout_s: timeout of reading a declaration; the first inference after a model was loaded takes longer.
        follow_interval_s: how often the follower of releases reads which release is assigned.
        warm_up_inferences: right golden answers that a release must give before it takes over.
        warm_up_timeout_s: timeout of each of them.
        queue_target_s: how long the batches that were handed to the model may take together. A probe and a request with
            a short timeout wait this long behind them.
        queue_concurrency: batches that may always run at once, so that neither of two instances waits for the next one.
        queue_smoothing: weight of the newest measurement of the throughput, between 0 and 1.
    """

    probe_timeouts_s: tuple[float, float] = (1.5, 2.5)
    probe_retry_s: float = 0.5
    idle_min_s: float = 2.0
    idle_max_s: float = 5.0
    probe_share: float = 0.03
    golden_check_s: float = 30.0
    fresh_s: float = 10.0
    failures_to_open: int = 3
    blame_timeout_s: float = 2.0
    recovery_s: float = 5.0
    learn_timeout_s: float = 20.0
    follow_interval_s: float = 0.5
    warm_up_inferences: int = 3
    warm_up_timeout_s: float = 10.0
    queue_target_s: float = 0.2
    queue_concurrency: int = 4
    queue_smoothing: float = 0.1


DEFAULT_LIMITS = PredictorLimits()
