"""Uploads to S3 and servers that speak like it, through obstore."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from edgehar.delivery.target import UploadError
from edgehar.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from edgehar.delivery.options import UploadOptions
    from edgehar.delivery.target import Address, Pace

_PART_BYTES = 5 * 2**20  # the least that S3 takes


class S3Target:
    """A bucket."""

    def __init__(self, address: Address, options: UploadOptions) -> None:
        """Use a bucket; ConfigError if obstore is missing or the settings do not fit."""
        try:
            import obstore
            from obstore.store import S3Store
        except ImportError:
            raise ConfigError("upload: s3:// needs obstore; run: pip install 'edgehar[upload]'") from None
        self._obstore: Any = obstore
        self._prefix = address.path
        client: dict[str, Any] = {"timeout": f"{options.timeout_s}s", "connect_timeout": f"{options.timeout_s}s"}
        if options.endpoint is not None and options.endpoint.startswith("http://"):
            client["allow_http"] = True
        given: dict[str, Any] = {"region": options.s3_region, "client_options": client}
        if options.endpoint is not None:
            given |= {"endpoint": options.endpoint, "virtual_hosted_style_request": False}
        if address.user is not None:
            given |= {"access_key_id": address.user, "secret_access_key": address.password or ""}
        # Waiting and trying again is the uploader's work.
        self._store = S3Store(address.host, retry_config={"max_retries": 0}, **given)

    def put(self, name: str, path: Path, pace: Pace) -> None:
        """Upload a file; the bucket has it whole or not at all."""
        chunks = pace.chunks(path)
        try:
            self._obstore.put(self._store, self._key(name), chunks, chunk_size=_PART_BYTES)
        except UploadError:
            raise
        except Exception as error:
            raise UploadError(_short(error)) from None

    def sha256(self, name: str) -> str:
        """Read a file back and return its SHA-256."""
        digest = hashlib.sha256()
        try:
            for chunk in self._obstore.get(self._store, self._key(name)).stream():
                digest.update(bytes(chunk))
        except Exception as error:
            raise UploadError(_short(error)) from None
        return digest.hexdigest()

    def close(self) -> None:
        """Nothing to close."""

    def _key(self, name: str) -> str:
        return f"{self._prefix}/{name}".strip("/")


def _short(error: Exception) -> str:
    """Return the first line of an error of obstore, which may be long."""
    return " ".join(str(error).split())[:160] or type(error).__name__
