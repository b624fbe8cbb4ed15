"""Raw frames from another program, on standard input.

The address is `stdin:?width=640&height=480&format=bgr24&rate_hz=25&live=0&matrix=bt601&full_range=0`.
"""

from __future__ import annotations

import logging
import os
import sys
import time
import urllib.parse
from typing import TYPE_CHECKING, Annotated, Self

import msgspec
import numpy as np

from edgehar.errors import ConfigError, SourceError
from edgehar.frames import Frame, PixelFormat, YuvMatrix, plane_shapes
from edgehar.printable import printable
from edgehar.sources.base import HandleSource
from edgehar.sources.options import DEFAULT_RATE_HZ, StdinOptions

if TYPE_CHECKING:
    from edgehar.frames import Pixels

_log = logging.getLogger(__name__)

SCHEME = "stdin:"
_EXAMPLE = "stdin:?width=640&height=480&format=bgr24"
_DEFAULT = StdinOptions()


class Layout(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Layout of the frames, from the parameters of the address.

    Attributes:
        width: pixels in a row.
        height: rows.
        format: pixel format. Planes follow one another without padding.
        rate_hz: frames a second, from which capture times are computed.
        live: whether frames arrive at their own pace, as from a camera; they are then captured when they arrive.
        matrix: standard of YUV colors.
        full_range: whether YUV levels use all of 0-255.
    """

    width: Annotated[int, msgspec.Meta(ge=8, le=8192)]
    height: Annotated[int, msgspec.Meta(ge=8, le=8192)]
    format: PixelFormat = PixelFormat.BGR24
    rate_hz: Annotated[float, msgspec.Meta(gt=0, le=10000)] = DEFAULT_RATE_HZ
    live: bool = False
    matrix: YuvMatrix = YuvMatrix.BT601
    full_range: bool = False


class StdinSource(HandleSource):
    """Frames as consecutive bytes, as `ffmpeg -f rawvideo -` writes them.

    Attributes:
        name: "stdin".
    """

    reopens = False

    def __init__(self, layout: Layout, options: StdinOptions = _DEFAULT, *, descriptor: int | None = None) -> None:
        """Start reading.

        Args:
            layout: layout of the frames.
            options: a rate that overrides that of `layout`.
            descriptor: file descriptor to read; standard input if None. It stays open.

        Raises:
            ConfigError: YUYV of odd width.
            SourceError: standard input is closed, or a terminal.
        """
        super().__init__()
        self.name = "stdin"
        self.live = layout.live
        if layout.format is PixelFormat.YUYV and layout.width % 2:
            raise ConfigError(f"{self.name}: width is {layout.width}; for yuyv it must be even")
        self._layout = layout
        self._rate_hz = layout.rate_hz if options.rate_hz is None else options.rate_hz
        self._shapes = plane_shapes(layout.format, layout.height, layout.width)
        self._sequence = 0
        self._descriptor = _standard_input() if descriptor is None else descriptor

    @classmethod
    def from_uri(cls, uri: str, options: StdinOptions = _DEFAULT) -> Self:
        """Open an address such as `stdin:?width=640&height=480`.

        Raises:
            ConfigError: an unknown parameter, a value out of range, or no size.
        """
        fields = dict(urllib.parse.parse_qsl(uri.removeprefix(SCHEME).removeprefix("?"), keep_blank_values=True))
        try:
            return cls(msgspec.convert(fields, Layout, strict=False), options)
        except msgspec.ValidationError as error:
            # The user reads msgspec's path "$.width" as a parameter.
            message = str(error).replace("`$.", "`").replace("Object missing required field", "missing parameter")
            message = message.replace("Object contains unknown field", "unknown parameter")
            raise ConfigError(f"{printable(uri)}: {message}; for example {_EXAMPLE}") from error

    def _read(self) -> Frame | None:
        samples = self._next_bytes(sum(map(_size, self._shapes)))
        if samples is None:
            return None
        arrived_s = time.monotonic()
        captured_s = arrived_s if self.live else self._sequence / self._rate_hz
        self._sequence += 1
        layout = self._layout
        pixels, number = self._planes(samples), self._sequence - 1
        return Frame(pixels, layout.format, captured_s, arrived_s, number, layout.matrix, layout.full_range)

    def _next_bytes(self, count: int) -> bytearray | None:
        """Return the next `count` bytes, or None if the input ends, also within a frame."""
        samples = bytearray(count)
        view, got = memoryview(samples), 0
        while got < count:
            if self._closing:
                return None
            try:
                more = os.readv(self._descriptor, [view[got:]])
            except OSError as error:
                raise SourceError(
                    f"{self.name}: cannot be read: {error.strerror}; check the writing program"
                ) from error
            if not more:
                if got:
                    _log.warning("%s: ended after %d of the %d bytes of a frame; check its size", self.name, got, count)
                return None
            got += more
        return samples

    def _planes(self, samples: bytearray) -> Pixels:
        planes, start = [], 0
        for shape in self._shapes:
            planes.append(np.frombuffer(samples, np.uint8, _size(shape), start).reshape(shape))
            start += _size(shape)
        return planes[0] if len(planes) == 1 else tuple(planes)

    def _release(self) -> None:
        pass


def _size(shape: tuple[int, ...]) -> int:
    return int(np.prod(shape))


def _standard_input() -> int:
    if sys.stdin is None or sys.stdin.closed:
        raise SourceError("stdin: standard input is closed; pipe raw frames into this program")
    if sys.stdin.isatty():
        raise SourceError("stdin: standard input is a terminal; pipe raw frames into this program")
    return sys.stdin.fileno()
