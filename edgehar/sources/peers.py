"""Notice that an RTSP server redirects to another host, which FFmpeg follows without a question."""

from __future__ import annotations

import contextlib
import os
import socket
import urllib.parse
from pathlib import Path

_SOCKETS = Path("/proc/self/fd")


def connections() -> dict[str, str]:
    """Return the address of the peer of every TCP connection of this process, by its name in `/proc/self/fd`."""
    found = {}
    # Another thread may close a descriptor meanwhile; elsewhere than on Linux there is no such folder.
    with contextlib.suppress(OSError):
        for entry in _SOCKETS.iterdir():
            with contextlib.suppress(OSError):
                name = str(entry.readlink())
                if name.startswith("socket:"):
                    found[name] = _peer(int(entry.name))
    return found


def _peer(descriptor: int) -> str:
    """Return the address of a TCP socket's peer. Raises OSError if it is another socket or not connected."""
    with socket.socket(fileno=os.dup(descriptor)) as copy:
        if copy.family not in (socket.AF_INET, socket.AF_INET6):
            raise OSError("not an internet socket")
        return _plain(copy.getpeername()[0])


def redirected_to(uri: str, before: dict[str, str]) -> str | None:
    """Return the other host that an opened address led to; None if it led to its own.

    Args:
        uri: the address.
        before: the connections before it was opened.
    """
    new = {peer for name, peer in connections().items() if name not in before}
    host = urllib.parse.urlsplit(uri).hostname or ""
    try:
        own = {_plain(str(info[4][0])) for info in socket.getaddrinfo(host, None)}
    except OSError:
        return None
    return None if not new or new & own else min(new)


def _plain(address: str) -> str:
    return address.removeprefix("::ffff:")
