"""Uploads by HTTP PUT: to WebDAV servers, whose folders are made, and to any server that takes a PUT."""

from __future__ import annotations

import base64
import hashlib
import http.client
import urllib.parse
from typing import TYPE_CHECKING

from edgehar._version import __version__
from edgehar.credentials import tls_context
from edgehar.delivery.target import UploadError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from edgehar.delivery.options import UploadOptions
    from edgehar.delivery.target import Address, Pace

_CHUNK_BYTES = 65_536


class HttpTarget:
    """A WebDAV or plain HTTP server."""

    def __init__(self, address: Address, options: UploadOptions) -> None:
        """Use a server; ConfigError if a file of the settings cannot be used."""
        self._address, self._options = address, options
        self._context = tls_context("upload", ca_file=options.ca_file) if address.tls else None
        self._headers = {"User-Agent": f"edgehar/{__version__}"}
        if address.user is not None or address.password is not None:
            pair = f"{address.user or ''}:{address.password or ''}"
            self._headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        self._connection: http.client.HTTPConnection | None = None
        self._made: set[str] = set()

    def put(self, name: str, path: Path, pace: Pace) -> None:
        """Upload a file. A file that was cut off is uploaded again from its start, because PUT cannot go on."""
        self._make_folders(name)
        size = path.stat().st_size
        headers = {"Content-Length": str(size), "Content-Type": "application/octet-stream"}
        status, _ = self._ask("PUT", name, headers, pace.chunks(path))
        if not 200 <= status < 300:
            self._made.clear()
            raise UploadError(f"refused a file: {_said(status)}")

    def sha256(self, name: str) -> str:
        """Read a file back and return its SHA-256."""
        status, digest = self._ask("GET", name, {}, None)
        if status != 200:
            raise UploadError(f"does not give back a file: {_said(status)}")
        return digest

    def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _make_folders(self, name: str) -> None:
        folders = f"{self._address.path}/{name}".strip("/").split("/")[:-1]
        for count in range(1, len(folders) + 1):
            folder = "/".join(folders[:count])
            if folder not in self._made:
                # A server without WebDAV refuses MKCOL, and makes folders itself or needs none.
                self._ask("MKCOL", "", {}, None, at=f"{folder}/")
                self._made.add(folder)

    def _ask(
        self, method: str, name: str, headers: dict[str, str], body: Iterator[bytes] | None, at: str | None = None
    ) -> tuple[int, str]:
        """Return the status of an answer, and the SHA-256 of its body."""
        place = at if at is not None else f"{self._address.path}/{name}".strip("/")
        target = "/" + urllib.parse.quote(place)
        try:
            connection = self._connected()
            connection.request(method, target, body=body, headers={**self._headers, **headers})
            answer = connection.getresponse()
            digest = hashlib.sha256()
            while chunk := answer.read(_CHUNK_BYTES):
                digest.update(chunk)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise UploadError(str(getattr(error, "strerror", None) or error or type(error).__name__)) from error
        except UploadError:
            self.close()
            raise
        if answer.will_close:
            self.close()
        return answer.status, digest.hexdigest()

    def _connected(self) -> http.client.HTTPConnection:
        if self._connection is None:
            address, timeout_s = self._address, self._options.timeout_s
            if self._context is not None:
                self._connection = http.client.HTTPSConnection(
                    address.host, address.port, timeout=timeout_s, context=self._context
                )
            else:
                self._connection = http.client.HTTPConnection(address.host, address.port, timeout=timeout_s)
        return self._connection


def _said(status: int) -> str:
    phrase = http.client.responses.get(status, "unknown answer")
    return f"{status} {phrase}"
