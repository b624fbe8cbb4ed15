"""Serves the metrics to Prometheus over HTTP, without a password, to everyone who can reach the address."""

from __future__ import annotations

import contextlib
import http.server
import ipaddress
import logging
import socket
import socketserver
import threading
from collections import deque
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from edgehar.errors import SinkError
from edgehar.health.prometheus import CONTENT_TYPE, exposition

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgehar.health.monitor import Monitor
    from edgehar.health.options import HealthOptions

_log = logging.getLogger(__name__)

# Deadline of a whole request, for clients that connect and stay silent.
REQUEST_S = 2.0
# Connections at a time. A new connection beyond this ends the oldest, so that silent clients cannot lock others out.
MOST_CONNECTIONS = 16
_PATH = "/metrics"


class MetricsServer:
    """Listens from construction to `close`.

    Attributes:
        url: address for Prometheus.
    """

    def __init__(self, monitor: Monitor, options: HealthOptions, *, request_s: float = REQUEST_S) -> None:
        """Listen on the address and port of `options`, and serve the numbers of `monitor`.

        Args:
            monitor: where the numbers come from.
            options: address and port.
            request_s: deadline of a whole request, in seconds.

        Raises:
            SinkError: the address or port cannot be used.
        """
        host, port = options.prometheus_address, options.prometheus_port
        shown = f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{port}{_PATH}"
        try:
            family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            self._server = _make_server(monitor, family, address, request_s)
        except OSError as error:
            raise SinkError(
                f"prometheus: cannot listen on {shown}:{port}: {error.strerror or error}; "
                "set another health.prometheus_port or health.prometheus_address"
            ) from None
        self._thread = threading.Thread(target=self._server.serve_forever, name="edgehar-metrics", daemon=True)
        self._thread.start()
        open_to = "" if _is_loopback(str(address[0])) else ", open to every machine that can reach it"
        _log.info("prometheus: %s%s", self.url, open_to)

    def close(self) -> None:
        """Stop listening. Requests in progress end with their deadline."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _is_loopback(address: str) -> bool:
    return ipaddress.ip_address(address.partition("%")[0]).is_loopback


def _make_server(monitor: Monitor, family: int, address: Any, request_s: float) -> _Server:
    class Handler(_Handler):
        body = staticmethod(lambda: exposition(monitor).encode())
        deadline_s = request_s

    class Server(_Server):
        address_family = socket.AddressFamily(family)

    return Server(address, Handler)


class _Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    """A thread for each connection."""

    daemon_threads, block_on_close = True, False

    def __init__(self, *args: Any) -> None:
        self._open: deque[socket.socket] = deque()
        self._lock = threading.Lock()
        super().__init__(*args)

    def server_bind(self) -> None:
        """Bind without the DNS query of HTTPServer for this machine's name."""
        socket.socket.setsockopt(self.socket, socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection in a thread, after ending the oldest if there are too many."""
        with self._lock:
            self._open.append(request)
            oldest = self._open.popleft() if len(self._open) > MOST_CONNECTIONS else None
        if oldest is not None:
            with contextlib.suppress(OSError):
                oldest.shutdown(socket.SHUT_RDWR)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection."""
        with self._lock, contextlib.suppress(ValueError):
            self._open.remove(request)
        super().shutdown_request(request)

    def handle_error(self, *_: object) -> None:
        """Log an error of a request for debugging only."""
        _log.debug("prometheus: a request failed", exc_info=True)


class _Handler(http.server.BaseHTTPRequestHandler):
    """One request."""

    # Hide Python's version, and answer errors in plain text.
    server_version, sys_version = "edgehar", ""
    error_message_format, error_content_type = "%(code)d %(message)s\n", "text/plain; charset=utf-8"

    # Makes the body; set by each server.
    body: Callable[[], bytes]
    deadline_s: float

    def setup(self) -> None:
        """Start the deadline, which also ends a client that sends one byte now and then."""
        super().setup()
        self._deadline = threading.Timer(self.deadline_s, self._hang_up)
        self._deadline.daemon = True
        self._deadline.start()

    def finish(self) -> None:
        """Stop the deadline."""
        self._deadline.cancel()
        super().finish()

    def _hang_up(self) -> None:
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def do_GET(self) -> None:
        """Send the metrics."""
        if self.path.partition("?")[0] != _PATH:
            self.send_error(HTTPStatus.NOT_FOUND, f"only {_PATH} is served")
            return
        body = self.body()
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", CONTENT_TYPE)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        """Log a request for debugging only."""
        _log.debug("prometheus: " + format, *args)
