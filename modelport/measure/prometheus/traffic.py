"""Requests of every service, protocol and kind of ending, so that every series has something to tell."""

from __future__ import annotations

import itertools
import json
import math
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from threading import Event

import httpx
import numpy as np
from tritonclient.grpc import InferenceServerClient, InferInput
from tritonclient.utils import InferenceServerException

from kserve_transformers.settings import Limits
from modelport.measure.torture.traffic import PICTURE, Request
from modelport.measure.torture.traffic import requests as torture_requests
from modelport.services import choose
from modelport.stack.demo import sample_requests

# One request in so many is one that must fail.
BAD_EVERY = 8
WAVE_S = 20.0  # the load swells and ebbs, so that lines have a shape


def good_requests() -> list[Request]:
    """What well-behaved callers send over REST: all services, own routes, V1 and V2."""
    asked = torture_requests()
    picture = asked["classifier"]
    own = [Request(sample.path, sample.body, sample.headers) for _, _, sample in sample_requests(choose())]
    raw = [Request(f"/v1/models/{name}:predict", picture.body, picture.headers) for name in ("classifier", "cars")]
    return [*own, asked["detector V1"], asked["detector V2"], picture, *raw]


def bad_requests() -> list[Request]:
    """What is refused: malformed, not a picture, too many instances, in too much of a hurry, for nobody."""
    as_json, as_picture = {"content-type": "application/json"}, {"content-type": "image/jpeg"}
    picture = PICTURE.read_bytes()
    many = json.dumps({"instances": [{"b64": ""}] * (Limits().instances + 1)}).encode()
    return [
        Request("/v1/models/detector:predict", b"{", as_json),
        Request("/classifier/classify", b"no picture", as_picture),
        Request("/v1/models/cars:predict", many, as_json),
        Request("/detector/api/", picture, as_picture | {"x-request-timeout-ms": "1"}),
        Request("/v2/models/nobody/infer", b"{}", as_json),
    ]


class Traffic:
    """A mixed load from a few callers, in threads of this process, from entering to leaving.

    Args:
        url: of the transformer server's REST port.
        grpc: host:port of its gRPC port.
        rate: requests a second on average.
    """

    def __init__(self, url: str, grpc: str, rate: float = 12.0) -> None:
        self.outcomes: Counter[str] = Counter()
        self._url = url
        self._grpc = grpc
        self._rate = rate
        self._over = Event()
        self._stack = ExitStack()

    def __enter__(self) -> Traffic:
        """Begin."""
        threads = self._stack.enter_context(ThreadPoolExecutor(3, "traffic"))
        self._stack.callback(self._over.set)
        good, bad = good_requests(), bad_requests()
        self._asking = [
            threads.submit(self._ask_rest, itertools.cycle(good[::2]), itertools.cycle(bad[::2])),
            threads.submit(self._ask_rest, itertools.cycle(good[1::2]), itertools.cycle(bad[1::2])),
            threads.submit(self._ask_grpc),
        ]
        return self

    def __exit__(self, *exc: object) -> None:
        """End; an error of a caller is raised here."""
        self._stack.close()
        for asking in self._asking:
            asking.result()

    def _ask_rest(self, good: Iterable[Request], bad: Iterable[Request]) -> None:
        with httpx.Client(base_url=self._url, timeout=60) as client:
            for number, request in enumerate(good):
                sent = next(iter(bad)) if number % BAD_EVERY == 0 else request
                status = client.post(sent.path, content=sent.body, headers=dict(sent.headers)).status_code
                self.outcomes[str(status)] += 1
                if self._pause():
                    return

    def _ask_grpc(self) -> None:
        with InferenceServerClient(self._grpc) as client:
            for number in itertools.count():
                picture = b"no picture" if number % BAD_EVERY == 0 else PICTURE.read_bytes()
                image = InferInput("image", [1], "BYTES")
                image.set_data_from_numpy(np.array([picture], dtype=object))
                try:
                    client.infer("classifier" if number % 2 else "detector", [image])
                    self.outcomes["OK"] += 1
                except InferenceServerException as exc:
                    self.outcomes[str(exc.status())] += 1
                if self._pause():
                    return

    def _pause(self) -> bool:
        """Wait for this caller's next turn; returns whether it is over."""
        wave = 1 + 0.6 * math.sin(2 * math.pi * time.monotonic() / WAVE_S)
        return self._over.wait(3 / (self._rate * wave))
