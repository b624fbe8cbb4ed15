"""Checks that the configured cameras exist and can be read by this user. None is started."""

from __future__ import annotations

import getpass
import grp
import os
import socket
import urllib.parse
from pathlib import Path
from typing import TYPE_CHECKING

from edgehar.credentials import without_credentials
from edgehar.doctor.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgehar.config import CameraOptions, Config
    from edgehar.sources.listing import Device

_CONNECT_TIMEOUT_S = 3.0
_PORTS = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443}


def check_cameras(config: Config) -> Iterator[Finding]:
    """Check every configured camera, stream and file."""
    from edgehar.sources.listing import list_devices

    devices = list_devices()
    for camera in config.cameras:
        yield _check(camera, devices)


def _check(camera: CameraOptions, devices: list[Device]) -> Finding:
    shown = without_credentials(camera.source)
    check = f"camera {camera.name or shown}"
    scheme, _, rest = camera.source.partition(":")
    if scheme == "camera":
        return _v4l2(check, rest, devices)
    if scheme == "picamera2":
        if any(device.source == camera.source for device in devices):
            return Finding(check, "ok", "libcamera sees it")
        return Finding(check, "fail", "libcamera does not see it", "check the cable; then: rpicam-hello --list-cameras")
    if scheme in _PORTS:
        return _stream(check, camera.source)
    if scheme in ("synthetic", "stdin"):
        return Finding(check, "ok", "needs nothing")
    return _file(check, Path(camera.source.removeprefix("file:")))


def _v4l2(check: str, number: str, devices: list[Device]) -> Finding:
    path = Path(f"/dev/video{number}")
    device = next((device for device in devices if device.path == str(path)), None)
    if not path.exists():
        there = ", ".join(device.source for device in devices if device.source) or "none"
        return Finding(check, "fail", f"{path} does not exist; cameras: {there}", "plug it in, or set another source")
    if not os.access(path, os.R_OK | os.W_OK):
        return _no_access(check, path)
    if device is None:
        return Finding(check, "fail", f"{path} gives no pictures", "list usable cameras: edgehar devices")
    if device.why_not is not None:
        return Finding(check, "fail", f"{device.name} ({path}) cannot be read", device.why_not)
    return Finding(check, "ok", f"{device.name} ({path})")


def _no_access(check: str, path: Path) -> Finding:
    """Return which group is missing, and whether it was added only after this session started."""
    user = getpass.getuser()
    try:
        group = grp.getgrgid(path.stat().st_gid)
    except KeyError:
        return Finding(check, "fail", f"{user} may not read {path}", f"ls -l {path}; sudo chgrp video {path}")
    if user in group.gr_mem:
        says = f"{user} is in the group {group.gr_name}, but was not when this session started"
        return Finding(check, "fail", says, "log out and in again, or restart")
    says = f"{user} may not read {path}, and is not in the group {group.gr_name}"
    return Finding(check, "fail", says, f"sudo usermod -aG {group.gr_name} {user}; then log out and in again")


def _stream(check: str, address: str) -> Finding:
    """Check that the address accepts connections. Sends nothing."""
    try:
        parts = urllib.parse.urlsplit(address)
        host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
        socket.create_connection((host, port), timeout=_CONNECT_TIMEOUT_S).close()
    except ValueError:
        return Finding(check, "fail", "is not a valid address", "write rtsp://user:password@host/path")
    except OSError as error:
        says = f"{host} does not answer on port {port}: {error.strerror or error}"
        return Finding(check, "fail", says, "check that it is switched on, its address, and the network")
    return Finding(check, "ok", f"{host} answers on port {port}")


def _file(check: str, path: Path) -> Finding:
    if any(character in path.name for character in "*?["):
        return Finding(check, "ok", "a pattern of image files")
    if not path.exists():
        return Finding(check, "fail", f"{path}: no such file or folder", "check the path")
    if not os.access(path, os.R_OK):
        return Finding(check, "fail", f"{path}: cannot be read by {getpass.getuser()}", f"ls -ld {path}")
    return Finding(check, "ok", str(path))
