"""A real Chromium in front of the real stack; what no visit may do is watched for all tests."""

import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import transformer
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, expect, sync_playwright
from waiting import wait_for

SCREENSHOTS = Path(__file__).parents[2] / "build" / "browser"
# The machine's network may be closed: Chromium is to ask for nothing on its own.
_QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
_WAIT_MS = 300_000
expect.set_options(timeout=_WAIT_MS)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The system's Chromium; a module's own, since Playwright holds the thread's event loop while it is there."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
    if chromium is None:
        pytest.skip("Chromium is missing: apt-get install chromium")
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=_QUIET, timeout=_WAIT_MS)
        yield started
        started.close()


@pytest.fixture(scope="session")
def serving(free_ports) -> Callable[..., contextlib.AbstractContextManager[str]]:
    """Starts a transformer of its own with options; gives its URL once a path answers 200."""

    @contextlib.contextmanager
    def serve(log: Path, path: str, *options: str) -> Iterator[str]:
        with transformer.serving(log, free_ports(2), "--drain_s=0", "--cors_origins=", *options) as (_, client):
            wait_for(lambda: client.get(path).status_code == 200, log)
            yield str(client.base_url)

    return serve


class Visit:
    """One person's window, and what went wrong in it.

    Args:
        context: of the browser.
        url: of the server; nothing may be asked of another one.
        name: of its screenshots.
    """

    def __init__(self, context: BrowserContext, url: str, name: str) -> None:
        self.problems: list[str] = []
        self.provoked: list[str] = []  # parts of the browser's own lines about requests that a test makes fail
        self.context = context
        self.page: Page = context.new_page()
        self._url = url
        self._name = name
        context.set_default_timeout(_WAIT_MS)
        self.page.on("console", self._on_console)
        self.page.on("pageerror", lambda error: self.problems.append(f"fault: {error}"))
        self.page.on("request", self._on_request)
        self.page.add_init_script(
            "addEventListener('securitypolicyviolation', (e) => console.error('forbidden:', e.violatedDirective))"
        )

    def open(self, service: str) -> Any:
        """Open a service's tab by its own address; returns the tab's panel."""
        self.page.goto(f"{self._url}/{service}/")
        return self.panel(service)

    def panel(self, service: str) -> Any:
        """A service's tab."""
        return self.page.locator(f"#{service}")

    def keep_sayings(self, button: Any) -> None:
        """Keep in the button's attribute data-said all that it says from now on, however shortly."""
        button.evaluate(
            """(button) => {
                button.dataset.said = "";
                const keep = () => {
                    button.dataset.said += `|${button.textContent}${button.disabled ? " (disabled)" : ""}`;
                };
                new MutationObserver(keep).observe(button, { childList: true, attributeFilter: ["disabled"] });
            }"""
        )

    def screenshot(self, name: str = "") -> None:
        """Keep what is seen now in build/browser/."""
        self.page.screenshot(path=SCREENSHOTS / f"{name or self._name}.png", full_page=True, animations="disabled")

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not any(part in message.text for part in self.provoked):
            self.problems.append(f"console: {message.text}")

    def _on_request(self, request: Request) -> None:
        if not request.url.startswith((f"{self._url}/", f"blob:{self._url}/", "data:")):
            self.problems.append(f"asked elsewhere: {request.url}")


@pytest.fixture
def visits(browser, request) -> Iterator[Callable[..., Visit]]:
    """Opens windows on a server; at the end none may have seen an error, or asked anybody else for anything."""
    opened: list[Visit] = []

    def open_window(url: str, **options: Any) -> Visit:
        name = request.node.name.removeprefix("test_").replace("[", "-").removesuffix("]")
        opened.append(Visit(browser.new_context(**{"viewport": {"width": 1180, "height": 900}, **options}), url, name))
        return opened[-1]

    yield open_window
    for visit in opened:
        visit.context.close()
    assert [problem for visit in opened for problem in visit.problems] == []


@pytest.fixture
def visit(visits, stack) -> Visit:
    """A window on the stack, as wide as a laptop's."""
    return visits(stack.http)
