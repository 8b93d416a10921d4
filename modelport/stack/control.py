"""The control socket of a running stack, on which another process of the same user sends it a command.

One connection is one command: a line of JSON in; lines of JSON out, {"say": text} for each step, and at last
{"done": true} or {"error": text}. The socket is in build/run/PORT/, which only that user can enter (mode 0700).
"""

import contextlib
import json
import os
import shutil
import socket
import socketserver
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from threading import Thread
from typing import Any

from modelport.stack.errors import StackError, UpdateError
from modelport.stack.running import run_folder
from modelport.stack.updater import Say

SOCKET = "control"
CONNECT_S = 5.0
ANSWER_S = 600.0  # the longest step: Triton loads a large model on a busy machine

Do = Callable[[Mapping[str, Any], Say], None]


class Control:
    """Listens until it is closed.

    Args:
        folder: where the socket is; made here, and removed at the end with all that is in it.
        do: carries a command out; its StackErrors are told.
    """

    def __init__(self, folder: Path, do: Do) -> None:
        self._folder = folder
        self._do = do
        self._server: socketserver.ThreadingUnixStreamServer | None = None

    def open(self) -> None:
        """Listen, in threads."""
        do = self._do

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                def tell(document: Mapping[str, object]) -> None:
                    with contextlib.suppress(OSError):  # the client may be gone: what was begun is finished
                        self.wfile.write(json.dumps(document).encode() + b"\n")

                try:
                    do(json.loads(self.rfile.readline()), lambda text: tell({"say": text}))
                except StackError as error:
                    tell({"error": str(error)})
                except (ValueError, KeyError, TypeError, OSError) as error:
                    tell({"error": f"the command could not be carried out: {error!r}"})
                else:
                    tell({"done": True})

        self._folder.mkdir(parents=True, exist_ok=True)
        self._folder.chmod(0o700)
        (self._folder / SOCKET).unlink(missing_ok=True)
        with _address(self._folder) as address:
            self._server = socketserver.ThreadingUnixStreamServer(address, Handler)
        self._server.daemon_threads = True
        Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
        shutil.rmtree(self._folder, ignore_errors=True)


def ask(http_port: int, command: Mapping[str, object], say: Say) -> None:
    """Have the stack on a port do something; returns when it is done.

    Raises:
        UpdateError: no stack runs there, it ended meanwhile, or it could not do it; then the message is its own.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(CONNECT_S)
        try:
            with _address(run_folder(http_port)) as address:
                connection.connect(address)
        except OSError as error:
            raise UpdateError(
                f"no stack of this checkout serves on port {http_port}: start it with `make serve`, or name its PORT="
            ) from error
        connection.settimeout(ANSWER_S)
        connection.sendall(json.dumps(command).encode() + b"\n")
        try:
            for line in connection.makefile():
                document = json.loads(line)
                if "error" in document:
                    raise UpdateError(document["error"])
                if "done" in document:
                    return
                say(document["say"])
        except OSError as error:
            raise UpdateError(f"the stack did not answer any more ({error})") from error
    raise UpdateError("the stack ended before the update did")


@contextlib.contextmanager
def _address(folder: Path) -> Iterator[str]:
    """The socket's address: a path of any length has none, but one through the folder's descriptor has."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}/{SOCKET}"
    finally:
        os.close(descriptor)
