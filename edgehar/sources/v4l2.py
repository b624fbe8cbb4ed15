"""Negotiate with a V4L2 camera: the rawest pictures that it can send at the wanted size and rate."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2

if TYPE_CHECKING:
    from collections.abc import Container

# OpenCV's own default. OpenCV keeps a lower rate that the driver granted, so the rate is requested again every time.
_DEFAULT_RATE_HZ = 30.0
# A camera is fast enough from this rate on if no rate was requested.
_FAST_ENOUGH_HZ = 24.0
# Drivers round rates, for example 29.97 or 14.985.
_RATE_TOLERANCE = 0.95


class Mode(enum.Enum):
    """Form of the frames that OpenCV returns."""

    YUYV = "YUYV"  # as the camera sends them, without decoding or conversion
    MJPG = "MJPG"  # JPEG files
    BGR = "BGR"  # decoded and converted by OpenCV from any format


@dataclass(frozen=True)
class Wanted:
    """The requested size and rate.

    Attributes:
        size: width and height in pixels; None leaves it to OpenCV (640x480).
        rate_hz: frames a second; None leaves it to OpenCV (30).
    """

    size: tuple[int, int] | None
    rate_hz: float | None

    def is_met_by(self, offer: Offer) -> bool:
        """Return whether an offer has the requested size and a sufficient rate."""
        return self._size_error(offer) == 0 and self._rate_share(offer) >= _RATE_TOLERANCE

    def closeness(self, offer: Offer) -> tuple[int, float]:
        """Return a sort key: larger is closer, first in size, then in rate."""
        return -self._size_error(offer), self._rate_share(offer)

    def _size_error(self, offer: Offer) -> int:
        return 0 if self.size is None else abs(offer.width - self.size[0]) + abs(offer.height - self.size[1])

    def _rate_share(self, offer: Offer) -> float:
        # If a driver does not report a rate, assume that it granted the requested one.
        wanted_hz = self.rate_hz or _FAST_ENOUGH_HZ
        return min(1.0, offer.rate_hz / wanted_hz) if offer.rate_hz > 0 else 1.0


@dataclass(frozen=True)
class Offer:
    """The mode, size and rate that the driver granted.

    Attributes:
        mode: form of the frames.
        width: pixels.
        height: pixels.
        rate_hz: frames a second; 0 if the driver does not report it.
    """

    mode: Mode
    width: int
    height: int
    rate_hz: float

    def __str__(self) -> str:
        rate = f" at {self.rate_hz:.3g} frames/s" if self.rate_hz > 0 else ""
        return f"{self.width}x{self.height} {self.mode.value}{rate}"


def negotiate(capture: Any, wanted: Wanted, without: Container[Mode] = ()) -> Offer:
    """Choose the rawest mode in which the driver grants the wanted size and rate, and leave the camera in it.

    YUYV is tried first because it needs no decoding. USB 2 is too slow for large YUYV pictures at full rate, so drivers
    then grant a lower rate and MJPG is tried. If that falls short too, the closer of the two is chosen.

    Args:
        capture: an opened `cv2.VideoCapture` from which no frame was read since the last negotiation.
        wanted: the requested size and rate.
        without: modes to skip.
    """
    offers = []
    # Some drivers and OpenCV builds only return converted pictures.
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
    """Request one mode. Returns None if the driver does not have it, in which case OpenCV silently uses another."""
    fourcc = int.from_bytes(mode.value.encode(), "little")
    capture.set(cv2.CAP_PROP_FOURCC, fourcc)
    offer = _set(capture, mode, wanted)
    return offer if int(capture.get(cv2.CAP_PROP_FOURCC)) == fourcc else None


def _set(capture: Any, mode: Mode, wanted: Wanted) -> Offer:
    if wanted.size is not None:
        # OpenCV applies a size once it has both sides.
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, wanted.size[0])
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, wanted.size[1])
    capture.set(cv2.CAP_PROP_FPS, wanted.rate_hz or _DEFAULT_RATE_HZ)
    width, height = (int(capture.get(side)) for side in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
    return Offer(mode, width, height, max(0.0, capture.get(cv2.CAP_PROP_FPS)))
