"""The web server of a run: a thread with an event loop of its own."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import logging
import socket
import threading
from typing import TYPE_CHECKING

from edgehar.errors import ConfigError, SinkError
from edgehar.web.options import address_of, is_loopback

if TYPE_CHECKING:
    import ssl

    import uvicorn

    from edgehar.web.options import WebOptions
    from edgehar.web.protocol import Limits
    from edgehar.web.site import Site

_log = logging.getLogger(__name__)

_START_S = 10.0
_BACKLOG = 128


def check_installed() -> None:
    """Check that the extra is installed. Raises ConfigError if it is not."""
    missing = [name for name in ("starlette", "uvicorn", "jinja2") if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(f"the pages need {', '.join(missing)}; run: pip install 'edgehar[web]'")


class WebServer:
    """Listens from construction on, serves from `start` to `close`.

    Attributes:
        url: address for a browser.
    """

    def __init__(self, site: Site, options: WebOptions, limits: Limits | None = None) -> None:
        """Listen on the address of `options`.

        Args:
            site: the pages.
            options: address and certificate.
            limits: what clients may take; None for the usual.

        Raises:
            ConfigError: the certificate or key cannot be used.
            SinkError: the address or port cannot be used.
        """
        assert options.listen is not None
        self._site, self._tls, self._limits = site, _tls(options), limits
        host, port = address_of(options.listen)
        shown = f"[{host}]" if ":" in host else host
        self.url = f"{'http' if self._tls is None else 'https'}://{shown}:{port}{options.prefix}/"
        self._socket = _listen(host, port)
        self._open_to = "" if is_loopback(host) else ", open to every machine that can reach it"
        if options.trusted_proxy is not None:
            self._open_to = f", for the proxy at {options.trusted_proxy} only"
        self._server: uvicorn.Server | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._work, name="edgehar-web", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()
        _log.info("web: %s%s", self.url, self._open_to)

    def close(self, timeout_s: float = 3.0) -> None:
        """Stop listening, end the streams, and wait up to `timeout_s` for answers in progress."""
        if self._loop is not None and self._server is not None:
            server = self._server
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(lambda: self._stop(server))
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        self._socket.close()
        self._site.close()

    def _stop(self, server: uvicorn.Server) -> None:
        server.should_exit = True
        self._closing = asyncio.ensure_future(self._site.end_streams())

    def _work(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception:
            _log.exception("web: the pages have ended")

    async def _serve(self) -> None:
        import uvicorn

        from edgehar.web.guard import MOST_HEAD_BYTES
        from edgehar.web.handshakes import HandshakeLimit, LimitedSocket
        from edgehar.web.protocol import Limits, protocol_of

        limits = self._limits or Limits()
        handshakes = None
        if self._tls is not None:
            handshakes = HandshakeLimit(limits.handshakes)
            self._socket = LimitedSocket.of(self._socket, handshakes)
        config = uvicorn.Config(
            self._site.app(),
            http=protocol_of(limits, handshakes),
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="error",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=15,
            timeout_graceful_shutdown=1,
            h11_max_incomplete_event_size=MOST_HEAD_BYTES,
        )
        config.load()
        config.ssl = self._tls
        self._server, self._loop = uvicorn.Server(config), asyncio.get_running_loop()
        await self._server.serve(sockets=[self._socket])


def _listen(host: str, port: int) -> socket.socket:
    shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        # As bytes, because Python would load its tables of Unicode names for a text.
        known = host.encode() if host.isascii() else host
        family, _, _, _, address = socket.getaddrinfo(known, port, type=socket.SOCK_STREAM)[0]
        # With this protocol asyncio sends small packets at once; with 0 every answer would wait for an ACK, 40 ms.
        listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen(_BACKLOG)
        except OSError:
            listening.close()
            raise
    except OSError as error:
        raise SinkError(f"web: cannot listen on {shown}: {error.strerror or error}; set another web.listen") from None
    return listening


def _tls(options: WebOptions) -> ssl.SSLContext | None:
    if options.cert_file is None:
        return None
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        # An empty password, because OpenSSL would otherwise ask for one at the terminal.
        context.load_cert_chain(options.cert_file, options.key_file, password=lambda: "")
    except (ssl.SSLError, OSError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(
            f"web: cert_file {options.cert_file}: not a PEM certificate with its unencrypted key: {reason}"
        ) from None
    return context
