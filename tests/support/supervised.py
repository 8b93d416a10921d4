"""A stack of digits on an overlay that is supervised and gets images of fives all the time."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator

import httpx
from release_files import choose
from waiting import wait_for

from modelport.manifests.release_file import Choice
from modelport.releases.__main__ import main
from modelport.stack.overlay import OverlaySettings
from modelport.stack.overlay_stack import OverlayStack
from modelport.stack.stack import export_missing

CALLERS = 4


class Supervised:
    """The running stack and what its callers got.

    Attributes:
        answers: of each request what `kind` says of its answer, or the failure of the connection.
        quiet: while it is set, nobody asks.
    """

    def __init__(self, settings: OverlaySettings, kind: Callable[[httpx.Response], str]) -> None:
        self.settings = settings
        self.stack = OverlayStack(settings)
        self.answers: list[str] = []
        self.quiet = threading.Event()
        self._over = threading.Event()
        self._kind = kind
        self._image = (settings.repository / "mnist" / "golden" / "images.png").read_bytes()
        self._threads = [threading.Thread(target=self._supervise)]
        self._threads += [threading.Thread(target=self._ask) for _ in range(CALLERS)]

    def start(self) -> None:
        """Start the stack and its callers."""
        self.stack.start()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop what was started of it."""
        self._over.set()
        for thread in self._threads:
            if thread.ident:
                thread.join()
        self.stack.stop(signal.SIGINT)

    def command(self, *arguments: str) -> int:
        """Run a command on releases for this stack; returns its exit code."""
        places = [f"--manifests={self.settings.manifests}", f"--releases={self.settings.releases}"]
        if arguments[0] in ("canary", "shadow"):
            places.append(f"--port={self.settings.http_port}")
        return main([*arguments, *places])

    def wait_for(self, *predictors: str) -> None:
        """Wait until requests go to these predictors."""
        wait_for(lambda: {p.name for p in self.stack.declared.predictors} == set(predictors))

    def next_answers(self, count: int) -> list[str]:
        """So many more answers."""
        start = len(self.answers)
        wait_for(lambda: len(self.answers) >= start + count)
        return self.answers[start:]

    def _supervise(self) -> None:
        while not self._over.wait(0.5):
            self.stack.check()

    def _ask(self) -> None:
        with httpx.Client(base_url=f"http://127.0.0.1:{self.settings.http_port}", timeout=60) as client:
            while not self._over.is_set():
                if self.quiet.is_set():
                    self._over.wait(0.1)
                    continue
                try:
                    answer = client.post("/digits/predict", content=self._image, headers={"content-type": "image/png"})
                    self.answers.append(self._kind(answer))
                except httpx.HTTPError as error:
                    self.answers.append(repr(error))


@contextlib.contextmanager
def supervised(settings: OverlaySettings, kind: Callable[[httpx.Response], str]) -> Iterator[Supervised]:
    """Run the stack within the block, first with the initial release alone; its manifests must be a test's own."""
    choose(settings.manifests, Choice("initial", "initial", 0))
    export_missing(settings)
    running = Supervised(settings, kind)
    try:
        running.start()
        yield running
    finally:
        running.stop()
