"""Follow the redirects of a web server ourselves, because FFmpeg follows them to any host."""

from __future__ import annotations

import http.client
import ssl
import urllib.parse
from typing import TYPE_CHECKING

from edgehar.errors import SourceError
from edgehar.sources.address import name_of

if TYPE_CHECKING:
    from edgehar.sources.options import VideoOptions

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
# Certificate authorities of Debian and Raspberry Pi OS.
_SYSTEM_AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"


def redirect_of(address: str, options: VideoOptions) -> str | None:
    """Return the address that a server redirects to; None if it does not.

    Raises:
        SourceError: it redirects to another host or scheme, and that is not allowed.
    """
    parts = urllib.parse.urlsplit(address)
    try:
        location = _location(parts, options)
    except (OSError, http.client.HTTPException, ValueError):
        return None
    if location is None:
        return None
    target = urllib.parse.urlsplit(urllib.parse.urljoin(address, location))
    same = target.hostname == parts.hostname
    downgraded = target.scheme != "https" and parts.scheme == "https"
    if target.scheme not in ("http", "https") or downgraded or not (same or options.redirects == "any"):
        raise SourceError(
            f"{name_of(address)}: the server redirects to {name_of(target.geturl())}; give that address, or set "
            'redirects to "any"'
        )
    if same and "@" not in target.netloc and "@" in parts.netloc:
        target = target._replace(netloc=f"{parts.netloc.rpartition('@')[0]}@{target.netloc}")
    return target.geturl()


def authorities(options: VideoOptions) -> str:
    """Return the PEM file of trusted certificate authorities."""
    return options.ca_file or ssl.get_default_verify_paths().cafile or _SYSTEM_AUTHORITIES


def _location(parts: urllib.parse.SplitResult, options: VideoOptions) -> str | None:
    host, port, timeout_s = parts.hostname or "", parts.port, options.open_timeout_s
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        context = ssl.create_default_context(cafile=authorities(options))
        if not options.tls_verify:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection = http.client.HTTPSConnection(host, port, timeout=timeout_s, context=context)
    else:
        connection = http.client.HTTPConnection(host, port, timeout=timeout_s)
    try:
        connection.request("GET", urllib.parse.urlunsplit(("", "", parts.path or "/", parts.query, "")))
        answer = connection.getresponse()
        return answer.getheader("Location") if answer.status in _REDIRECTS else None
    finally:
        connection.close()
