"""The queueing model against textbook values and against a simulation of a queue."""

from __future__ import annotations

import heapq
import math

import numpy as np
import pytest

from modelport.measure.load.queueing import Service, erlang_c, mean_wait_s, replicas_for, response_s


@pytest.mark.parametrize(
    ("servers", "offered", "expected"),
    [
        pytest.param(1, 0.5, 0.5, id="one server: its load"),
        pytest.param(2, 1.0, 1 / 3, id="two servers at half load"),
        pytest.param(10, 8.0, 0.4092, id="ten at 0.8, by Erlang's table"),
        pytest.param(2, 2.0, 1.0, id="too much for all"),
        pytest.param(3, 0.0, 0.0, id="nothing to do"),
    ],
)
def test_erlangs_share_of_those_who_wait(servers, offered, expected):
    assert erlang_c(servers, offered) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("scv", "expected"), [pytest.param(1, 1.0, id="M/M/1"), pytest.param(0, 0.5, id="M/D/1: half of it")]
)
def test_one_servers_mean_wait_is_pollaczek_and_khinchines(scv, expected):
    assert mean_wait_s(Service(1.0, scv, 1), 0.5) == pytest.approx(expected)


def test_a_queue_that_grows_for_ever_has_no_end_of_waiting():
    assert math.isinf(mean_wait_s(Service(0.1, 0.5, 2), 20.0))
    assert math.isinf(response_s(Service(0.1, 0.5, 2), 20.0, 0.99))


def simulate(service: Service, rate: float, requests: int = 60_000) -> np.ndarray:
    """Response times of a queue with Poisson arrivals and gamma services, first come, first served."""
    random = np.random.default_rng(7)
    arrivals = np.cumsum(random.exponential(1 / rate, requests))
    shape = 1 / service.scv if service.scv else math.inf
    services = (
        random.gamma(shape, service.mean_s / shape, requests) if service.scv else np.full(requests, service.mean_s)
    )
    free = [0.0] * service.servers
    responses = np.empty(requests)
    for number, (arrival, needed) in enumerate(zip(arrivals, services, strict=True)):
        ended = max(arrival, heapq.heappop(free)) + needed
        heapq.heappush(free, ended)
        responses[number] = ended - arrival
    return responses[requests // 10 :]


@pytest.mark.parametrize("load", [0.5, 0.7, 0.85])
@pytest.mark.parametrize(
    "service",
    [
        pytest.param(Service(0.1, 0.0, 1), id="one server, always the same"),
        pytest.param(Service(0.1, 0.05, 1), id="one server, nearly the same"),
        pytest.param(Service(0.1, 0.05, 2), id="two servers, nearly the same"),
        pytest.param(Service(0.1, 1.0, 1), id="one server, exponential"),
        pytest.param(Service(0.02, 0.3, 4), id="four servers"),
    ],
)
def test_predictions_are_near_a_simulation(service, load):
    rate = load * service.capacity
    responses = simulate(service, rate)
    assert mean_wait_s(service, rate) + service.mean_s == pytest.approx(responses.mean(), rel=0.1)
    assert response_s(service, rate, 0.99) == pytest.approx(np.quantile(responses, 0.99), rel=0.25)


def test_the_replicas_found_are_enough_and_one_less_is_not():
    service = Service(0.08, 0.1, 2)
    count = replicas_for(service, 277.8, 0.99, 0.5)
    assert response_s(service, 277.8 / count, 0.99) <= 0.5 < response_s(service, 277.8 / (count - 1), 0.99)


def test_no_number_of_replicas_is_faster_than_the_model():
    assert replicas_for(Service(0.4, 0.1, 2), 10, 0.99, 0.3) is None
