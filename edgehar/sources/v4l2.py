"""What a V4L2 camera is asked for: pictures as raw as it can give them at the size and rate that are wanted."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2

if TYPE_CHECKING:
    from collections.abc import Container

# What OpenCV asks for by itself. It forgets that once a driver has granted less, so it is asked for anew every time.
_DEFAULT_RATE_HZ = 30.0
# A rate that nobody asked for is fast enough from here on.
_FAST_ENOUGH_HZ = 24.0
# Drivers round rates: 29.97, 14.985.
_RATE_TOLERANCE = 0.95


class Mode(enum.Enum):
    """How frames come out of OpenCV."""

    YUYV = "YUYV"  # as the camera sends them, nothing to decode and nothing to convert
    MJPG = "MJPG"  # as JPEG files
    BGR = "BGR"  # whatever the camera sends, decoded and converted by OpenCV


@dataclass(frozen=True)
class Wanted:
    """What was asked for.

    Attributes:
        size: width and height in pixels; None leaves it to OpenCV (640x480).
        rate_hz: frames a second; None leaves it to OpenCV (30).
    """

    size: tuple[int, int] | None
    rate_hz: float | None

    def is_met_by(self, offer: Offer) -> bool:
        """Whether an offer has the size, and a rate that is high enough."""
        return self._size_error(offer) == 0 and self._rate_share(offer) >= _RATE_TOLERANCE

    def closeness(self, offer: Offer) -> tuple[int, float]:
        """Larger is closer: first in size, then in rate."""
        return -self._size_error(offer), self._rate_share(offer)

    def _size_error(self, offer: Offer) -> int:
        return 0 if self.size is None else abs(offer.width - self.size[0]) + abs(offer.height - self.size[1])

    def _rate_share(self, offer: Offer) -> float:
        # A driver that does not tell its rate is believed to have the one it was asked for.
        wanted_hz = self.rate_hz or _FAST_ENOUGH_HZ
        return min(1.0, offer.rate_hz / wanted_hz) if offer.rate_hz > 0 else 1.0


@dataclass(frozen=True)
class Offer:
    """What the driver grants.

    Attributes:
        mode: how frames come.
        width: pixels.
        height: pixels.
        rate_hz: frames a second; 0 when the driver does not say.
    """

    mode: Mode
    width: int
    height: int
    rate_hz: float

    def __str__(self) -> str:
        rate = f" at {self.rate_hz:.3g} frames/s" if self.rate_hz > 0 else ""
        return f"{self.width}x{self.height} {self.mode.value}{rate}"


def negotiate(capture: Any, wanted: Wanted, without: Container[Mode] = ()) -> Offer:
    """Settle on the rawest mode in which the driver grants what is wanted, and leave the camera in it.

    YUYV comes first, as it costs nothing to decode. Large pictures do not fit through USB 2 in it at full rate: drivers
    then grant a lower one, and MJPG is asked for; if that falls short too, the closer of the two is taken.

    Args:
        capture: the `cv2.VideoCapture`, opened, no frame read since it was last negotiated about.
        wanted: what to ask for.
        without: modes that are not to be tried.
    """
    offers = []
    # Some drivers and builds of OpenCV give nothing but converted pictures.
    raw = capture.set(cv2.CAP_PROP_CONVERT_RGB, 0)
    for mode in (Mode.YUYV, Mode.MJPG):
        offer = _ask(capture, mode, wanted) if raw and mode not in without else None
        if offer is not None and wanted.is_met_by(offer):
            return offer
        offers += [offer] if offer is not None else []
    best = max(offers, key=wanted.closeness, default=None)  # the first of equals
    if best is not None:
        again = best if best is offers[-1] else _ask(capture, best.mode, wanted)
        if again is not None:
            return again
    capture.set(cv2.CAP_PROP_CONVERT_RGB, 1)
    return _set(capture, Mode.BGR, wanted)


def _ask(capture: Any, mode: Mode, wanted: Wanted) -> Offer | None:
    """Ask for frames of one kind; None when the driver has none of it. OpenCV then quietly takes another."""
    fourcc = int.from_bytes(mode.value.encode(), "little")
    capture.set(cv2.CAP_PROP_FOURCC, fourcc)
    offer = _set(capture, mode, wanted)
    return offer if int(capture.get(cv2.CAP_PROP_FOURCC)) == fourcc else None


def _set(capture: Any, mode: Mode, wanted: Wanted) -> Offer:
    if wanted.size is not None:
        # OpenCV hands a size on when it has both.
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, wanted.size[0])
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, wanted.size[1])
    capture.set(cv2.CAP_PROP_FPS, wanted.rate_hz or _DEFAULT_RATE_HZ)
    width, height = (int(capture.get(side)) for side in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
    return Offer(mode, width, height, max(0.0, capture.get(cv2.CAP_PROP_FPS)))
