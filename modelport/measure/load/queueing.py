"""How long requests wait for a model, and how many replicas keep that short: M/G/c by Allen and Cunneen.

A replica is a queue of its own, since what stands before the replicas deals requests out without looking. What waits
is served in order, by as many servers as the model has instances in a replica.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Service:
    """One replica at work.

    Args:
        mean_s: of the time that a request takes when it is alone, seconds.
        scv: its squared coefficient of variation: 0 for always the same, 1 for exponential.
        servers: requests that are worked on at once.
    """

    mean_s: float
    scv: float
    servers: int

    @property
    def capacity(self) -> float:
        """Requests a second that a replica can just work off."""
        return self.servers / self.mean_s


def erlang_c(servers: int, offered: float) -> float:
    """The share of requests that must wait in M/M/c.

    Args:
        servers: c, at least 1.
        offered: arrival rate times mean service time; below c, else all wait.

    Source:
        Erlang's recursion for the blocking probability B, then C = B / (1 - rho (1 - B)).
    """
    if offered >= servers:
        return 1.0
    blocked = 1.0
    for count in range(1, servers + 1):
        blocked = offered * blocked / (count + offered * blocked)
    return blocked / (1 - offered / servers * (1 - blocked))


def mean_wait_s(service: Service, rate: float) -> float:
    """Mean time in the queue of one replica that gets so many requests a second, at random; infinite if too many.

    Source:
        Allen and Cunneen's approximation: that of M/M/c times (1 + scv) / 2; exact for c = 1 (Pollaczek, Khinchine).
    """
    spare = service.capacity - rate
    if spare <= 0:
        return math.inf
    return erlang_c(service.servers, rate * service.mean_s) / spare * (1 + service.scv) / 2


def response_s(service: Service, rate: float, share: float) -> float:
    """The time within which this share of requests is answered, roughly: waiting, and the service itself.

    Who must wait does so exponentially, with the mean that Allen and Cunneen give; on top comes a service at its
    mean plus the wait's own share of its deviation, for those who do not wait. Tests hold it against simulations.

    Args:
        service: of one replica.
        rate: requests a second that it gets.
        share: 0..1, 0.99 for p99.
    """
    mean_s = mean_wait_s(service, rate)
    if math.isinf(mean_s):
        return math.inf
    waits = erlang_c(service.servers, rate * service.mean_s)
    waited_s = mean_s / waits * math.log(waits / (1 - share)) if waits > 1 - share else 0.0
    spread_s = service.mean_s * math.sqrt(service.scv)
    alone_s = service.mean_s + spread_s * (-math.log(1 - share) - 1) if service.scv else service.mean_s
    return max(waited_s + service.mean_s, alone_s)


def replicas_for(service: Service, rate: float, share: float, within_s: float) -> int | None:
    """The fewest replicas that answer this share of so many requests a second in time; None where none could."""
    if response_s(service, 0.0, share) > within_s:
        return None
    count = max(1, math.ceil(rate / service.capacity))
    while response_s(service, rate / count, share) > within_s:
        count += 1
    return count
