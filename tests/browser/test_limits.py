"""What the page says where limits are met: those of a server of its own, small ones, over the stack's Triton."""

import contextlib
import re
import socket
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import expect
from waiting import wait_for

from modelport.environment import ROOT

BODY_BYTES = 100_000


@pytest.fixture(scope="module")
def small(stack, serving, tmp_path_factory):
    """A server that hosts digits alone and takes bodies of up to 100 kB."""
    options = ["--service=digits=digits:mnist", f"--predictor_host={stack.triton_http}"]
    options += [f"--max_body_bytes={BODY_BYTES}", f"--model_repository={ROOT / 'model_repository'}"]
    with serving(tmp_path_factory.mktemp("small") / "log", "/v2/health/ready", *options) as url:
        yield url


@contextlib.contextmanager
def held_bodies(url: str) -> Iterator[None]:
    """As many unfinished bodies as make the server refuse more."""
    host, port = url.removeprefix("http://").split(":")
    head = (
        f"POST /digits/predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: {BODY_BYTES}\r\n\r\n"
    )
    with contextlib.ExitStack() as held:
        for _ in range(9):
            connection = held.enter_context(socket.create_connection((host, int(port))))
            connection.sendall(head.encode() + bytes(BODY_BYTES - 1))
        wait_for(lambda: httpx.post(f"{url}/v1/models/digits:predict", content=b"x" * 9, timeout=60).status_code == 429)
        yield


def test_one_service_alone_has_one_tab(visits, small):
    visit = visits(small)
    visit.page.goto(small)
    assert visit.page.locator("#services [role=tab]").all_text_contents() == ["Digits"]
    expect(visit.panel("digits")).to_be_visible()


def test_a_file_that_is_too_large_is_not_sent(visits, small, tmp_path):
    visit = visits(small)
    (tmp_path / "large.bmp").write_bytes(b"BM" + bytes(BODY_BYTES))
    panel = visit.open("digits")
    asked: list[str] = []
    visit.page.on("request", lambda request: asked.append(request.method))
    panel.locator(".choose").set_input_files(tmp_path / "large.bmp")
    expect(panel.get_by_role("alert")).to_contain_text("large.bmp has 100 kB; this server takes images of up to 100 kB")
    assert "POST" not in asked


def test_a_busy_server_is_asked_again_when_it_says(visits, small):
    visit = visits(small)
    visit.provoked.append("status of 429")
    panel = visit.open("digits")
    again = panel.get_by_role("alert").get_by_role("button")
    digit = panel.locator(".digit")
    visit.keep_sayings(panel.locator(".problem button"))
    with held_bodies(small):
        panel.get_by_role("button", name="Try the example").click()
        expect(panel.get_by_role("alert")).to_contain_text("try again shortly.")
        expect(again).to_have_attribute("data-said", re.compile(re.escape("|Try again in 1 s (disabled)")))
        visit.screenshot()
    for _ in range(10):  # the server may be busy with the bodies for a moment
        again.click()
        expect(panel.locator(".answer")).to_have_attribute("aria-busy", "false")
        if digit.is_visible():
            break
    expect(digit).to_have_text("5")
