"""The backend processes of a Triton's models: which there are, and what is to be seen of them."""

import contextlib
import time
from collections.abc import Sequence
from threading import Lock

import psutil

from modelport.stack.diagnosis import Sight
from modelport.stack.sight import see

STUB = "triton_python_backend_stub"
SCAN_INTERVAL_S = 30.0  # a model's second process may start a moment after its first


class Stubs:
    """Looks for the processes seldom, since that reads the command lines of the whole machine, and at them often.

    Models may be loaded and unloaded by other threads meanwhile.

    Args:
        shm_prefix: of the Triton's regions; it stands in the command line of each of its processes.
    """

    def __init__(self, shm_prefix: str) -> None:
        self._shm_prefix = shm_prefix
        self._pids: dict[str, list[int]] = {}
        self._expected: dict[str, int] = {}
        self._scanned_at = 0.0
        self._lock = Lock()

    def scan(self, models: Sequence[str]) -> dict[str, list[int]]:
        """The processes that run at this moment, by model."""
        found: dict[str, list[int]] = {model: [] for model in models}
        for process in psutil.process_iter(["cmdline"]):
            command = " ".join(process.info["cmdline"] or [])
            if STUB in command and self._shm_prefix in command:
                for model in models:
                    if f"/{model}/" in command:
                        found[model].append(process.pid)
        return found

    def sight(self, models: Sequence[str], model: str, owes: bool, wrong: bool) -> Sight:
        """What is seen of a model; the first look, and one each half minute, counts its processes.

        One that is not among the models, because it was just unloaded, must have no processes.
        """
        now = time.monotonic()
        if model not in models:
            return Sight(now, (), 0)
        with self._lock:
            if now - self._scanned_at > SCAN_INTERVAL_S or not self._pids.get(model):
                self._scanned_at = now
                self._pids = self.scan(models)
                for name, pids in self._pids.items():
                    self._expected[name] = max(self._expected.get(name, 0), len(pids))
            pids, expected = self._pids[model], self._expected[model]
        seen = [see(pid, closely=owes) for pid in pids]
        return Sight(now, tuple(one for one in seen if one is not None), expected, owes, wrong)

    def forget(self, model: str) -> None:
        """Its processes end, and others come."""
        with self._lock:
            self._pids.pop(model, None)
            self._expected.pop(model, None)

    def forget_all(self) -> None:
        """Likewise, of all models."""
        with self._lock:
            self._pids.clear()
            self._expected.clear()

    def kill(self, model: str) -> None:
        """End the processes of a model."""
        for pid in self.scan([model])[model]:
            with contextlib.suppress(psutil.NoSuchProcess):
                psutil.Process(pid).kill()
