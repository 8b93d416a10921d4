"""The limits that decide when a model is probed, trusted and used. Every duration is in seconds."""

from dataclasses import dataclass


@dataclass(frozen=True)
class PredictorLimits:
    """Limits of one model's health, releases and queue."""

    # timeout of the first probe that is late, at least. The next one has all the patience that is left, but no less
    # than this.
    probe_timeout_s: float = 1.5
    # a model that answers nothing for this time, while it is probed, is stalled. It is stretched by what the model took
    # of late and by the pressure on the machine, up to `patience_max_s`.
    patience_s: float = 4.0
    patience_max_s: float = 60.0  # the longest patience
    patience_factor: float = 10.0  # patience as a multiple of the longest probe of late
    probe_retry_s: float = 0.5  # pause between two probes, except after a late one
    owed_s: float = 2.0  # a model that owes requests an answer for this time, and gives none to anybody, is probed
    idle_min_s: float = 5.0  # an idle model is probed when it has answered nobody for this time,
    idle_max_s: float = 15.0  # and for this time where its probes take long
    watched_idle_s: float = 120.0  # the same, however long they take, where a supervisor watches its processes
    # largest share of all time that probes of an idle model take, between these limits. Probes of a model that is
    # suspected or owes answers may take ten times this share.
    probe_share: float = 0.01
    # the golden sample is checked at least this often while callers get answers: a wrong answer is not an error to
    # Triton. It also bounds the growing pauses between probes that failed requests cause.
    golden_check_s: float = 30.0
    blame_timeout_s: float = 2.0  # timeouts of callers below this are no reason for a probe
    # how long a request waits for a model that lost its process before the request was carried out
    recovery_s: float = 5.0
    # timeout of reading a declaration; the first inference after a model was loaded takes longer
    learn_timeout_s: float = 20.0
    follow_interval_s: float = 0.5  # how often the follower of releases reads which release is assigned
    warm_up_inferences: int = 3  # right golden answers that a release must give before it takes over
    warm_up_timeout_s: float = 10.0  # timeout of each of them
    # how long the batches that were handed to the model may take together. A probe and a request with a short timeout
    # wait this long behind them.
    queue_target_s: float = 0.2
    # batches that may always run at once, so that neither of two instances waits for the next one
    queue_concurrency: int = 4
    # batches that run at once whatever their deadlines: their answers correct a wrong estimate
    queue_unconditional: int = 2
    # any other batch is rejected if its answer is expected later than after this share of the time that its deadline
    # leaves
    queue_deadline_share: float = 0.7
    queue_smoothing: float = 0.1  # weight of the newest measurement of the throughput, between 0 and 1

    def patience(self, slowest_s: float, pressure: float) -> float:
        """How long a model may answer nothing before it counts as stalled.

        Args:
            slowest_s: the longest right probe of late.
            pressure: the share of the time, 0 to 1, in which processes of this machine had to wait for it.
        """
        unhurried_s = max(self.patience_s, self.patience_factor * slowest_s)
        stretch = 1 + (self.patience_max_s / self.patience_s - 1) * pressure**2
        return min(self.patience_max_s, unhurried_s * stretch)

    def fresh_s(self, watched: bool) -> float:
        """A model is ready for this time after its last right answer: the longest idle time, and all patience."""
        return (self.watched_idle_s if watched else self.idle_max_s) + self.patience_max_s + self.owed_s


DEFAULT_LIMITS = PredictorLimits()
