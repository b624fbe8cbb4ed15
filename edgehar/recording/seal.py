"""Encryption to public keys in the age format (age-encryption.org/v1), as bytes are written: never in clear on disk."""

from __future__ import annotations

import hashlib
import io
import os
import threading
from typing import TYPE_CHECKING, Any

from edgehar.errors import ConfigError, SinkError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SUFFIX = ".age"
_INSTALL = "sealing needs pyrage; run: pip install 'edgehar[seal]'"


class Sealer:
    """Encrypts to one or more public keys."""

    def __init__(self, recipients: Sequence[str]) -> None:
        """Read public keys.

        Args:
            recipients: keys that begin with "age1", or SSH public keys (ssh-ed25519, ssh-rsa).

        Raises:
            ConfigError: one is not a public key, or pyrage is not installed.
        """
        self._pyrage = load_pyrage()
        self._recipients = [self._recipient(text) for text in recipients]

    def _recipient(self, text: str) -> Any:
        if text.startswith("AGE-SECRET-KEY-"):
            raise ConfigError(
                "record: seal_to holds a secret key; give the public key (age1...), and keep the secret one elsewhere"
            )
        kind = self._pyrage.ssh if text.startswith("ssh-") else self._pyrage.x25519
        try:
            return kind.Recipient.from_str(text)
        except Exception as error:
            shown = text if len(text) < 40 else f"{text[:20]}..."
            raise ConfigError(
                f"record: seal_to: {shown!r} is not a public key ({error}); `edgehar seal keygen` prints one (age1...)"
            ) from None

    def seal(self, data: bytes) -> bytes:
        """Return bytes encrypted."""
        sealed = io.BytesIO()
        self._pyrage.encrypt_io(io.BytesIO(data), sealed, self._recipients)
        return sealed.getvalue()

    def output(self, path: Path) -> SealedOutput:
        """Create a file that is encrypted as it is written; OSError if that fails."""
        return SealedOutput(path, self._pyrage, self._recipients)


class SealedOutput:
    """A file that is encrypted as it is written. The last 64 KiB are held in memory until more comes or it is closed.

    Attributes:
        sha256: of the bytes before encryption, in hexadecimal; complete after `close`.
        size: bytes before encryption.
    """

    def __init__(self, path: Path, pyrage: Any, recipients: list[Any]) -> None:
        """Create the file with mode 0600 and start the thread that encrypts; OSError if that fails."""
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        self._hash = hashlib.sha256()
        self.sha256, self.size = "", 0
        self._error: Exception | None = None
        read_end, self._pipe = os.pipe()
        self._thread = threading.Thread(
            target=self._encrypt, args=[read_end, pyrage, recipients], name="edgehar-seal", daemon=True
        )
        self._thread.start()

    def write(self, data: bytes) -> int:
        """Append bytes; OSError if the disk is full or fails."""
        rest = memoryview(data)
        while rest:
            if self._error is not None:
                raise self._as_os_error()
            written = os.write(self._pipe, rest)
            self._hash.update(rest[:written])
            self.size += written
            rest = rest[written:]
        return len(data)

    def flush(self) -> None:
        """Flush what was encrypted to the disk; OSError if the disk fails."""
        os.fdatasync(self._file)

    def close(self) -> None:
        """Write the rest, flush to the disk and close. Safe to call twice."""
        if self._pipe < 0:
            return
        pipe, self._pipe = self._pipe, -1
        os.close(pipe)
        self._thread.join()
        try:
            if self._error is not None:
                raise self._as_os_error()
            os.fsync(self._file)
        finally:
            os.close(self._file)
        self.sha256 = self._hash.hexdigest()

    def _as_os_error(self) -> OSError:
        return self._error if isinstance(self._error, OSError) else OSError(5, str(self._error))

    def _encrypt(self, read_end: int, pyrage: Any, recipients: list[Any]) -> None:
        with open(read_end, "rb") as clear, open(self._file, "wb", buffering=0, closefd=False) as sealed:
            try:
                pyrage.encrypt_io(clear, sealed, recipients)
            except Exception as error:
                self._error = error
                # The writer must not wait for a pipe that nobody reads.
                while clear.read(65_536):
                    pass


def load_pyrage() -> Any:
    """Import pyrage; ConfigError with the way to install it if it is missing."""
    try:
        import pyrage
        import pyrage.ssh
        import pyrage.x25519
    except ImportError:
        raise ConfigError(_INSTALL) from None
    return pyrage


def read_identities(path: Path) -> list[Any]:
    """Read secret keys from a file as `edgehar seal keygen` and `age-keygen` write it.

    Raises:
        ConfigError: it cannot be read, or holds no secret key.
    """
    pyrage = load_pyrage()
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or 'not text'}") from None
    found = []
    for line in lines:
        if line.strip().startswith("AGE-SECRET-KEY-"):
            try:
                found.append(pyrage.x25519.Identity.from_str(line.strip()))
            except Exception as error:
                raise ConfigError(f"{path}: its secret key is damaged: {error}") from None
    if not found:
        raise ConfigError(f"{path}: holds no secret key (a line that begins with AGE-SECRET-KEY-1)")
    return found


def open_sealed(source: Path, target: Path, identities: list[Any]) -> bool:
    """Decrypt a file.

    Returns:
        False if the sealed file is cut off: `target` then holds all that could be read.

    Raises:
        SinkError: none of the keys opens it, or it was altered from its first byte on.
    """
    pyrage = load_pyrage()
    with source.open("rb") as sealed, target.open("wb") as clear:
        try:
            pyrage.decrypt_io(sealed, clear, identities)
        except Exception as error:
            if clear.tell():
                return False
            raise SinkError(f"{source}: cannot be opened: {error}; use the secret key it was sealed to") from None
    return True
