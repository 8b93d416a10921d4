"""How far a run is: tqdm's bar; in the transformer image, which lacks tqdm, a line every second for the pod's log."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def progress(total: int) -> Iterator[Callable[[], object]]:
    """Gives what is called after each input."""
    if total < 2:
        yield lambda: None
        return
    try:
        from tqdm import tqdm
    except ImportError:
        yield _Lines(total).step
    else:
        with tqdm(total=total, file=sys.stderr, unit="file") as bar:
            yield bar.update


class _Lines:
    def __init__(self, total: int) -> None:
        self._total, self._done, self._told = total, 0, time.monotonic()

    def step(self) -> None:
        self._done += 1
        if time.monotonic() - self._told >= 1:
            self._told = time.monotonic()
            sys.stderr.write(f"{self._done} of {self._total}\n")
