"""From service times to a cluster, by hand."""

from __future__ import annotations

from modelport.measure.load.queueing import Service
from modelport.measure.load.sizing import size


def test_a_million_an_hour_of_a_model_that_takes_80_ms_on_each_of_two_servers():
    found = size(Service(0.08, 0.0, 2), 1e6 / 3600, 0.99, 0.5, cpu_s=0.08, node_cores=8)
    assert found.cores == 2  # 25 requests a second at most, 80 ms of processor time each
    assert found.replicas >= 12  # 277.8 / 25 is 11.1, and at 100 per cent nobody is answered in time
    assert found.utilisation == round(100 * 277.8 / found.replicas * 0.08 / 2)
    assert found.nodes == -(-found.replicas // 3)  # 8 cores, of which 7.2 are left for pods of 2
    assert found.response_s <= 0.5


def test_what_cannot_be_is_said():
    assert size(Service(0.6, 0.0, 2), 10, 0.99, 0.5, cpu_s=0.6, node_cores=8) is None
    assert size(Service(0.08, 0.0, 2), 10, 0.99, 0.5, cpu_s=0.08, node_cores=2) is None  # pods of 2 do not fit 1.8
