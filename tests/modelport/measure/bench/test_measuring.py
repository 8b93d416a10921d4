"""A measurement of a real HTTP server whose answers take a known time."""

import re
import time

import pytest
from werkzeug import Response

from modelport.measure.bench.measuring import Load, call
from modelport.measure.generator.requests import Request

SLEEP_S = 0.02


@pytest.fixture
def port(httpserver):
    def answer(request):
        time.sleep(SLEEP_S)
        closing = {"connection": "close"} if request.path == "/closing" else {}
        stages = {"server-timing": "infer;dur=20.0, queue;dur=1.5"}
        return Response("{}", 200 if request.path == "/good" else 503, {**stages, **closing})

    httpserver.expect_request(re.compile("/.*")).respond_with_handler(answer)
    return httpserver.port


def test_answers_are_timed_and_their_stages_kept(port):
    report = call(port, Load("raw body", Request("/good", b"x", {}), 4, 0.5))
    assert min(report.latencies_s) >= SLEEP_S
    assert report.seconds >= 0.5
    # Four callers without pauses: on average four requests are under way (Little's law), never more.
    assert 0 < sum(report.latencies_s) / (report.seconds + max(report.latencies_s)) <= 4.01
    assert report.stages_ms == pytest.approx({"infer": 20.0, "queue": 1.5})
    assert report.failed == {}
    assert report.pace_ms > 0
    assert report.own_s > 0


@pytest.mark.parametrize("path", ["/bad", "/closing"])
def test_refusals_are_counted_apart_whether_or_not_the_server_closes(port, path):
    report = call(port, Load("raw body", Request(path, b"x", {}), 2, 0.2))
    assert report.latencies_s == []
    assert set(report.failed) == {"503"}
    assert report.failed["503"] >= 1
