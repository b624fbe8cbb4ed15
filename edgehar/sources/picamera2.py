"""Frames from a Raspberry Pi camera module, through picamera2 (libcamera)."""

from __future__ import annotations

import logging
import os
import re
import time
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from edgehar.errors import ConfigError, SourceError
from edgehar.frames import Frame, PixelFormat, YuvMatrix
from edgehar.printable import printable
from edgehar.sources.base import HandleSource
from edgehar.sources.options import Picamera2Options

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from edgehar.frames import Plane

_log = logging.getLogger(__name__)

_DEFAULT = Picamera2Options()
# The camera's scaler makes pictures of twice the target size, hence even; Resizer averages the rest.
_OVERSAMPLING = 2
# A sensor mode whose view is less than this share of the widest view is a zoom.
_WHOLE_VIEW = 0.9
# Frame buffers of picamera2. Few, because old frames are worthless.
_BUFFERS = 4
# Ignore capture times older than this, in seconds: they are on another clock.
_OLDEST_S = 10.0

_INSTALL = (
    "this source needs picamera2, which is part of Raspberry Pi OS and not on PyPI; run: sudo apt install "
    "python3-picamera2, and create the virtual environment with: python3 -m venv --system-site-packages"
)


class Picamera2Source(HandleSource):
    """A libcamera camera. `captured_s` is the start of the exposure, on the clock of `time.monotonic`.

    The camera hardware scales frames to a small I420 picture of the sensor's whole view. The planes are copied and the
    buffer is returned to the camera at once.

    Attributes:
        name: "picamera2:N".
    """

    live = True

    def __init__(self, number: int, options: Picamera2Options = _DEFAULT) -> None:
        """Open and start a camera.

        Args:
            number: its position in libcamera's list (`rpicam-hello --list-cameras`).
            options: rate, size, controls and timeout.

        Raises:
            ConfigError: the camera does not have one of the controls.
            SourceError: picamera2 is missing, or the camera does not exist or is in use.
        """
        super().__init__()
        self.name = f"picamera2:{number}"
        self._target_size, self._rate_hz = options.target_size, options.rate_hz
        self._read_timeout_s = options.read_timeout_s
        self._sequence, self._last_s = 0, 0.0
        try:
            self._library = load_library()
        except SourceError as error:
            raise SourceError(f"{self.name}: {error}") from error.__cause__
        self._camera = self._open(number)
        try:
            self._start(options.controls)
        except Exception as error:
            self._camera.close()
            if isinstance(error, ConfigError | SourceError):
                raise
            raise SourceError(
                f"{self.name}: cannot be configured: {error}; read a USB camera with --camera N instead"
            ) from error

    @classmethod
    def from_uri(cls, uri: str, options: Picamera2Options = _DEFAULT) -> Self:
        """Open `picamera2:N`. Raises ConfigError if N is not a number."""
        number = uri.removeprefix("picamera2:")
        if not re.fullmatch(r"[0-9]{1,4}", number):
            raise ConfigError(f"{printable(uri)}: give the camera by its number, for example picamera2:0")
        return cls(int(number), options)

    @classmethod
    def check(cls) -> None:
        """Check that picamera2 works. Raises SourceError if it is missing or broken."""
        load_library()

    def _open(self, number: int) -> Any:
        cameras = self._library.Picamera2.global_camera_info()
        if number >= len(cameras):
            listed = ", ".join(f"{place}: {camera.get('Model', '?')}" for place, camera in enumerate(cameras)) or "none"
            raise SourceError(
                f"{self.name}: no such camera (libcamera sees: {listed}); check the cable, and: "
                "rpicam-hello --list-cameras"
            )
        try:
            return self._library.Picamera2(number)
        except (RuntimeError, IndexError) as error:
            if isinstance(error.__cause__, AttributeError):
                # picamera2 assumes that every camera sends raw pictures.
                raise SourceError(
                    f"{self.name}: not a camera module, because it sends no raw pictures; read a USB camera with "
                    "--camera N instead"
                ) from error
            raise SourceError(
                f"{self.name}: cannot be opened ({error.__cause__ or error}); it may be in use by another program"
            ) from error

    def _start(self, controls: dict[str, Any]) -> None:
        camera = self._camera
        unknown = sorted(set(controls) - set(camera.camera_controls) - {"FrameRate"})
        if unknown:
            known = ", ".join(sorted(camera.camera_controls))
            raise ConfigError(f"{self.name}: {unknown[0]} is not a control of this camera; its controls are {known}")
        mode = _whole_view(camera.sensor_modes, self._rate_hz)
        size = _small_size(mode["crop_limits"][2:], self._target_size)
        period_us = round(1e6 / self._rate_hz)
        stream = {"size": size, "format": "YUV420"}
        camera.configure(
            camera.create_video_configuration(
                main=dict(stream),  # required, but not read
                lores=dict(stream),
                raw=None,
                buffer_count=_BUFFERS,
                controls={"FrameDurationLimits": (period_us, period_us), **controls},
                display=None,
                encode=None,
                sensor={"output_size": mode["size"], "bit_depth": mode["bit_depth"]},
            )
        )
        self._take_configuration()
        camera.start()

    def _take_configuration(self) -> None:
        """Read the configuration that libcamera granted, which may differ from the requested one."""
        configuration = self._camera.camera_configuration()
        stream = configuration["lores"]
        if stream["format"] != "YUV420":
            raise SourceError(f"{self.name}: sends {stream['format']} pictures instead of YUV420; update libcamera")
        (self._width, self._height), self._stride = stream["size"], stream["stride"]
        self._matrix, self._full_range = _colors(configuration["colour_space"])
        fastest_us = self._camera.camera_controls["FrameDurationLimits"][0]
        rate_hz = min(self._rate_hz, 1e6 / fastest_us) if fastest_us else self._rate_hz
        model = self._camera.camera_properties.get("Model", "camera")
        _log.info("%s: %s, %dx%d I420 at %.3g frames/s", self.name, model, self._width, self._height, rate_hz)

    def _read(self) -> Frame:
        try:
            with self._camera.captured_request(wait=self._read_timeout_s) as request:
                arrived_s = time.monotonic()
                stamp_ns = request.get_metadata().get("SensorTimestamp")
                with self._library.MappedArray(request, "lores", write=False) as mapped:
                    # Copy: a view would show later frames, or prevent the buffer from being unmapped.
                    samples = np.array(mapped.array, np.uint8)
        except TimeoutError:
            self._camera.cancel_all_and_flush()
            raise SourceError(
                f"{self.name}: no frame in {self._read_timeout_s:g} s; check the cable and start again"
            ) from None
        self._last_s = max(self._last_s, _captured_s(stamp_ns, arrived_s))
        self._sequence += 1
        return Frame(
            self._planes(samples.reshape(-1)),
            PixelFormat.I420,
            self._last_s,
            arrived_s,
            self._sequence - 1,
            self._matrix,
            self._full_range,
        )

    def _planes(self, samples: Plane) -> tuple[Plane, ...]:
        """Return Y, U and V of a buffer. They are stored in sequence, with rows padded to the stride and half of it."""
        height, width, stride = self._height, self._width, self._stride
        y_end, chroma = height * stride, (height // 2) * (stride // 2)
        if samples.size < y_end + 2 * chroma:
            raise SourceError(f"{self.name}: sent {samples.size} bytes for a picture of {width}x{height}; report this")
        y = samples[:y_end].reshape(height, stride)[:, :width]
        u, v = samples[y_end : y_end + 2 * chroma].reshape(2, height // 2, stride // 2)[..., : width // 2]
        return y, u, v

    def _release(self) -> None:
        self._camera.close()


def load_library() -> Any:
    """Import `picamera2` with its log output disabled. Raises SourceError if it cannot be imported."""
    # libcamera and picamera2 log to stderr. Our messages say what to do.
    os.environ.setdefault("LIBCAMERA_LOG_LEVELS", "*:ERROR")
    logging.getLogger("picamera2").setLevel(logging.CRITICAL)
    try:
        import picamera2
    except ImportError as error:
        raise SourceError(f"{_INSTALL} ({error})") from error
    except ValueError as error:
        # picamera2 imports simplejpeg, which Raspberry Pi OS bookworm builds for numpy 1.
        if "numpy" not in str(error):
            raise
        raise SourceError(
            f"this picamera2 was built for an older numpy ({error}); run: pip install 'numpy<2'"
        ) from error
    return picamera2


def _whole_view(modes: Sequence[Mapping[str, Any]], rate_hz: float) -> Mapping[str, Any]:
    """Return the cheapest sensor mode that shows the whole view and is fast enough, or else the fastest one.

    Small modes of many sensors show only the center, and libcamera prefers them for small pictures.
    """
    modes = [mode for mode in modes if "size" in mode and "crop_limits" in mode]
    if not modes:
        raise ValueError("libcamera reports no mode of its sensor")
    widest = max(_area(mode["crop_limits"][2:]) for mode in modes)
    whole = [mode for mode in modes if _area(mode["crop_limits"][2:]) >= _WHOLE_VIEW * widest]
    fast = [mode for mode in whole if mode["fps"] >= rate_hz]
    if fast:
        return min(fast, key=lambda mode: (_area(mode["size"]), mode["bit_depth"]))
    return max(whole, key=lambda mode: mode["fps"])


def _area(size: Sequence[int]) -> int:
    return size[0] * size[1]


def _small_size(view: Sequence[int], target_size: tuple[int, int]) -> tuple[int, int]:
    """Return the smallest even (width, height) with the view's aspect ratio and at least twice the target size."""
    view_width, view_height = view
    height, width = (_OVERSAMPLING * length for length in target_size)
    if width * view_height >= height * view_width:
        return width, max(height, _nearest_even(width * view_height, view_width))
    return max(width, _nearest_even(height * view_width, view_height)), height


def _nearest_even(numerator: int, denominator: int) -> int:
    """Return the even number nearest to a fraction."""
    return 2 * ((numerator + denominator) // (2 * denominator))


def _colors(colour_space: Any) -> tuple[YuvMatrix, bool]:
    """Return matrix and range of a `libcamera.ColorSpace`; those of small video if libcamera does not know it."""
    if colour_space is None:
        return YuvMatrix.BT601, False
    is_709 = colour_space.ycbcrEncoding.name == "Rec709"
    return YuvMatrix.BT709 if is_709 else YuvMatrix.BT601, colour_space.range.name == "Full"


def _captured_s(stamp_ns: int | None, now_s: float) -> float:
    """Return a sensor's time stamp on the clock of `time.monotonic`, or `now_s` if it has no valid one.

    libcamera defines SensorTimestamp on CLOCK_BOOTTIME, which includes suspended time. Raspberry Pi drivers use
    CLOCK_MONOTONIC. The two are equal on a machine that was never suspended. Otherwise only a CLOCK_BOOTTIME stamp is
    in the future of CLOCK_MONOTONIC.
    """
    if stamp_ns is None:
        return now_s
    stamp_s = stamp_ns / 1e9
    if stamp_s > now_s:
        stamp_s -= time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic()
    return stamp_s if now_s - _OLDEST_S <= stamp_s <= now_s else now_s
