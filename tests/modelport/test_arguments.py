"""What commands share."""

import argparse
import sys

import pytest

from modelport.arguments import errors_in_one_line, server_url


class HalfMade:
    def __init__(self):
        raise KeyboardInterrupt

    def __del__(self):
        raise AttributeError("_stream")


def test_what_an_interruption_cut_short_says_nothing(monkeypatch, capsys):
    complaints = []
    monkeypatch.setattr(sys, "unraisablehook", complaints.append)
    hook = sys.unraisablehook

    @errors_in_one_line(interrupted="interrupted: nothing was written")
    def main() -> int:
        HalfMade()
        return 0

    assert main() == 130
    assert capsys.readouterr().err == "interrupted: nothing was written\n"
    assert (complaints, sys.unraisablehook) == ([], hook)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        pytest.param("http://127.0.0.1:8080", "http://127.0.0.1:8080", id="host and port"),
        pytest.param("https://example.org/modelport/", "https://example.org/modelport", id="slash at the end"),
        pytest.param("http://[::1]:8080", "http://[::1]:8080", id="IPv6"),
        pytest.param("example.org", None, id="no scheme"),
        pytest.param("127.0.0.1:8080", None, id="no scheme, port"),
        pytest.param("ftp://example.org", None, id="another scheme"),
        pytest.param("http://", None, id="no host"),
        pytest.param("http://example.org:99999", None, id="no such port"),
        pytest.param("http://example.org:port", None, id="text as port"),
        pytest.param("", None, id="empty"),
    ],
)
def test_addresses_of_servers(text, read):
    if read is not None:
        assert server_url(text) == read
        return
    with pytest.raises(argparse.ArgumentTypeError, match=r"is no address of a server: write http://HOST:PORT"):
        server_url(text)
