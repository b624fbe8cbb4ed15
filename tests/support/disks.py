"""Disks that are small, and so soon full."""

import contextlib
import os
import subprocess

import pytest


@contextlib.contextmanager
def small_disk(folder, kilobytes):
    """Mounts a file system of so many kB (2^10 bytes) at a new folder; the test is skipped where that cannot be."""
    if os.geteuid() != 0:
        pytest.skip("needs root to mount a small disk")
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", folder]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("this machine mounts no tmpfs")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def fill_up(folder, name="ballast"):
    """Fill a disk to its last byte; returns the file that does."""
    try:
        ballast = os.open(folder / name, os.O_CREAT | os.O_WRONLY)
    except OSError:
        return None
    try:
        while True:
            os.write(ballast, bytes(4096))
    except OSError:
        os.close(ballast)
    return folder / name
