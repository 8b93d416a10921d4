"""What a running Envoy has counted of each cluster: answers by outcome, and how long they took."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import httpx
from prometheus_client.parser import text_string_to_metric_families

from modelport.stack.server import LOOPBACK

_TIMEOUT_S = 5.0
# The parser adds _total to the names of counters that do not end with it.
_FILTER = r"upstream_rq_(total|[1-5]?xx|time|timeout|pending_overflow|pending_failure_eject|active)$"
_CLUSTER = "envoy_cluster_name"
_COUNTERS = {
    "envoy_cluster_upstream_rq": "sent",
    "envoy_cluster_upstream_rq_timeout": "timed_out",
    "envoy_cluster_upstream_rq_pending_overflow": "overflowed",
    "envoy_cluster_upstream_rq_active": "active",
    "envoy_cluster_upstream_rq_pending_failure_eject": "unreachable",
}


@dataclass
class Counters:
    """Counts of a cluster since Envoy started."""

    good: int = 0  # answers 1xx to 3xx
    failed: int = 0  # answers 4xx and 5xx, those that Envoy gave for a server that did not answer too
    sent: int = 0  # requests for which there was a connection
    timed_out: int = 0  # those of them without an answer in time
    overflowed: int = 0  # requests that were not sent, since too many were under way
    unreachable: int = 0  # requests that were not sent, since there was no connection
    active: int = 0  # requests under way now
    # how many answers came within so many ms; cumulative, the last one is infinity
    within: dict[float, int] = field(default_factory=dict)

    @property
    def all(self) -> int:
        """Requests, sent or not."""
        return self.sent + self.overflowed + self.unreachable

    def __add__(self, other: Self) -> Self:
        return self._with(other, 1)

    def __sub__(self, other: Self) -> Self:
        return self._with(other, -1)

    def _with(self, other: Self, sign: int) -> Self:
        names = {name: getattr(self, name) + sign * getattr(other, name) for name in vars(self) if name != "within"}
        bounds = {*self.within, *other.within}
        return type(self)(**names, within={b: self.within.get(b, 0) + sign * other.within.get(b, 0) for b in bounds})


def read_counters(admin_port: int) -> Mapping[str, Counters]:
    """Ask a running Envoy.

    Args:
        admin_port: of its administration on this machine.

    Returns:
        The counters by the clusters' names.

    Raises:
        httpx.HTTPError: it does not answer.
    """
    url = f"http://{LOOPBACK}:{admin_port}/stats/prometheus"
    return parse(httpx.get(url, params={"filter": _FILTER}, timeout=_TIMEOUT_S).raise_for_status().text)


def parse(text: str) -> Mapping[str, Counters]:
    """The counters in Envoy's metrics in Prometheus' text format, by cluster."""
    found: dict[str, Counters] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if _CLUSTER in sample.labels:
                _count(found.setdefault(sample.labels[_CLUSTER], Counters()), sample)
    return found


def _count(counters: Counters, sample: Any) -> None:
    name, value = sample.name.removesuffix("_total"), int(sample.value)
    if name in _COUNTERS:
        setattr(counters, _COUNTERS[name], value)
    elif name == "envoy_cluster_upstream_rq_xx":
        if sample.labels["envoy_response_code_class"] in "123":
            counters.good += value
        else:
            counters.failed += value
    elif name == "envoy_cluster_upstream_rq_time_bucket":
        counters.within[float(sample.labels["le"])] = value
