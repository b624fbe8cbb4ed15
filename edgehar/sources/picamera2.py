"""Frames from a camera module on the ribbon cable of a Raspberry Pi, through picamera2 (libcamera)."""

from __future__ import annotations

import logging
import os
import re
import time
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from edgehar.errors import ConfigError, SourceError
from edgehar.frames import Frame, PixelFormat, YuvMatrix
from edgehar.sources.arrays import checked_rate_hz
from edgehar.sources.base import HandleSource, checked_target_size

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from edgehar.frames import Plane

_log = logging.getLogger(__name__)

_DEFAULT_RATE_HZ = 30.0
_DEFAULT_TARGET_SIZE = (240, 320)
# The camera's own scaler makes pictures twice the size that is wanted, hence even; FrameRing averages the rest.
_LEFT_OVER = 2
# A sensor mode that shows less than this share of what the widest one shows is a zoom.
_WHOLE_VIEW = 0.9
# Frames that picamera2 may fill while one is read. Few: an old frame is worth nothing.
_BUFFERS = 4
READ_TIMEOUT_S = 10.0
# An older time of capture is no time of capture.
_OLDEST_S = 10.0

_INSTALL = (
    "this source needs picamera2, which comes with Raspberry Pi OS and not from pip; run: sudo apt install "
    "python3-picamera2, and make the virtual environment with: python3 -m venv --system-site-packages"
)


