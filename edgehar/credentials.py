"""Passwords, certificates and URLs: read from files, masked when shown.

Error messages name the table, the key and the file of the configuration, never a secret.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from edgehar.errors import ConfigError

if TYPE_CHECKING:
    import ssl

MASK = "********"
# Some cameras take the password in the path or query: rtsp://host/user=admin&password=secret&channel=1.
_SECRET_FIELD = re.compile(r"(?i)\b(user|username|login|pass|passwd|password|pwd|token|key|auth|secret)=[^&;/]*")
# Start of a network URL, also with slashes missing: "http:user:password@host", "rtsp:/user:password@host".
_NETWORK = re.compile(r"(?i)(?:https?|rtsps?|rtmps?|mqtts?|ftps?|srt|udp|tcp|rtp|wss?):[/\\]*")


class Secret(str):
    """Password or token that shows as `********` when it is printed, formatted or part of another repr.

    It compares and hashes like its text, and msgspec refuses to encode it. `reveal()` returns the text for the place
    that needs it. String concatenation, `join` and the `json` module use the text itself: do not use them on a secret.

    >>> f"{Secret('hunter2')} {Secret('hunter2')!r}"
    "******** '********'"
    """

    __slots__ = ()

    def reveal(self) -> str:
        """Return the text as a plain `str`."""
        return str.__str__(self)

    def __str__(self) -> str:
        return MASK

    def __repr__(self) -> str:
        return repr(MASK)

    def __format__(self, specification: str) -> str:
        return format(MASK, specification)


def without_credentials(url: str) -> str:
    """Return the URL without user, password and query, and with fields such as `password=` masked.

    A mistyped URL, for example one without `//`, loses its credentials too.

    >>> without_credentials("rtsp://admin:secret@192.0.2.7:554/stream?token=abc")
    'rtsp://192.0.2.7:554/stream'
    """
    scheme, separator, rest = url.partition("://")
    if separator:
        # The last "@", because a password may contain an unescaped "@", "/", "?" or "#".
        rest = rest.rpartition("@")[2].partition("?")[0].partition("#")[0]
        return f"{scheme}://{_mask_fields(rest)}"
    start = _NETWORK.match(url)
    kind = start[0] if start else ""
    if not kind and ("@" not in url or url.startswith(("/", ".", "~"))):
        return url
    return kind + _mask_fields(url[len(kind) :].rpartition("@")[2].partition("?")[0])


def _mask_fields(text: str) -> str:
    return _SECRET_FIELD.sub(lambda found: f"{found[1]}=***", text)


def read_secret(table: str, key: str, path: str) -> str:
    """Return the first line of a file.

    Raises:
        ConfigError: the file cannot be read, or its first line is empty.
    """
    try:
        line = Path(path).read_text(encoding="utf-8").partition("\n")[0].rstrip("\r")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise ConfigError(f"{table}: {key} {path}: cannot be read: {reason}") from None
    if not line:
        raise ConfigError(f"{table}: {key} {path}: the first line is empty; write the {key.partition('_')[0]} there")
    return line


def tls_context(
    table: str, *, ca_file: str | None = None, cert_file: str | None = None, key_file: str | None = None
) -> ssl.SSLContext:
    """Return a TLS context that checks the server's certificate and host name.

    Args:
        table: table of the configuration, for messages.
        ca_file: authorities to trust, as PEM. The system's if None.
        cert_file: client certificate, as PEM. None if the server asks for none.
        key_file: key of the client certificate, if `cert_file` does not contain it.

    Raises:
        ConfigError: a file is missing or not valid.
    """
    import ssl

    for key, path in (("ca_file", ca_file), ("cert_file", cert_file), ("key_file", key_file)):
        if path is not None and not os.access(path, os.R_OK):
            raise ConfigError(f"{table}: {key} {path}: does not exist or cannot be read")
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except (ssl.SSLError, OSError) as error:
        raise ConfigError(f"{table}: ca_file {ca_file}: not a PEM file of certificates: {error}") from None
    # Because Debian's Python leaves the minimum version to the configuration of OpenSSL.
    context.minimum_version = max(context.minimum_version, ssl.TLSVersion.TLSv1_2)
    if cert_file is not None:
        try:
            # An empty password, because OpenSSL would otherwise ask for one at the terminal.
            context.load_cert_chain(cert_file, key_file, password=lambda: "")
        except (ssl.SSLError, OSError) as error:
            raise ConfigError(
                f"{table}: cert_file {cert_file}: not a PEM certificate with an unencrypted key: {error}"
            ) from None
    elif key_file is not None:
        raise ConfigError(f"{table}: key_file is set without cert_file; set both")
    return context
