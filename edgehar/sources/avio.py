"""Addresses opened by FFmpeg's own protocols and read from Python, for which PyAV has no interface."""

from __future__ import annotations

import ctypes
import functools
import os
from typing import TYPE_CHECKING

import av
import av.container.core
from av.error import err_check, tag_to_code

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_READ = 1
_SEARCH_CHILDREN = 1
_Interrupt = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)


class _InterruptCallback(ctypes.Structure):
    _fields_ = (("callback", _Interrupt), ("opaque", ctypes.c_void_p))


@functools.cache
def ffmpeg() -> ctypes.CDLL:
    """Return the FFmpeg libraries that PyAV is linked with, which need not be the only ones of this process.

    Raises OSError if they cannot be used.
    """
    return ctypes.CDLL(av.container.core.__file__)


def is_available() -> bool:
    """Return whether addresses can be opened here, which needs functions of FFmpeg that PyAV may not export."""
    try:
        return all(hasattr(ffmpeg(), name) for name in ("avio_open2", "avio_read_partial", "av_dict_set"))
    except OSError:
        return False


class Address:
    """An address that is open for reading. FFmpeg's options for its protocols apply."""

    def __init__(self, url: str, options: Mapping[str, str], is_over: Callable[[], bool]) -> None:
        """Open an address.

        Args:
            url: the address.
            options: FFmpeg's options. Those that its protocol does not know are ignored.
            is_over: called during a wait; True ends it.

        Raises:
            av.FFmpegError: it cannot be opened; ExitError if `is_over` returned True.
        """
        self._handle = ctypes.c_void_p()
        self._buffer = ctypes.create_string_buffer(1 << 15)
        # FFmpeg calls it as long as the address is open.
        self._interrupt = _InterruptCallback(_Interrupt(lambda _: int(is_over())), None)
        dictionary = ctypes.c_void_p()
        for name, value in options.items():
            ffmpeg().av_dict_set(ctypes.byref(dictionary), name.encode(), os.fsencode(value), 0)
        code = ffmpeg().avio_open2(
            ctypes.byref(self._handle),
            os.fsencode(url),
            _READ,
            ctypes.byref(self._interrupt),
            ctypes.byref(dictionary),
        )
        ffmpeg().av_dict_free(ctypes.byref(dictionary))
        err_check(code, url)

    def read(self, size: int) -> bytes:
        """Return the next bytes, at least one and at most `size`; none at the end and after an error."""
        size = min(size, len(self._buffer))
        got: int = ffmpeg().avio_read_partial(self._handle, self._buffer, size)
        return ctypes.string_at(self._buffer, got) if got > 0 else b""

    def option(self, name: str) -> str | None:
        """Return an option of the protocol, for example the "location" that HTTP redirected to; None without it."""
        found = ctypes.c_char_p()
        if ffmpeg().av_opt_get(self._handle, name.encode(), _SEARCH_CHILDREN, ctypes.byref(found)) < 0:
            return None
        value = None if found.value is None else os.fsdecode(found.value)
        ffmpeg().av_free(found)
        return value

    def close(self) -> None:
        """Close the connection. Safe to call twice."""
        if self._handle:
            ffmpeg().avio_closep(ctypes.byref(self._handle))

    def __del__(self) -> None:
        self.close()


def timed_out(url: str) -> av.FFmpegError:
    """Return the error of an address that did not answer in time."""
    return av.ExitError(tag_to_code(b"EXIT"), "Immediate exit requested", url)
