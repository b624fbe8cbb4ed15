"""Answers Prometheus over HTTP, on one thread, to anyone who can reach the address: there is no password."""

from __future__ import annotations

import contextlib
import http.server
import ipaddress
import logging
import socket
import threading
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from edgehar.errors import SinkError
from edgehar.health.prometheus import CONTENT_TYPE, exposition

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgehar.health.monitor import Monitor
    from edgehar.health.options import HealthOptions

_log = logging.getLogger(__name__)

# A request has to be over by then: one thread serves all, and nobody shall keep it.
REQUEST_S = 2.0
_PATH = "/metrics"


class MetricsServer:
    """Listens from the moment it is made until `close`.

    Attributes:
        url: where Prometheus finds it.
    """

    def __init__(self, monitor: Monitor, options: HealthOptions) -> None:
        """Listen on the address and port of `options`, and tell the numbers of `monitor`.

        Raises:
            SinkError: the address or port cannot be had.
        """
        host, port = options.prometheus_address, options.prometheus_port
        shown = f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{port}{_PATH}"
        try:
            family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            self._server = _make_server(monitor, family, address)
        except OSError as error:
            raise SinkError(
                f"prometheus: {shown}:{port} cannot be listened on: {error.strerror or error}; "
                "set another health.prometheus_port or health.prometheus_address"
            ) from None
        self._thread = threading.Thread(target=self._server.serve_forever, name="edgehar-metrics", daemon=True)
        self._thread.start()
        open_to = "" if _is_loopback(str(address[0])) else ", for every machine that can reach it"
        _log.info("prometheus: %s%s", self.url, open_to)

    def close(self) -> None:
        """Listen no more. Waits for a request that is under way."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _is_loopback(address: str) -> bool:
    return ipaddress.ip_address(address.partition("%")[0]).is_loopback


def _make_server(monitor: Monitor, family: int, address: Any) -> http.server.HTTPServer:
    class Handler(_Handler):
        body = staticmethod(lambda: exposition(monitor).encode())

    class Server(http.server.HTTPServer):
        address_family = socket.AddressFamily(family)

        def server_bind(self) -> None:
            # Not that of HTTPServer, which asks the name server who we are.
            socket.socket.setsockopt(self.socket, socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.socket.bind(self.server_address)

        def handle_error(self, *_: object) -> None:
            _log.debug("prometheus: a request failed", exc_info=True)

    return Server(address, Handler)


class _Handler(http.server.BaseHTTPRequestHandler):
    """One request."""

    # Neither Python's version nor a page of HTML is told to whoever asks.
    server_version, sys_version = "edgehar", ""
    error_message_format, error_content_type = "%(code)d %(message)s\n", "text/plain; charset=utf-8"

    # Makes what is told; of each server its own.
    body: Callable[[], bytes]

    def setup(self) -> None:
        """Give the request its time: a client that sends a byte now and then gets no longer."""
        super().setup()
        self._deadline = threading.Timer(REQUEST_S, self._hang_up)
        self._deadline.daemon = True
        self._deadline.start()

    def finish(self) -> None:
        """Let go of the request."""
        self._deadline.cancel()
        super().finish()

    def _hang_up(self) -> None:
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def do_GET(self) -> None:
        """Answer."""
        if self.path.partition("?")[0] != _PATH:
            self.send_error(HTTPStatus.NOT_FOUND, f"there is only {_PATH}")
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
        """Say it only to who wants to know much."""
        _log.debug("prometheus: " + format, *args)
