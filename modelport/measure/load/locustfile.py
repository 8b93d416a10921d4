"""What Locust's users do: send pictures and windows to the services, each as its own users would, one after another.

Usage: locust -f modelport/measure/load/locustfile.py --host http://127.0.0.1:8080 [--services detector] [--think-s 1]
In a process of its own: gevent patches the standard library.
"""

from __future__ import annotations

import random
import time
from argparse import ArgumentParser
from collections.abc import Callable

from locust import HttpUser, events, task

from modelport.measure.torture.traffic import Request, requests
from modelport.services import load


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]
def add_options(parser: ArgumentParser) -> None:
    """Our own, beside Locust's; its web page asks for them, too."""
    parser.add_argument("--services", default=",".join(load()), help="comma-separated")
    parser.add_argument("--think-s", type=float, default=0.0, help="mean pause between a user's requests, exponential")


class Caller(HttpUser):
    """One user."""

    def wait_time(self) -> float:
        """None, or at random: many users who think then come like Poisson's."""
        mean_s = self.environment.parsed_options.think_s
        return random.expovariate(1 / mean_s) if mean_s else 0.0

    def on_start(self) -> None:
        """Read what is sent once, and come at a time of one's own: users who think do not all begin together."""
        known = requests()
        self._requests = [known[name] for name in self.environment.parsed_options.services.split(",")]
        time.sleep(self.wait_time())

    @task
    def ask(self) -> None:
        """One request of one of the services."""
        chosen: Request = random.choice(self._requests)  # noqa: S311  (no secret)
        send: Callable[..., object] = self.client.post
        send(chosen.path, data=chosen.body, headers=dict(chosen.headers))
