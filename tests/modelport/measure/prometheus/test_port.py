"""A port that another server has is refused before Prometheus is started: it would show a stranger's pages."""

import socket

import pytest

from modelport.measure.prometheus.prometheus import check_port
from modelport.stack.errors import StartError


def test_port_that_is_taken_is_one_line():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StartError, match=rf"port {port} cannot be used \(Address already in use\): end what"):
            check_port(port)
    check_port(port)