class Picamera2Source(HandleSource):
    """A camera of libcamera's. `captured_s` is when the sensor began to expose the frame, on the monotonic clock.

    The camera's own hardware shrinks frames to a small I420 picture of the sensor's whole view; its planes are copied
    out, and the buffer is given back at once.

    Attributes:
        name: "picamera2:N".
    """

    live = True

    def __init__(
        self,
        number: int,
        *,
        rate_hz: float | None = None,
        target_size: tuple[int, int] | None = None,
        controls: Mapping[str, Any] | None = None,
        read_timeout_s: float = READ_TIMEOUT_S,
    ) -> None:
        """Open and start a camera.

        Args:
            number: its place in libcamera's list (`rpicam-hello --list-cameras`).
            rate_hz: frames a second to ask for, 30 when None.
            target_size: height and width that frames will be shrunk to; they come at twice that size, or a little
                more to keep the sensor's aspect. (240, 320) when None.
            controls: controls of libcamera's by name, for example `{"ExposureTime": 8000, "AnalogueGain": 4.0}`.
            read_timeout_s: how long the camera may give no frame.

        Raises:
            ConfigError: a control that this camera does not have, or a `rate_hz` or `target_size` that makes no sense.
            SourceError: there is no picamera2 or no such camera, or it is in use.
        """
        super().__init__()
        self.name = f"picamera2:{number}"
        self._target_size = checked_target_size(target_size) or _DEFAULT_TARGET_SIZE
        self._rate_hz = _DEFAULT_RATE_HZ if rate_hz is None else checked_rate_hz(rate_hz)
        self._read_timeout_s = read_timeout_s
        self._sequence, self._last_s = 0, 0.0
        try:
            self._library = load_library()
        except SourceError as error:
            raise SourceError(f"{self.name}: {error}") from error.__cause__
        self._camera = self._open(number)
        try:
            self._start(dict(controls or {}))
        except Exception as error:
            self._camera.close()
            if isinstance(error, ConfigError | SourceError):
                raise
            raise SourceError(
                f"{self.name}: cannot be set up: {error}; a USB camera is read with --camera N instead"
            ) from error

    @classmethod
    def from_uri(cls, uri: str, **options: Any) -> Self:
        """Open `picamera2:N`; ConfigError when N is not a number."""
        number = uri.removeprefix("picamera2:")
        if not re.fullmatch(r"[0-9]{1,4}", number):
            raise ConfigError(f"{uri}: the camera is given by its number, for example picamera2:0")
        return cls(int(number), **options)

    @classmethod
    def check(cls) -> None:
        """SourceError when picamera2 is missing or does not work."""
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
                # picamera2 takes raw pictures for granted.
                raise SourceError(
                    f"{self.name}: is no camera module, as it gives no raw pictures; a USB camera is read with "
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
            raise ConfigError(f"{self.name}: {unknown[0]} is no control of this camera; it has {known}")
        mode = _whole_view(camera.sensor_modes, self._rate_hz)
        size = _small_size(mode["crop_limits"][2:], self._target_size)
        period_us = round(1e6 / self._rate_hz)
        stream = {"size": size, "format": "YUV420"}
        camera.configure(
            camera.create_video_configuration(
                main=dict(stream),  # there has to be one; nobody reads it
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
        """Believe what libcamera made of the wishes, not the wishes."""
        configuration = self._camera.camera_configuration()
        stream = configuration["lores"]
        if stream["format"] != "YUV420":
            raise SourceError(f"{self.name}: gives {stream['format']} pictures where YUV420 ones were asked for")
        (self._width, self._height), self._stride = stream["size"], stream["stride"]
        self._matrix, self._full_range = _colours(configuration["colour_space"])
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
                    # A view that outlived the block would show later frames, or keep the buffer from being unmapped.
                    samples = np.array(mapped.array, np.uint8)
        except TimeoutError:
            self._camera.cancel_all_and_flush()
            raise SourceError(
                f"{self.name}: gave no frame in {self._read_timeout_s:g} s; check the cable and start again"
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
        """Y, U and V of a buffer, in which they follow each other, rows padded to the stride and half of that."""
        height, width, stride = self._height, self._width, self._stride
        y_end, chroma = height * stride, (height // 2) * (stride // 2)
        if samples.size < y_end + 2 * chroma:
            raise SourceError(f"{self.name}: gave {samples.size} bytes for a picture of {width}x{height}; report this")
        y = samples[:y_end].reshape(height, stride)[:, :width]
        u, v = samples[y_end : y_end + 2 * chroma].reshape(2, height // 2, stride // 2)[..., : width // 2]
        return y, u, v

    def _release(self) -> None:
        self._camera.close()


def load_library() -> Any:
    """The module `picamera2`, told to be quiet; SourceError, with what to do, when it cannot be imported."""
    # Both talk on stderr; our messages say what to do.
    os.environ.setdefault("LIBCAMERA_LOG_LEVELS", "*:ERROR")
    logging.getLogger("picamera2").setLevel(logging.CRITICAL)
    try:
        import picamera2
    except ImportError as error:
        raise SourceError(f"{_INSTALL} ({error})") from error
    except ValueError as error:
        # Raspberry Pi OS bookworm builds simplejpeg, which picamera2 imports, for numpy 1.
        if "numpy" not in str(error):
            raise
        raise SourceError(
            f"this picamera2 was built for an older numpy ({error}); run: pip install 'numpy<2'"
        ) from error
    return picamera2


def _whole_view(modes: Sequence[Mapping[str, Any]], rate_hz: float) -> Mapping[str, Any]:
    """The cheapest mode of a sensor that shows all it can show, and is fast enough where one is.

    Small modes of many sensors show the middle only, and libcamera picks those for small pictures.
    """
    modes = [mode for mode in modes if "size" in mode and "crop_limits" in mode]
    if not modes:
        raise ValueError("libcamera knows no mode of its sensor")
    widest = max(_area(mode["crop_limits"][2:]) for mode in modes)
    whole = [mode for mode in modes if _area(mode["crop_limits"][2:]) >= _WHOLE_VIEW * widest]
    fast = [mode for mode in whole if mode["fps"] >= rate_hz]
    if fast:
        return min(fast, key=lambda mode: (_area(mode["size"]), mode["bit_depth"]))
    return max(whole, key=lambda mode: mode["fps"])


def _area(size: Sequence[int]) -> int:
    return size[0] * size[1]


def _small_size(view: Sequence[int], target_size: tuple[int, int]) -> tuple[int, int]:
    """An even (width, height) in the aspect of the view, at least twice the target both ways, and hardly more."""
    view_width, view_height = view
    height, width = (_LEFT_OVER * length for length in target_size)
    if width * view_height >= height * view_width:
        return width, max(height, _nearest_even(width * view_height, view_width))
    return max(width, _nearest_even(height * view_width, view_height)), height


def _nearest_even(numerator: int, denominator: int) -> int:
    """The even number nearest to a fraction."""
    return 2 * ((numerator + denominator) // (2 * denominator))


def _colours(colour_space: Any) -> tuple[YuvMatrix, bool]:
    """Matrix and range of a `libcamera.ColorSpace`; that of small video where libcamera does not know it."""
    if colour_space is None:
        return YuvMatrix.BT601, False
    is_709 = colour_space.ycbcrEncoding.name == "Rec709"
    return YuvMatrix.BT709 if is_709 else YuvMatrix.BT601, colour_space.range.name == "Full"


def _captured_s(stamp_ns: int | None, now_s: float) -> float:
    """A sensor's time stamp on the clock of `time.monotonic`; `now_s`, on that clock, where there is no sound one.

    libcamera defines SensorTimestamp on CLOCK_BOOTTIME, which also counts the time asleep; drivers of the Raspberry Pi
    stamp with CLOCK_MONOTONIC. On a machine that never slept these are one. On one that did, only a stamp of the
    former lies in the future of the latter.
    """
    if stamp_ns is None:
        return now_s
    stamp_s = stamp_ns / 1e9
    if stamp_s > now_s:
        stamp_s -= time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic()
    return stamp_s if now_s - _OLDEST_S <= stamp_s <= now_s else now_s
