"""One HTTP connection over which events are posted, and what the answers mean."""

from __future__ import annotations

import contextlib
import email.utils
import http
import http.client
import socket
import ssl
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgehar.sinks.webhook.options import Receiver

# A connection that was silent for so long is not used again: servers close theirs after 5 s or more.
_IDLE_S = 4.0
# What is read of an answer's body.
_BODY_BYTES = 65_536
# The longest wait an answer may ask for.
RETRY_AFTER_MAX_S = 3600.0
# Answers between 400 and 499 that speak of the address, the log-in or the moment, not of the event.
_NOT_THE_EVENT = {401, 403, 404, 405, 407, 408, 410, 421, 423, 425, 429}


@dataclass(frozen=True)
class Answer:
    """What became of an event.

    Attributes:
        taken: the receiver has it.
        refused: it will never be taken; neither of both means that it is to be sent again.
        what: in words, when it was not taken.
        wait_s: how long the receiver wants to be left alone.
    """

    taken: bool = False
    refused: bool = False
    what: str = ""
    wait_s: float = 0.0


class Link:
    """A connection to the receiver, made when needed and kept for the next event. `abort` alone is thread-safe."""

    def __init__(self, receiver: Receiver, timeout_s: float) -> None:
        """Connect to nothing yet."""
        self._receiver, self._timeout_s = receiver, timeout_s
        self._connection: http.client.HTTPConnection | None = None
        self._used_s = 0.0
        self._aborted = False

    def post(self, payload: bytes, key: str) -> Answer:
        """Send one event, whose `key` tells the receiver when it comes twice; whatever goes wrong is in the answer."""
        if time.monotonic() - self._used_s > _IDLE_S:
            self.close()
        again = self._connection is not None
        while True:
            try:
                answer = self._request(payload, key)
            except (OSError, http.client.HTTPException) as error:
                self.close()
                # The receiver may have closed an old connection just now.
                if not (again and not self._aborted and _is_cut(error)):
                    return Answer(what=self._in_words(error))
                again = False
            else:
                self._used_s = time.monotonic()
                return answer

    def abort(self) -> None:
        """Let a `post` that is under way in another thread, and all later ones, fail soon."""
        self._aborted = True
        connection = self._connection
        sock = None if connection is None else connection.sock
        if sock is not None:
            with contextlib.suppress(OSError):
                # Below TLS, whose own shutdown would wait for the other side.
                socket.socket.shutdown(sock, socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connect(self) -> http.client.HTTPConnection:
        to, timeout_s = self._receiver, self._timeout_s
        if to.context is None:
            return http.client.HTTPConnection(to.host, to.port, timeout=timeout_s)
        return http.client.HTTPSConnection(to.host, to.port, timeout=timeout_s, context=to.context)

    def _request(self, payload: bytes, key: str) -> Answer:
        if self._aborted:
            raise ConnectionAbortedError("the program ends")
        if self._connection is None:
            self._connection = self._connect()
        headers = {**self._receiver.headers, "Idempotency-Key": key}
        self._connection.request("POST", self._receiver.target, payload, headers)
        response = self._connection.getresponse()
        status, after = response.status, response.getheader("Retry-After")
        response.read(_BODY_BYTES)
        if not response.isclosed():
            self.close()
        return _judge(status, after)

    def _in_words(self, error: Exception) -> str:
        if isinstance(error, TimeoutError):
            return f"no answer within {self._timeout_s:g} s"
        if isinstance(error, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted: {error.verify_message}; set ca_file, or correct the address"
        if isinstance(error, http.client.RemoteDisconnected):
            return "closes the connection without an answer"
        if isinstance(error, http.client.HTTPException):
            return f"gives no HTTP answer ({type(error).__name__})"
        return f"cannot be reached: {getattr(error, 'strerror', None) or error}"


def _is_cut(error: Exception) -> bool:
    return isinstance(error, (ConnectionError, ssl.SSLError, http.client.HTTPException))


def _judge(status: int, retry_after: str | None) -> Answer:
    if 200 <= status < 300:
        return Answer(taken=True)
    try:
        what = f"answers {status} {http.HTTPStatus(status).phrase}"
    except ValueError:
        what = f"answers {status}"
    if 400 <= status < 500 and status not in _NOT_THE_EVENT:
        return Answer(refused=True, what=what)
    if status in (401, 403, 407):
        what += "; check the log-in"
    elif status < 500 and status not in (408, 425, 429):
        what += "; check the address"
    return Answer(what=what, wait_s=_seconds(retry_after))


def _seconds(retry_after: str | None) -> float:
    """What `Retry-After` asks for: seconds, or a date (RFC 9110, 10.2.3); 0 when it is neither."""
    if retry_after is None:
        return 0.0
    try:
        wait_s = (
            float(retry_after)
            if retry_after.strip().isdecimal()
            else (email.utils.parsedate_to_datetime(retry_after).timestamp() - time.time())
        )
    except (ValueError, OverflowError):
        return 0.0
    return min(max(wait_s, 0.0), RETRY_AFTER_MAX_S)
