"""A client of one service of a running server; requests to a busy server are retried."""

import base64
import os
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any, Self

import httpx
import orjson

API_KEY = "MODELPORT_API_KEY"  # environment variable with the key of a server that requires one
_RETRIED = (429, 503)
_MAX_WAIT_S = 10.0


class RequestError(Exception):
    """There is no answer; the message is the server's own where it gave one."""


class UnreachableError(RequestError):
    """Nothing answers at the server's address: no other request would be answered either."""


class Service:
    """A service over V1.

    Args:
        url: of the server.
        name: of the service.
        timeout_s: for one answer, retries included.
        connections: how many threads send requests.
        parameters: of every request.

    Raises:
        RequestError: the URL is malformed.
    """

    def __init__(
        self, url: str, name: str, timeout_s: float, connections: int, parameters: Mapping[str, Any] | None = None
    ) -> None:
        limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
        key = os.environ.get(API_KEY)
        headers = {"authorization": f"Bearer {key}"} if key else {}
        try:
            self._client = httpx.Client(base_url=url, headers=headers, timeout=timeout_s, limits=limits)
        except httpx.InvalidURL as exc:
            raise RequestError(f"--url is not a URL: {exc}") from exc
        self._url = re.sub("//[^/]*@", "//", url)  # as errors name it, without a password
        self._name = name
        self._timeout_s = timeout_s
        self._parameters = dict(parameters or {})

    def __enter__(self) -> Self:
        """The service itself."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close the connections."""
        self._client.close()

    def window_length(self) -> int | None:
        """How many numbers a window has; None where the service takes images.

        Raises:
            RequestError: nothing answers there, or it has no such service.
        """
        metadata = self._send("GET", f"/v2/models/{self._name}", patient=False)
        try:
            (declared,) = metadata["inputs"]
            if declared["datatype"] == "BYTES":
                return None
            length = int(declared["shape"][-1])
        except (KeyError, TypeError, ValueError) as exc:
            raise RequestError(f"{self._url} is not a Modelport server: its metadata is another's") from exc
        if length < 0:
            raise RequestError(f"{self._name} does not know yet how long a window is: its model is not ready")
        return length

    def predict_image(self, data: bytes) -> Any:
        """The prediction for one encoded image."""
        if self._parameters:
            (prediction,) = self._predict_json([{"b64": base64.b64encode(data).decode()}])
        else:
            (prediction,) = self._predict(data, "application/octet-stream", 1)
        return prediction

    def predict_windows(self, windows: Sequence[list[float]], at_once: int = 32) -> list[Any]:
        """A prediction for each window of a series."""
        predictions: list[Any] = []
        for start in range(0, len(windows), at_once):
            predictions += self._predict_json(windows[start : start + at_once])
        return predictions

    def _predict_json(self, instances: Sequence[Any]) -> list[Any]:
        parameters = {"parameters": self._parameters} if self._parameters else {}
        body = orjson.dumps({"instances": instances, **parameters})
        return self._predict(body, "application/json", len(instances))

    def _predict(self, body: bytes, content_type: str, count: int) -> list[Any]:
        answer = self._send("POST", f"/v1/models/{self._name}:predict", body, content_type)
        predictions = answer.get("predictions") if isinstance(answer, dict) else None
        if not isinstance(predictions, list) or len(predictions) != count:
            raise RequestError(f"{self._url} is not a Modelport server: it did not answer {count} predictions")
        return predictions

    def _send(
        self, method: str, path: str, body: bytes = b"", content_type: str = "application/json", patient: bool = True
    ) -> Any:
        """Send a request until it is answered. A server that cannot be reached may be starting, unless not patient."""
        until, lost = time.monotonic() + self._timeout_s, False
        while True:
            left_s = until - time.monotonic()
            headers = {"content-type": content_type, "x-request-timeout-ms": str(max(1, int(left_s * 1000)))}
            try:
                response = self._client.request(method, path, content=body, headers=headers, timeout=max(left_s, 0.001))
            except httpx.TimeoutException as exc:
                raise RequestError(f"no answer from {self._url} within {self._timeout_s:g} s") from exc
            except httpx.ConnectError as exc:
                if not patient or time.monotonic() + 1 >= until:
                    raise UnreachableError(
                        f"{self._url} cannot be reached ({exc}): is the server running? --url names another address"
                    ) from exc
                time.sleep(1)
                continue
            except httpx.TransportError as exc:
                if lost or isinstance(exc, httpx.UnsupportedProtocol):
                    raise RequestError(f"{self._url}: {exc or 'the server closed the connection'}") from exc
                lost = True
                continue
            if response.status_code == 200:
                try:
                    return response.json()
                except ValueError as exc:
                    raise RequestError(f"{self._url} is not a Modelport server: its answer is not JSON") from exc
            wait_s = min(_retry_after_s(response), _MAX_WAIT_S)
            if response.status_code not in _RETRIED or time.monotonic() + wait_s >= until:
                raise RequestError(f"{response.status_code} {_message(response)}")
            time.sleep(wait_s)


def _retry_after_s(response: httpx.Response) -> float:
    asked = response.headers.get("retry-after", "1")
    return float(asked) if asked.isdigit() else 1.0


def _message(response: httpx.Response) -> str:
    try:
        return str(response.json()["error"])
    except (ValueError, KeyError, TypeError):
        return response.text[:200]
