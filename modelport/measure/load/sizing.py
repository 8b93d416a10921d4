"""From service times to replicas, HPA settings and nodes."""

from __future__ import annotations

import math
from dataclasses import dataclass

from modelport.measure.load.queueing import Service, replicas_for, response_s

# The share of a node's cores that is left to pods, after the system's own and the network's.
NODE_SHARE = 0.9
# What an autoscaler must be able to add while new pods start: twice what the target needs.
HEADROOM = 2


@dataclass(frozen=True)
class Sizing:
    """What a target takes.

    Attributes:
        replicas: pods, each a transformer with its Triton.
        cores: what each asks for, transformer and Triton together.
        utilisation: of those cores at the target; what the HPA holds, per cent.
        nodes: of the size that was asked for.
        response_s: predicted, for the share that was asked for.
    """

    replicas: int
    cores: int
    utilisation: int
    nodes: int
    response_s: float

    def lines(self) -> list[str]:
        """For people."""
        return [
            f"{self.replicas} replicas of {self.cores} cores, each at {self.utilisation} % of them: "
            f"{self.nodes} nodes; predicted {1000 * self.response_s:.0f} ms",
            f"HPA: minReplicas {max(2, math.ceil(self.replicas / 4))}, maxReplicas {self.replicas * HEADROOM}, "
            f"scaleMetric cpu, scaleTarget {self.utilisation}, where the pod's requests are {self.cores} CPUs in all",
        ]


def size(service: Service, rate: float, share: float, within_s: float, cpu_s: float, node_cores: int) -> Sizing | None:
    """What answers this share of so many requests a second in time; None where no number of pods, or no node, can.

    Args:
        service: one replica at work.
        rate: requests a second, of all replicas.
        share: 0..1.
        within_s: seconds.
        cpu_s: processor time of a request, transformer and Triton together.
        node_cores: of a node.
    """
    count = replicas_for(service, rate, share, within_s)
    if count is None:
        return None
    each = rate / count
    cores = max(1, math.ceil(service.capacity * cpu_s))  # a pod that is never throttled while it works at its limit
    pods_a_node = math.floor(node_cores * NODE_SHARE / cores)
    if pods_a_node == 0:
        return None
    utilisation = round(100 * each * cpu_s / cores)
    return Sizing(count, cores, utilisation, math.ceil(count / pods_a_node), response_s(service, each, share))
