"""Uploads over SFTP, through paramiko. A file that was cut off is continued."""

from __future__ import annotations

import contextlib
import hashlib
import posixpath
from typing import TYPE_CHECKING, Any

from edgehar.delivery.target import UploadError
from edgehar.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from edgehar.delivery.options import UploadOptions
    from edgehar.delivery.target import Address, Pace

_PORT = 22
_CHUNK_BYTES = 65_536


class SftpTarget:
    """A folder on an SSH server."""

    def __init__(self, address: Address, options: UploadOptions) -> None:
        """Use a server; ConfigError if paramiko is missing or the key of the server is not known."""
        try:
            import paramiko
        except ImportError:
            raise ConfigError("upload: sftp:// needs paramiko; run: pip install 'edgehar[upload]'") from None
        self._paramiko: Any = paramiko
        self._address, self._options = address, options
        self._client: Any = None
        self._sftp: Any = None
        self._made: set[str] = set()

    def put(self, name: str, path: Path, pace: Pace) -> None:
        """Upload a file, from where an earlier try was cut off; it gets its name when it is complete."""
        final = self._place(name)
        growing = f"{final}.part"
        with self._talking() as sftp:
            self._make_folders(sftp, posixpath.dirname(final))
            start = self._size(sftp, growing)
            if start > path.stat().st_size or (start and not self._is_prefix(sftp, growing, path)):
                start = 0
            with sftp.open(growing, "ab" if start else "wb") as remote:
                remote.set_pipelined(True)
                for chunk in pace.chunks(path, start):
                    remote.write(chunk)
            if self._size(sftp, growing) != path.stat().st_size:
                raise UploadError("has another number of bytes than were sent")
            sftp.posix_rename(growing, final)

    def sha256(self, name: str) -> str:
        """Read a file back and return its SHA-256."""
        with self._talking() as sftp:
            return self._digest(sftp, self._place(name))

    def close(self) -> None:
        """Close the connection."""
        client, self._client, self._sftp = self._client, None, None
        if client is not None:
            client.close()

    def _place(self, name: str) -> str:
        folder = self._address.path
        # As with curl: /~/ is the home of the user, all else is absolute.
        below_home = folder == "~" or folder.startswith("~/")
        return f"{folder[2:]}/{name}".lstrip("/") if below_home else f"/{folder}/{name}".replace("//", "/")

    @contextlib.contextmanager
    def _talking(self) -> Any:
        try:
            if self._sftp is None:
                self._connect()
            yield self._sftp
        except UploadError:
            self.close()
            raise
        except (OSError, EOFError, self._paramiko.SSHException) as error:
            self.close()
            reason = getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
            raise UploadError(str(reason)[:160]) from None

    def _connect(self) -> None:
        address, options = self._address, self._options
        client = self._paramiko.SSHClient()
        client.load_host_keys(options.known_hosts_file)
        client.set_missing_host_key_policy(self._paramiko.RejectPolicy())
        client.connect(
            address.host,
            address.port or _PORT,
            username=address.user,
            password=address.password,
            key_filename=options.key_file,
            timeout=options.timeout_s,
            banner_timeout=options.timeout_s,
            auth_timeout=options.timeout_s,
            allow_agent=False,
            look_for_keys=False,
        )
        self._client, self._sftp = client, client.open_sftp()
        self._sftp.get_channel().settimeout(options.timeout_s)
        self._made.clear()

    def _make_folders(self, sftp: Any, folder: str) -> None:
        if folder in ("", "/") or folder in self._made:
            return
        self._make_folders(sftp, posixpath.dirname(folder))
        try:
            sftp.stat(folder)
        except FileNotFoundError:
            sftp.mkdir(folder)
        self._made.add(folder)

    def _size(self, sftp: Any, name: str) -> int:
        try:
            return int(sftp.stat(name).st_size)
        except FileNotFoundError:
            return 0

    def _is_prefix(self, sftp: Any, name: str, path: Path) -> bool:
        """Whether what is at the server is the begin of our file."""
        with sftp.open(name, "rb") as remote, path.open("rb") as local:
            while chunk := remote.read(_CHUNK_BYTES):
                if local.read(len(chunk)) != chunk:
                    return False
        return True

    def _digest(self, sftp: Any, name: str) -> str:
        digest = hashlib.sha256()
        with sftp.open(name, "rb") as remote:
            while chunk := remote.read(_CHUNK_BYTES):
                digest.update(chunk)
        return digest.hexdigest()
