"""HTTP connections with deadlines: silent, slow and idle clients cannot keep others out."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    from uvicorn.config import Config
    from uvicorn.server import ServerState

    from edgehar.web.handshakes import HandshakeLimit


@dataclass(frozen=True)
class Limits:
    """Limits of a client.

    Attributes:
        head_s: deadline of the head of a request, from its first byte or the connection on, in seconds.
        connections: at a time. A new one beyond this ends the oldest that waits for nothing.
        handshakes: of TLS that are not finished, at a time. A new one beyond this ends the oldest.
    """

    head_s: float = 10.0
    connections: int = 256
    handshakes: int = 32


class Protocol(H11Protocol):
    """One connection."""

    limits: ClassVar[Limits] = Limits()
    handshakes: ClassVar[HandshakeLimit | None] = None

    def __init__(self, config: Config, server_state: ServerState, app_state: dict[str, Any], **options: Any) -> None:
        """Take what uvicorn passes."""
        super().__init__(config, server_state, app_state, **options)
        self._deadline: asyncio.TimerHandle | None = None
        self.opened_s = self.loop.time()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the deadline of the first head, and make room for this connection."""
        super().connection_made(transport)
        if self.handshakes is not None:
            self.handshakes.finished(transport.get_extra_info("peername"))
        self._start_deadline()
        if len(self.connections) > self.limits.connections:
            idle = [other for other in self.connections if isinstance(other, Protocol) and not other.is_busy]
            if idle:
                min(idle, key=lambda other: other.opened_s).transport.close()

    @property
    def is_busy(self) -> bool:
        """Whether a request is being answered."""
        return self.cycle is not None and not self.cycle.response_complete

    def data_received(self, data: bytes) -> None:
        """Take bytes; a head must be complete by its deadline."""
        super().data_received(data)
        if self.is_busy:
            self._stop_deadline()
        elif self._deadline is None and not self.transport.is_closing():
            self._start_deadline()

    def on_response_complete(self) -> None:
        """Go on with the next request, which may have arrived already."""
        super().on_response_complete()
        if self.is_busy:
            self._stop_deadline()
        elif self.conn.trailing_data[0] and self._deadline is None:
            self._start_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the deadline."""
        self._stop_deadline()
        super().connection_lost(exc)

    def _start_deadline(self) -> None:
        self._deadline = self.loop.call_later(self.limits.head_s, self._hang_up)

    def _stop_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _hang_up(self) -> None:
        self._deadline = None
        if not self.is_busy and not self.transport.is_closing():
            self.transport.close()


def protocol_of(limits: Limits, handshakes: HandshakeLimit | None = None) -> type[Protocol]:
    """Return the protocol with these limits: uvicorn makes its objects itself."""
    return type("Protocol", (Protocol,), {"limits": limits, "handshakes": handshakes})
