"""Deadlines."""

import pytest

from kserve_transformers.deadline import TIMEOUT_HEADER, Deadline
from kserve_transformers.errors import BadRequestError, TooLateError


def test_the_server_caps_what_a_request_asks_for():
    assert Deadline.of_request({}, 10).remaining_s() == pytest.approx(10, abs=0.5)
    assert Deadline.of_request({TIMEOUT_HEADER: "60000"}, 10).remaining_s() == pytest.approx(10, abs=0.5)
    assert Deadline.of_request({TIMEOUT_HEADER: "2500"}, 10).remaining_s() == pytest.approx(2.5, abs=0.5)


@pytest.mark.parametrize("value", ["", "0", "-5", "1.5", "soon", "²"])
def test_malformed_headers(value):
    with pytest.raises(BadRequestError):
        Deadline.of_request({TIMEOUT_HEADER: value}, 10)


def test_a_share_divides_what_is_left():
    assert Deadline.after(9).share(3).remaining_s() == pytest.approx(3, abs=0.5)


def test_nothing_is_left_after_it():
    with pytest.raises(TooLateError):
        Deadline.after(0).remaining_s()
