"""Addresses as they may be shown: without credentials."""

from __future__ import annotations

import re

# Cheap cameras take the password in the path or query: rtsp://host/user=admin&password=secret&channel=1.
_SECRET_FIELD = re.compile(r"(?i)\b(user|username|login|pass|passwd|password|pwd|token|key|auth|secret)=[^&;/]*")


def without_credentials(url: str) -> str:
    """The URL without user and password before the host, without its query, and with `password=` and the like masked.

    >>> without_credentials("rtsp://admin:secret@192.0.2.7:554/stream?token=abc")
    'rtsp://192.0.2.7:554/stream'
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        return url
    # A password with an unescaped "/", "?" or "#" still ends at the last "@".
    rest = rest.rpartition("@")[2].partition("?")[0].partition("#")[0]
    masked = _SECRET_FIELD.sub(lambda found: f"{found[1]}=***", rest)
    return f"{scheme}://{masked}"
