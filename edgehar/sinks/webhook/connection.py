"""One HTTP connection over which events are posted, and the meaning of the answers."""

from __future__ import annotations

import contextlib
import email.utils
import http
import http.client
import socket
import ssl
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgehar.sinks.webhook.options import Receiver

# A connection that was idle for longer is not used again, because servers close theirs after 5 s or more.
_IDLE_S = 4.0
# How much of the body of an answer is read, in bytes.
_BODY_BYTES = 65_536
# Longest wait that an answer may ask for, in seconds.
RETRY_AFTER_MAX_S = 3600.0
# Answers from 400 to 499 about the address, the log-in or the moment, not about the event.
_NOT_THE_EVENT = {401, 403, 404, 405, 407, 408, 410, 421, 423, 425, 429}


@dataclass(frozen=True)
class PostResult:
    """The result of posting an event.

    Attributes:
        taken: the receiver has it.
        refused: the receiver will never take it. If neither is set, it must be sent again.
        answered: the receiver gave an HTTP answer.
        what: the reason in words, if it was not taken.
        wait_s: how long the receiver asks to wait, in seconds.
    """

    taken: bool = False
    refused: bool = False
    answered: bool = False
    what: str = ""
    wait_s: float = 0.0


class WebhookConnection:
    """A connection to the receiver, opened when needed and kept for the next event. Only `abort` is thread-safe."""

    def __init__(self, receiver: Receiver, timeout_s: float) -> None:
        """Set the receiver, and the deadline of a whole request in seconds."""
        self._receiver, self._timeout_s = receiver, timeout_s
        self._connection: http.client.HTTPConnection | None = None
        self._socket: socket.socket | None = None
        self._used_s = 0.0
        self._aborted = self._late = False

    def post(self, payload: bytes, key: str) -> PostResult:
        """Send one event. `key` identifies it when it comes twice. Whatever goes wrong is in the result."""
        if time.monotonic() - self._used_s > _IDLE_S:
            self.close()
        again = self._connection is not None
        with self._deadline():
            while True:
                try:
                    result = self._request(payload, key)
                except (OSError, http.client.HTTPException) as error:
                    self.close()
                    # The receiver may have closed the kept connection just now.
                    if again and not (self._aborted or self._late) and _is_cut(error):
                        again = False
                        continue
                    return PostResult(what=self._describe(error))
                self._used_s = time.monotonic()
                return result

    @contextlib.contextmanager
    def _deadline(self) -> Iterator[None]:
        """Cut the connection at the deadline: the timeout of a socket starts again with every byte that arrives."""
        self._late = False
        timer = threading.Timer(self._timeout_s, self._cut_late)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _cut_late(self) -> None:
        self._late = True
        self._cut()

    def abort(self) -> None:
        """Make a `post` that is under way in another thread, and all later ones, fail soon."""
        self._aborted = True
        self._cut()

    def _cut(self) -> None:
        connection = self._connection
        # The connection lets go of its socket before the body of an answer is read that has no length.
        sock = self._socket if connection is None or connection.sock is None else connection.sock
        if sock is not None:
            with contextlib.suppress(OSError):
                # Below TLS, whose own shutdown would wait for the other side.
                socket.socket.shutdown(sock, socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = self._socket = None

    def _connect(self) -> http.client.HTTPConnection:
        to, timeout_s = self._receiver, self._timeout_s
        if to.context is None:
            return http.client.HTTPConnection(to.host, to.port, timeout=timeout_s)
        return http.client.HTTPSConnection(to.host, to.port, timeout=timeout_s, context=to.context)

    def _request(self, payload: bytes, key: str) -> PostResult:
        if self._aborted:
            raise ConnectionAbortedError("the program ends")
        if self._late:
            raise TimeoutError
        if self._connection is None:
            self._connection = self._connect()
            self._connection.connect()
            self._socket = self._connection.sock
            if self._late:
                raise TimeoutError
        headers = {**self._receiver.headers, "Idempotency-Key": key}
        self._connection.request("POST", self._receiver.target, payload, headers)
        response = self._connection.getresponse()
        status, after = response.status, response.getheader("Retry-After")
        response.read(_BODY_BYTES)
        # The status counts, also when the rest of the answer came too late.
        if self._late or not response.isclosed():
            self.close()
        return _judge(status, after)

    def _describe(self, error: Exception) -> str:
        if self._late or isinstance(error, TimeoutError):
            return f"no complete answer within {self._timeout_s:g} s"
        if isinstance(error, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted: {error.verify_message}; set ca_file, or correct the address"
        if isinstance(error, http.client.RemoteDisconnected):
            return "closes the connection without an answer"
        if isinstance(error, http.client.HTTPException):
            return f"gives no HTTP answer ({type(error).__name__})"
        return f"cannot be reached: {getattr(error, 'strerror', None) or error}"


def _is_cut(error: Exception) -> bool:
    return isinstance(error, (ConnectionError, ssl.SSLError, http.client.HTTPException))


def _judge(status: int, retry_after: str | None) -> PostResult:
    if 200 <= status < 300:
        return PostResult(taken=True, answered=True)
    try:
        what = f"answers {status} {http.HTTPStatus(status).phrase}"
    except ValueError:
        what = f"answers {status}"
    if 400 <= status < 500 and status not in _NOT_THE_EVENT:
        return PostResult(refused=True, answered=True, what=what)
    if status in (401, 403, 407):
        what += "; check the log-in"
    elif status < 500 and status not in (408, 425, 429):
        what += "; check the address"
    return PostResult(answered=True, what=what, wait_s=_seconds(retry_after))


def _seconds(retry_after: str | None) -> float:
    """Return the wait of `Retry-After`, in seconds or as a date (RFC 9110, 10.2.3); 0 if it is neither."""
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
