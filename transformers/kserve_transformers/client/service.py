"""One service of a running server, asked for answers; busy servers are asked again."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Self

import httpx
import orjson

_RETRIED = (429, 503)
_MAX_WAIT_S = 10.0


class AskError(Exception):
    """There is no answer; the message is the server's own where it gave one."""


class Service:
    """A service over V1.

    Args:
        url: of the server.
        name: of the service.
        timeout_s: for one answer, with all that it is asked again.
        connections: how many threads will ask.
    """

    def __init__(self, url: str, name: str, timeout_s: float, connections: int) -> None:
        limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
        self._client = httpx.Client(base_url=url, timeout=timeout_s, limits=limits)
        self._name = name
        self._timeout_s = timeout_s

    def __enter__(self) -> Self:
        """The service itself."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close the connections."""
        self._client.close()

    def window_length(self) -> int | None:
        """How many numbers a window has; None where the service takes images.

        Raises:
            AskError: nothing answers there, or it has no such service.
        """
        metadata = self._send("GET", f"/v2/models/{self._name}")
        (declared,) = metadata["inputs"]
        if declared["datatype"] == "BYTES":
            return None
        length = int(declared["shape"][-1])
        if length < 0:
            raise AskError(f"{self._name} does not know yet how long a window is: its model is not ready")
        return length

    def ask_image(self, data: bytes) -> Any:
        """The prediction for one encoded image."""
        (prediction,) = self._predict(data, "application/octet-stream")
        return prediction

    def ask_windows(self, windows: Sequence[list[float]], at_once: int = 32) -> list[Any]:
        """A prediction for each window of a series."""
        predictions: list[Any] = []
        for start in range(0, len(windows), at_once):
            body = orjson.dumps({"instances": windows[start : start + at_once]})
            predictions += self._predict(body, "application/json")
        return predictions

    def _predict(self, body: bytes, content_type: str) -> list[Any]:
        answer = self._send("POST", f"/v1/models/{self._name}:predict", body, content_type)
        predictions: list[Any] = answer["predictions"]
        return predictions

    def _send(self, method: str, path: str, body: bytes = b"", content_type: str = "application/json") -> Any:
        until = time.monotonic() + self._timeout_s
        while True:
            left_s = until - time.monotonic()
            headers = {"content-type": content_type, "x-request-timeout-ms": str(max(1, int(left_s * 1000)))}
            try:
                response = self._client.request(method, path, content=body, headers=headers, timeout=max(left_s, 0.001))
            except httpx.HTTPError as exc:
                raise AskError(f"{type(exc).__name__}: {exc}") from exc
            if response.status_code == 200:
                return response.json()
            wait_s = min(_retry_after_s(response), _MAX_WAIT_S)
            if response.status_code not in _RETRIED or time.monotonic() + wait_s >= until:
                raise AskError(f"{response.status_code} {_message(response)}")
            time.sleep(wait_s)


def _retry_after_s(response: httpx.Response) -> float:
    asked = response.headers.get("retry-after", "1")
    return float(asked) if asked.isdigit() else 1.0


def _message(response: httpx.Response) -> str:
    try:
        return str(response.json()["error"])
    except (ValueError, KeyError, TypeError):
        return response.text[:200]
