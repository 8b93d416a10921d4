"""Deadlines."""

import asyncio
import contextlib
import math
import time
from types import SimpleNamespace

import pytest
from starlette.datastructures import Headers

from kserve_transformers.body_limit import BodyLimit
from kserve_transformers.deadline import BEGAN, TIMEOUT_HEADER, Deadline, count_from
from kserve_transformers.errors import BadRequestError, TooLateError


@pytest.fixture
def clock_stopped(monkeypatch):
    monkeypatch.setattr("kserve_transformers.deadline.time", SimpleNamespace(monotonic=lambda: 1000.0))


@pytest.mark.usefixtures("clock_stopped")
def test_the_server_caps_what_a_request_asks_for():
    assert Deadline.of_request({}, 10).remaining_s() == 10
    assert Deadline.of_request({TIMEOUT_HEADER: "60000"}, 10).remaining_s() == 10
    assert Deadline.of_request({TIMEOUT_HEADER: "2500"}, 10).remaining_s() == 2.5


@pytest.mark.parametrize("value", ["", "0", "-5", "1.5", "soon", "²"])
def test_malformed_headers(value):
    with pytest.raises(BadRequestError):
        Deadline.of_request({TIMEOUT_HEADER: value}, 10)


@pytest.mark.usefixtures("clock_stopped")
def test_a_share_divides_what_is_left():
    assert Deadline.after(9).share(3).remaining_s() == 3


def test_nothing_is_left_after_it():
    with pytest.raises(TooLateError):
        Deadline.after(0).remaining_s()


async def _of_request(began, latest=math.inf, own=None):
    """In a task of its own, as each request is."""
    count_from(began, latest)
    return Deadline.of_request({TIMEOUT_HEADER: own} if own else {}, 10)


async def test_a_requests_deadline_counts_from_its_first_byte():
    assert (await _of_request(1000)).at == 1010
    assert (await _of_request(1000, own="2500")).at == 1002.5
    assert (await _of_request(1000, own="60000")).at == 1010
    assert (await _of_request(1000, 1001, own="2500")).at == 1001


@pytest.mark.parametrize(
    ("age_s", "sent", "expected"),
    [
        pytest.param(0.0, [b"", b"x"], b"x", id="in time"),
        pytest.param(5.0, [b"x"], b"x", id="late, but here already"),
        pytest.param(5.0, [], TooLateError, id="the upload took longer than the request allows"),
    ],
)
async def test_the_body_of_a_request_has_its_deadline(age_s, sent, expected):
    """The request is as old as the test says: nothing depends on how long anything takes."""
    messages = iter(sent)

    async def receive():
        for body in messages:
            return {"type": "http.request", "body": body, "more_body": body == b""}
        return await asyncio.Event().wait()

    async def app(scope, receive, send):
        with pytest.raises(expected) if isinstance(expected, type) else contextlib.nullcontext():
            while (message := await receive())["more_body"]:
                pass
            assert message["body"] == expected
        deadline = Deadline.of_request(Headers(scope=scope), 60)
        assert deadline.at == scope[BEGAN] + 4

    headers = [(TIMEOUT_HEADER.encode(), b"4000")]
    scope = {"type": "http", "headers": headers, BEGAN: time.monotonic() - age_s}
    await BodyLimit(app, 100, 60)(scope, receive, None)
