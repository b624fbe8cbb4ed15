#!/usr/bin/env python3
"""Run a command in namespaces of its own, in which arm64 programs start under qemu: namespace.py COMMAND [ARGUMENT...]

Makes a user, mount and process namespace with the ids 0 to 65535 mapped onto themselves, mounts a binfmt_misc of that
user namespace, and registers qemu-aarch64 there. Nothing changes for the rest of the machine, and all of it ends with
the command. Needs root and the package qemu-user-static.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

_NEW_MOUNTS, _NEW_USERS, _NEW_PROCESSES = 0x20000, 0x10000000, 0x20000000
_RECURSIVE, _SLAVE = 0x4000, 0x80000
_HANDLER = Path("/usr/lib/binfmt.d/qemu-aarch64.conf")
_REGISTER = Path("/proc/sys/fs/binfmt_misc/register")
_libc = ctypes.CDLL(None, use_errno=True)


def main() -> int:
    """Run the command and return its exit code."""
    if len(sys.argv) < 2:
        print("usage: namespace.py COMMAND [ARGUMENT...]", file=sys.stderr)
        return 2
    if os.geteuid() != 0 or not _HANDLER.exists():
        print("namespace.py: needs root, and qemu: apt-get install qemu-user-static", file=sys.stderr)
        return 1
    made, tell_made = os.pipe()
    mapped, tell_mapped = os.pipe()
    child = os.fork()
    if child == 0:
        os._exit(_inside(tell_made, mapped))
    os.close(tell_made)
    if not os.read(made, 1):
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    for kind in ("uid", "gid"):
        Path(f"/proc/{child}/{kind}_map").write_text("0 0 65536\n")
    os.write(tell_mapped, b"x")
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) & 255


def _inside(tell_made: int, mapped: int) -> int:
    _check(_libc.unshare(_NEW_USERS | _NEW_MOUNTS | _NEW_PROCESSES), "unshare")
    os.write(tell_made, b"x")
    os.read(mapped, 1)
    os.setgid(0)
    os.setuid(0)
    # The first process of a namespace cannot be the command, because it handles signals and orphans differently.
    first = os.fork()
    if first == 0:
        os._exit(_first_process())
    return os.waitstatus_to_exitcode(os.waitpid(first, 0)[1]) & 255


def _first_process() -> int:
    _check(_libc.mount(None, b"/", None, _RECURSIVE | _SLAVE, None), "mount /")
    _check(_libc.mount(b"proc", b"/proc", b"proc", 0, None), "mount /proc")
    _check(_libc.mount(b"none", b"/proc/sys/fs/binfmt_misc", b"binfmt_misc", 0, None), "mount binfmt_misc")
    _REGISTER.write_text(_HANDLER.read_text().strip())
    command = os.fork()
    if command == 0:
        try:
            os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606 - the command is the user's
        except OSError as error:
            print(f"namespace.py: {sys.argv[1]}: {error.strerror}", file=sys.stderr)
            os._exit(127)
    while True:
        ended, status = os.wait()
        if ended == command:
            return os.waitstatus_to_exitcode(status) & 255


def _check(result: int, what: str) -> None:
    if result:
        print(f"namespace.py: {what}: {os.strerror(ctypes.get_errno())}", file=sys.stderr)
        os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
