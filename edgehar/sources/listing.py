"""List the cameras of this machine from the kernel and libcamera, without starting one."""

from __future__ import annotations

import fcntl
import os
import re
import struct
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edgehar.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator

_DEV = Path("/dev")
# Numbers and layouts from linux/videodev2.h, identical on all supported machines.
_QUERYCAP, _ENUM_FMT, _ENUM_FRAMESIZES = 0x80685600, 0xC0405602, 0xC02C564A
_CAPABILITY = struct.Struct("=16s32s32sIII12x")
_FORMAT = struct.Struct("=III32sI16x")
_FRAME_SIZE = struct.Struct("=IIIIIIIII8x")
_VIDEO_CAPTURE, _DEVICE_CAPS = 0x1, 0x80000000
_BUFFERS_OF_CAPTURE, _DISCRETE = 1, 1
# Longest list to read, in case a driver never ends it.
_MOST = 64
# Raspberry Pi drivers whose video nodes are parts of libcamera's pipeline, or decoders, and send no pictures.
_OF_LIBCAMERA = {"unicam", "rp1-cfe", "pispbe", "bcm2835-isp"}
_NO_CAMERAS = {"bcm2835-codec", "rpivid", "rpi-hevc-dec"}


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """A camera, or a device node that looks like one.

    Attributes:
        source: the value for `--source`; None if it cannot be read.
        name: the maker's name for it.
        path: its device node, or its name in libcamera.
        formats: its formats and sizes, for example "YUYV 640x480 1280x720"; empty if it does not report them.
        why_not: why it cannot be read, and what to do; None if it can.
    """

    source: str | None
    name: str
    path: str
    formats: list[str] = []
    why_not: str | None = None


def list_devices() -> list[Device]:
    """List the V4L2 cameras by number, then those of libcamera."""
    return [*_v4l2(), *_libcamera()]


def _v4l2() -> Iterator[Device]:
    numbered = [(int(found[1]), path) for path in _DEV.glob("video*") if (found := re.search(r"(\d+)$", path.name))]
    for number, path in sorted(numbered):
        device = _ask(number, path)
        if device is not None:
            yield device


def _ask(number: int, path: Path) -> Device | None:
    """Query the driver of a device node. Returns None if it is not a camera."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        hint = "add yourself to the group video: sudo usermod -aG video $USER, and log in again"
        why_not = hint if isinstance(error, PermissionError) else f"cannot be opened: {error.strerror}"
        return Device(source=None, name=f"video{number}", path=str(path), why_not=why_not)
    try:
        answer = bytearray(_CAPABILITY.size)
        fcntl.ioctl(descriptor, _QUERYCAP, answer)
        driver, card, _, _, capabilities, of_node = _CAPABILITY.unpack(answer)
        if capabilities & _DEVICE_CAPS:
            capabilities = of_node
        name, driver_name = _text(card), _text(driver)
        if not capabilities & _VIDEO_CAPTURE or driver_name in _NO_CAMERAS:
            return None
        if driver_name in _OF_LIBCAMERA:
            return Device(
                source=None,
                name=name,
                path=str(path),
                why_not="sends the raw data of a camera module; read the module with --source picamera2:0",
            )
        return Device(source=f"camera:{number}", name=name, path=str(path), formats=list(_formats(descriptor)))
    except OSError:
        return None  # not a V4L2 device
    finally:
        os.close(descriptor)


def _formats(descriptor: int) -> Iterator[str]:
    for index in range(_MOST):
        answer = bytearray(_FORMAT.pack(index, _BUFFERS_OF_CAPTURE, 0, b"", 0))
        if not _ioctl(descriptor, _ENUM_FMT, answer):
            return
        fourcc = _FORMAT.unpack(answer)[4]
        name = fourcc.to_bytes(4, "little").decode("ascii", "replace").strip()
        yield " ".join([name, *_sizes(descriptor, fourcc)])


def _sizes(descriptor: int, fourcc: int) -> Iterator[str]:
    for index in range(_MOST):
        answer = bytearray(_FRAME_SIZE.pack(index, fourcc, 0, 0, 0, 0, 0, 0, 0))
        if not _ioctl(descriptor, _ENUM_FRAMESIZES, answer):
            return
        _, _, kind, *sides = _FRAME_SIZE.unpack(answer)
        if kind != _DISCRETE:
            least_width, most_width, _, least_height, most_height, _ = sides
            yield f"{least_width}x{least_height} to {most_width}x{most_height}"
            return
        yield f"{sides[0]}x{sides[1]}"


def _ioctl(descriptor: int, request: int, answer: bytearray) -> bool:
    """Issue a query. Returns False at the end of a list."""
    try:
        fcntl.ioctl(descriptor, request, answer)
    except OSError:
        return False
    return True


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "replace")


def _libcamera() -> Iterator[Device]:
    from edgehar.sources.picamera2 import load_library

    try:
        cameras = load_library().Picamera2.global_camera_info()
    except SourceError:
        return  # usually not a Raspberry Pi; `edgehar doctor` reports what is missing
    for number, camera in enumerate(cameras):
        # libcamera lists USB cameras too, but V4L2 reads them better.
        if "usb" not in str(camera.get("Id", "")).lower():
            name, path = str(camera.get("Model", "camera")), str(camera.get("Id", ""))
            yield Device(source=f"picamera2:{number}", name=name, path=path)
