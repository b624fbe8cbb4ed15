"""A place that recordings are uploaded to, and what its address says."""

from __future__ import annotations

import urllib.parse
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from edgehar.credentials import read_secret
from edgehar.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from edgehar.delivery.options import UploadOptions

_EXAMPLE = "s3://bucket/prefix, https://host/folder or sftp://user@host/folder"


class UploadError(Exception):
    """A file did not arrive; the message says why. Trying again may help."""


class Target(Protocol):
    """A connection to a server. One thread uses it."""

    def put(self, name: str, path: Path, pace: Pace) -> None:
        """Upload a file, or the rest of it, under a name with `/`. Raises UploadError."""

    def sha256(self, name: str) -> str:
        """Read a file back and return its SHA-256. Raises UploadError."""

    def close(self) -> None:
        """Close the connection."""


class Pace(Protocol):
    """Gives the bytes of a file at the pace that is allowed, and stops when the program ends."""

    def chunks(self, path: Path, start: int = 0) -> Iterator[bytes]:
        """Yield the bytes of a file from `start` on. Raises UploadError when the program ends."""


@dataclass(frozen=True)
class Address:
    """A server, and the log-in there.

    Attributes:
        kind: "s3", "http" or "sftp".
        host: name or address; the bucket for S3.
        port: TCP port; None for the usual one.
        tls: whether to speak TLS.
        path: folder at the server, without slashes at its ends.
        user: user or access key; None for none.
        password: its password; None for none.
        where: the address as it may be shown.
    """

    kind: str
    host: str
    port: int | None
    tls: bool
    path: str
    user: str | None = field(repr=False)
    password: str | None = field(repr=False)
    where: str


def read_address(options: UploadOptions) -> Address:
    """Read the address, and the log-in wherever it is.

    Raises:
        ConfigError: the options cannot be used. The message never repeats the address or a password.
    """
    url = "" if options.url is None else options.url.reveal()
    try:
        parts = urllib.parse.urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        parts, host, port = urllib.parse.urlsplit(""), "", None
    kinds = {"s3": "s3", "http": "http", "https": "http", "sftp": "sftp"}
    kind = kinds.get(parts.scheme)
    if kind is None or not host or parts.query or parts.fragment or "@" in parts.path:
        raise ConfigError(f"upload: url must be {_EXAMPLE}; write special characters percent-encoded (@ as %40)")
    user = options.user or (urllib.parse.unquote(parts.username) if parts.username else None)
    given = [urllib.parse.unquote(parts.password)] if parts.password else []
    given += [options.password.reveal()] if options.password else []
    given += [read_secret("upload", "password_file", options.password_file)] if options.password_file else []
    if len(given) > 1:
        raise ConfigError("upload: the password is set twice, in url, password or password_file; leave one")
    if kind == "sftp" and (user is None or options.known_hosts_file is None):
        raise ConfigError(
            "upload: sftp:// needs a user and known_hosts_file; make it with: ssh-keyscan HOST > known_hosts"
        )
    path = urllib.parse.unquote(parts.path).strip("/")
    return Address(
        kind, host, port, parts.scheme == "https", path, user, given[0] if given else None, options.where.rstrip("/")
    )
