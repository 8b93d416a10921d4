"""Locust's users: each sends one request after another, to a random one of the services.

Usage: locust -f modelport/measure/load/locustfile.py --host http://127.0.0.1:8080 [--services detector]
In a process of its own: gevent patches the standard library.
"""

import random
from argparse import ArgumentParser
from collections.abc import Callable

from locust import HttpUser, constant, events, task

from modelport.measure.generator.requests import Request
from modelport.measure.traffic import requests
from modelport.services import load


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]
def add_options(parser: ArgumentParser) -> None:
    """Options beside Locust's own; its web page has them too."""
    parser.add_argument("--services", default=",".join(load()), help="comma-separated")


class Caller(HttpUser):
    """One user."""

    wait_time = constant(0)

    def on_start(self) -> None:
        """Make the requests."""
        known = requests()
        self._requests = [known[name] for name in self.environment.parsed_options.services.split(",")]

    @task
    def send(self) -> None:
        """Send one request to one of the services."""
        chosen: Request = random.choice(self._requests)  # noqa: S311  (not a secret)
        post: Callable[..., object] = self.client.post
        post(chosen.path, data=chosen.body, headers=dict(chosen.headers))
