"""Login sessions in memory, each with a token against requests forged by other sites."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_MOST_SESSIONS = 1000


@dataclass
class Session:
    """One browser that is logged in.

    Attributes:
        seen_s: when it was seen last, on the clock of the sessions.
        csrf: token that every request that changes something must send in `X-CSRF-Token`.
    """

    seen_s: float
    csrf: str = field(default_factory=lambda: secrets.token_urlsafe(24))


class Sessions:
    """All sessions. Only hashes of the tokens are kept; a restart ends them all."""

    def __init__(self, idle_s: float, clock: Callable[[], float]) -> None:
        """Start without a session.

        Args:
            idle_s: seconds without a request after which a session ends.
            clock: monotonic seconds.
        """
        self._idle_s, self._clock = idle_s, clock
        self._sessions: dict[str, Session] = {}

    def open(self) -> tuple[str, Session]:
        """Return a new token for the browser's cookie, and its session."""
        token, session = secrets.token_urlsafe(32), Session(self._clock())
        self._sessions[_digest(token)] = session
        while len(self._sessions) > _MOST_SESSIONS:
            del self._sessions[min(self._sessions, key=lambda key: self._sessions[key].seen_s)]
        return token, session

    def find(self, token: str) -> Session | None:
        """Return the session of a token, and count it as seen; None if it has ended."""
        session = self._sessions.get(_digest(token))
        if session is None:
            return None
        if self._clock() - session.seen_s > self._idle_s:
            self.close(token)
            return None
        session.seen_s = self._clock()
        return session

    def close(self, token: str) -> None:
        """End a session."""
        self._sessions.pop(_digest(token), None)


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
