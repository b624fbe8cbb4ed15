"""A bound on unfinished TLS handshakes, so that clients that send nothing cannot take all files and memory."""

from __future__ import annotations

import contextlib
import socket
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import Self


class HandshakeLimit:
    """Counts connections from their acceptance until their handshake is done, and ends the oldest beyond a number.

    All calls come from the thread of the event loop.
    """

    def __init__(self, most: int = 32) -> None:
        """Allow so many at a time."""
        self._most = most
        self._open: OrderedDict[Any, socket.socket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._open)

    def accepted(self, address: Any, connection: socket.socket) -> None:
        """Learn of a connection, before its handshake."""
        for old in [old for old, other in self._open.items() if other.fileno() < 0]:
            del self._open[old]
        self._open[address] = connection
        while len(self._open) > self._most:
            _, oldest = self._open.popitem(last=False)
            # The event loop reads the end of the connection, and closes it.
            with contextlib.suppress(OSError):
                oldest.shutdown(socket.SHUT_RDWR)

    def finished(self, address: Any) -> None:
        """Learn that a handshake is done."""
        self._open.pop(address, None)


class LimitedSocket(socket.socket):
    """A listening socket that tells a `HandshakeLimit` of its connections."""

    limit: HandshakeLimit | None = None

    @classmethod
    def of(cls, listening: socket.socket, limit: HandshakeLimit) -> Self:
        """Take over a listening socket."""
        made = cls(listening.family, listening.type, listening.proto, fileno=listening.detach())
        made.limit = limit
        return made

    def accept(self) -> tuple[socket.socket, Any]:
        """Accept a connection."""
        connection, address = super().accept()
        if self.limit is not None:
            self.limit.accepted(address, connection)
        return connection, address
