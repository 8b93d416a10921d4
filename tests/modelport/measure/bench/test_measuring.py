"""A measurement of a real HTTP server whose answers take a known time."""

import re
import time

import pytest
from werkzeug import Response

from modelport.measure.bench.measuring import Load, call, point
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
    latencies = [record.seconds for record in report.records]
    assert min(latencies) >= SLEEP_S
    assert report.seconds >= 0.5
    # Four callers without pauses: on average four requests are under way (Little's law), never more.
    assert 0 < sum(latencies) / (report.seconds + max(latencies)) <= 4.01
    found = point("detector", "ours", "raw body", 4, 0, report)
    assert (found.requests, found.failures) == (len(latencies), {})
    assert found.stages_ms == pytest.approx({"infer": 20.0, "queue": 1.5})
    assert found.pace_ms > 0
    assert found.caller_cpu > 0


@pytest.mark.parametrize("path", ["/bad", "/closing"])
def test_refusals_are_counted_apart_whether_or_not_the_server_closes(port, path):
    report = call(port, Load("raw body", Request(path, b"x", {}), 2, 0.2))
    found = point("detector", "ours", "raw body", 2, 0, report)
    assert found.requests == 0
    assert set(found.failures) == {"503"}
    assert found.failures["503"] >= 1
