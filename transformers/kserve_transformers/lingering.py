"""Closes connections so that callers that are still sending read their answer first (RFC 9112, section 9.6).

A socket that is closed with unread data resets the connection, and a caller's system then throws away what it has
received. What an answered request still sends is therefore read and dropped, within bounds, before the connection
is closed or used again.
"""

import asyncio
from collections.abc import Callable
from typing import Any, ClassVar

# Of what is dropped of one request: seconds, bytes, and the seconds within which some of it must come.
DRAIN_S = 30.0
DRAIN_BYTES = 256 * 2**20
STALL_S = 5.0
STALL_BYTES = 16 * 1024
# Connections that are drained at once; the oldest of more is closed.
MAX_DRAINING = 256
# For the caller to take the end of its answer, once the connection is closed.
CLOSE_S = 10.0


class Drain:
    """The bounds on what is dropped of one request.

    Args:
        loop: runs the connection.
        give_up: called once, where a bound is reached.
    """

    _running: ClassVar[dict["Drain", None]] = {}  # of all connections, the oldest first

    def __init__(self, loop: asyncio.AbstractEventLoop, give_up: Callable[[], None]) -> None:
        self._loop = loop
        self._give_up = give_up
        self._bytes = self._seen_bytes = self._stalls = 0
        self._end = loop.call_later(DRAIN_S, give_up)
        self._check = loop.call_later(STALL_S / 2, self._look)
        self._running[self] = None
        if len(self._running) > MAX_DRAINING:
            next(iter(self._running))._give_up()

    def count(self, received: int) -> None:
        """So many bytes more came."""
        self._bytes += received
        if self._bytes > DRAIN_BYTES:
            self._give_up()

    def stop(self) -> None:
        """The request ended, or its connection."""
        self._running.pop(self, None)
        self._end.cancel()
        self._check.cancel()

    def _look(self) -> None:
        """Twice in a row: what came while the event loop was busy is seen by the second time."""
        stalled = self._bytes - self._seen_bytes < STALL_BYTES
        self._stalls = self._stalls + 1 if stalled else 0
        self._seen_bytes = self._bytes
        if self._stalls == 2:
            self._give_up()
        else:
            self._check = self._loop.call_later(STALL_S / 2, self._look)


class LingeringTransport:
    """A transport whose `close` is the protocol's.

    Args:
        transport: the real one.
        close: called instead of its `close`.
    """

    def __init__(self, transport: asyncio.Transport, close: Callable[[], None]) -> None:
        self._transport = transport
        self.close = close
        self.write = transport.write

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
