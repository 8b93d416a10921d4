"""What is tuned, in Triton's ModelConfig, and the candidates: pure functions."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from google.protobuf.message import Message
from tritonclient.grpc import model_config_pb2

from exporters.config import THREADS

# Instances whose threads together exceed the cores by more only take turns.
OVERSUBSCRIPTION = 2
DELAYS_US = (0, 500, 2000, 5000)
PREFERRED = ((), (1,), (4,), (8,))


@dataclass(frozen=True)
class Knobs:
    """A placement of a model on the cores, and its batching."""

    instances: int  # that infer at the same time, each one batch
    # of each; None for a platform without a parameter for it, or for a config that leaves it to the engine
    threads: int | None
    delay_us: int = 0  # how long the first request of a batch waits for others
    preferred: tuple[int, ...] = ()  # sizes of batches that are sent at once; without any, what waits is sent together

    def __str__(self) -> str:
        threads = "" if self.threads is None else f" of {self.threads} thread{'s' * (self.threads != 1)}"
        delay = f", delay {self.delay_us / 1000:g} ms" if self.delay_us else ""
        sizes = f", batches of {', '.join(map(str, self.preferred))}" if self.preferred else ""
        return f"{self.instances} instance{'s' * (self.instances != 1)}{threads}{delay}{sizes}"


def read(config: Any) -> Knobs:
    """What a ModelConfig message says."""
    threads = config.parameters[THREADS[config.platform][0]].string_value if _names_threads(config) else ""
    batching = config.dynamic_batching
    return Knobs(
        sum(group.count or 1 for group in config.instance_group) or 1,
        int(threads) if threads.isdecimal() and int(threads) else None,
        batching.max_queue_delay_microseconds,
        tuple(batching.preferred_batch_size),
    )


def applied(config: Any, knobs: Knobs) -> Any:
    """A copy of a ModelConfig message with other knobs; all else in it is kept."""
    new = model_config_pb2.ModelConfig()
    new.CopyFrom(config)
    del new.instance_group[1:]
    (new.instance_group[0] if new.instance_group else new.instance_group.add()).count = knobs.instances
    if knobs.threads is not None:
        new.parameters[THREADS[config.platform][0]].string_value = str(knobs.threads)
    if batches(config):
        new.dynamic_batching.max_queue_delay_microseconds = knobs.delay_us
        new.dynamic_batching.preferred_batch_size[:] = knobs.preferred
        if not knobs.delay_us:
            new.dynamic_batching.ClearField("max_queue_delay_microseconds")
    return new


def coarse(present: Knobs, cores: int, threaded: bool) -> list[Knobs]:
    """The present knobs, and placements that share the cores in powers of two.

    Args:
        present: of the model.
        cores: to share.
        threaded: whether the model's platform has a parameter for threads.
    """
    shares = [2**power for power in range(cores.bit_length()) if 2**power <= cores]
    placements = [*((instances, cores // instances) for instances in shares), (1, 1)]
    found = [replace(present, instances=count, threads=threads if threaded else None) for count, threads in placements]
    return list(dict.fromkeys([present, *found]))


def neighbours(best: Knobs, cores: int, batch: int) -> list[Knobs]:
    """What differs from a candidate by one step: in its placement first, then in its batching.

    Args:
        best: the candidate.
        cores: to share.
        batch: the largest batch that the model takes; 0 for a model that Triton's batcher does not serve.
    """
    return list(dict.fromkeys(one for one in _neighbours(best, cores, batch) if one != best))


def batches(config: Any) -> bool:
    """Whether Triton's dynamic batcher puts requests to the model together."""
    return bool(config.HasField("dynamic_batching") and config.max_batch_size > 1)


def _neighbours(best: Knobs, cores: int, batch: int) -> Iterator[Knobs]:
    threads = best.threads or 1
    steps = [(best.instances + step, threads) for step in (1, -1)]
    steps += [(best.instances, threads + step) for step in (1, -1)] if best.threads else []
    for instances, count in steps:
        if instances > 0 and count > 0 and instances * count <= OVERSUBSCRIPTION * cores:
            yield replace(best, instances=instances, threads=count if best.threads else None)
    if batch:
        longer = [delay for delay in DELAYS_US if delay > best.delay_us][:1]
        shorter = [delay for delay in DELAYS_US if delay < best.delay_us][-1:]
        for delay in (*longer, *shorter):
            yield replace(best, delay_us=delay)
        for sizes in PREFERRED:
            if max(sizes, default=0) <= batch:
                yield replace(best, preferred=sizes)


def threaded(config: Any) -> bool:
    """Whether the platform of a ModelConfig message has a parameter for threads."""
    return config.platform in THREADS


def _names_threads(config: Message | Any) -> bool:
    return threaded(config) and THREADS[config.platform][0] in config.parameters
