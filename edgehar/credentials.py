"""Passwords, certificates and addresses: read from files, masked when shown. Messages name the table, key and file."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from edgehar.errors import ConfigError

if TYPE_CHECKING:
    import ssl

MASK = "********"
# Cheap cameras take the password in the path or query: rtsp://host/user=admin&password=secret&channel=1.
_SECRET_FIELD = re.compile(r"(?i)\b(user|username|login|pass|passwd|password|pwd|token|key|auth|secret)=[^&;/]*")


class Secret(str):
    """A password or token: printed, formatted or shown within anything else, it is `********`.

    It compares and hashes as its text does, msgspec refuses to encode it, and `reveal()` gives the text for the one
    place that needs it. Adding and joining strings, and the `json` module, use the text itself: mind them.

    >>> f"{Secret('hunter2')} {Secret('hunter2')!r}"
    "******** '********'"
    """

    __slots__ = ()

    def reveal(self) -> str:
        """The text itself, as a plain `str`."""
        return str.__str__(self)

    def __str__(self) -> str:
        return MASK

    def __repr__(self) -> str:
        return repr(MASK)

    def __format__(self, specification: str) -> str:
        return format(MASK, specification)


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


def read_secret(table: str, key: str, path: str) -> str:
    """The first line of a file.

    Raises:
        ConfigError: it cannot be read, or is empty.
    """
    try:
        line = Path(path).read_text(encoding="utf-8").partition("\n")[0].rstrip("\r")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise ConfigError(f"{table}: {key} {path}: cannot be read: {reason}") from None
    if not line:
        raise ConfigError(f"{table}: {key} {path}: its first line is empty; write the {key.partition('_')[0]} there")
    return line


def tls_context(
    table: str, *, ca_file: str | None = None, cert_file: str | None = None, key_file: str | None = None
) -> ssl.SSLContext:
    """A context that checks the server's certificate and host name, with our own certificate where one is given.

    Raises:
        ConfigError: a file cannot be used.
    """
    import ssl

    for key, path in (("ca_file", ca_file), ("cert_file", cert_file), ("key_file", key_file)):
        if path is not None and not os.access(path, os.R_OK):
            raise ConfigError(f"{table}: {key} {path}: is not there or cannot be read")
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except (ssl.SSLError, OSError) as error:
        raise ConfigError(f"{table}: ca_file {ca_file}: is no PEM file of certificates: {error}") from None
    # Debian's Python, a Raspberry Pi's too, leaves this to OpenSSL's configuration.
    context.minimum_version = max(context.minimum_version, ssl.TLSVersion.TLSv1_2)
    if cert_file is not None:
        try:
            # A password is given so that OpenSSL does not ask for one at the terminal.
            context.load_cert_chain(cert_file, key_file, password=lambda: "")
        except (ssl.SSLError, OSError) as error:
            raise ConfigError(
                f"{table}: cert_file {cert_file}: not a PEM certificate with its unencrypted key: {error}"
            ) from None
    elif key_file is not None:
        raise ConfigError(f"{table}: key_file is given without cert_file; give both")
    return context
