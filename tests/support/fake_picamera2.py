"""A Raspberry Pi's camera behind picamera2, for want of a real one: the documented calls, as strict as the real ones.

What it holds to was read in picamera2 0.3.36: unknown arguments, stream keys and controls are refused; sizes are even
and `lores` no larger than `main`; rows are padded to a stride that the configuration tells; buffers are few, hold other
pixels as soon as their request is released, and complain of views that outlive their `MappedArray`.
"""

import contextlib
import enum
import time
import types
from dataclasses import dataclass, field

import numpy as np

STREAM_KEYS = {"format", "size", "stride", "preserve_ar"}


class Encoding(enum.Enum):
    Null, Rec601, Rec709, Rec2020 = range(4)


class Range(enum.Enum):
    Full, Limited = range(2)


@dataclass(frozen=True)
class ColorSpace:
    """As `libcamera.ColorSpace`, of which only these two attributes matter here."""

    ycbcrEncoding: Encoding  # noqa: N815 - libcamera's name
    range: Range


SMPTE170M = ColorSpace(Encoding.Rec601, Range.Limited)
REC709 = ColorSpace(Encoding.Rec709, Range.Limited)
SYCC = ColorSpace(Encoding.Rec601, Range.Full)


def _mode(size, fps, crop, bit_depth=10):
    return {"format": "SRGGB10", "unpacked": "SRGGB10", "bit_depth": bit_depth, "size": size, "fps": fps,
            "crop_limits": crop, "exposure_limits": (60, 11766829, None)}  # fmt: skip


IMX219 = [
    _mode((640, 480), 103.33, (1000, 752, 1280, 960)),
    _mode((1640, 1232), 41.85, (0, 0, 3280, 2464)),
    _mode((1920, 1080), 47.57, (680, 692, 1920, 1080)),
    _mode((3280, 2464), 21.19, (0, 0, 3280, 2464)),
]
IMX708 = [
    _mode((1536, 864), 120.13, (768, 432, 3072, 1728)),
    _mode((2304, 1296), 56.03, (0, 0, 4608, 2592)),
    _mode((4608, 2592), 14.35, (0, 0, 4608, 2592)),
]


@dataclass
class Sensor:
    """What is on the cable.

    Attributes:
        modes: as `Picamera2.sensor_modes`.
        colour_space: what libcamera settles on.
        align: rows are padded to a multiple of this.
        busy: another program has it.
        raw: it gives raw pictures, as every camera module does. picamera2 stumbles over one that does not.
        frames: how many it gives before it falls silent.
        period_s: how long each capture waits for its frame.
        stamp_ns: called when a frame is there, gives its SensorTimestamp; None is none.
        streams: format that libcamera settles on.
    """

    modes: list = field(default_factory=lambda: IMX219)
    colour_space: object = SMPTE170M
    align: int = 64
    busy: bool = False
    raw: bool = True
    frames: int = 20
    period_s: float = 0.0
    stamp_ns: object = lambda: time.monotonic_ns() - 25_000_000
    streams: str = "YUV420"


def library(*sensors):
    """The module `picamera2`, on a board with these sensors; `opened` lists the cameras that were opened."""
    module = types.ModuleType("picamera2")
    module.opened = []

    class Camera(Picamera2):
        _sensors, _opened = sensors, module.opened

    module.Picamera2, module.MappedArray = Camera, MappedArray
    return module


def scene(height, width, shift=0):
    """What the camera sees: a smooth picture with all colours, uint8 BGR."""
    y, x = np.mgrid[0:height, 0:width]
    return np.dstack([255 * x / width, 255 * y / height, (255 * (1 - x / width) + shift) % 256]).astype(np.uint8)


def as_i420(bgr, colour_space):
    """BGR as Y, U and V."""
    kr, kb = (0.2126, 0.0722) if colour_space.ycbcrEncoding is Encoding.Rec709 else (0.299, 0.114)
    b, g, r = np.moveaxis(bgr.astype(float), -1, 0)
    y = kr * r + (1 - kr - kb) * g + kb * b
    u, v = ((c - y) / (2 * (1 - k)) for c, k in ((b, kb), (r, kr)))
    u, v = (c.reshape(len(c) // 2, 2, -1, 2).mean((1, 3)) for c in (u, v))
    if colour_space.range is Range.Limited:
        y, u, v = 16 + y * 219 / 255, u * 224 / 255, v * 224 / 255
    return [np.clip(np.round(plane), 0, 255).astype(np.uint8) for plane in (y, u + 128, v + 128)]


class Picamera2:
    """`picamera2.Picamera2`: anything that is not here is an AttributeError."""

    _sensors = ()
    _opened = None

    @staticmethod
    def global_camera_info():
        return []  # no sensor is connected

    def __init_subclass__(cls):
        cls.global_camera_info = staticmethod(
            lambda: [{"Model": "imx219", "Location": 2, "Rotation": 180, "Id": f"/base/i2c@{n}", "Num": n}
                     for n, _ in enumerate(cls._sensors)]
        )  # fmt: skip

    def __init__(self, camera_num=0, verbose_console=None, tuning=None, allocator=None):
        self._sensor = self._sensors[camera_num]
        if self._sensor.busy:
            cause = RuntimeError("Failed to acquire camera: Device or resource busy")
            raise RuntimeError("Camera __init__ sequence did not complete.") from cause
        if not self._sensor.raw:
            cause = AttributeError("'NoneType' object has no attribute 'at'")
            raise RuntimeError("Camera __init__ sequence did not complete.") from cause
        self._configuration, self._free, self._lent = {}, [], []
        self.started, self.closed, self.flushed, self.controls, self._given = False, 0, False, {}, 0
        self._opened.append(self)

    @property
    def camera_properties(self):
        return {"Model": "imx219", "ColorFilterArrangement": 0}

    @property
    def camera_controls(self):
        fastest_us = round(1e6 / (self._mode["fps"] if self._configuration else 30))
        return {"FrameDurationLimits": (fastest_us, 1_000_000, None), "ExposureTime": (60, 1_000_000, None),
                "AnalogueGain": (1.0, 10.6, None)}  # fmt: skip

    @property
    def sensor_modes(self):
        assert not self.started
        return [dict(mode) for mode in self._sensor.modes]

    def create_video_configuration(
        self, main={}, lores=None, raw={}, transform=None, colour_space=None, buffer_count=6, controls={},  # noqa: B006
        display="main", encode="main", queue=True, sensor={}, use_case="video",  # noqa: B006
    ):  # fmt: skip
        main = {"format": "XBGR8888", "size": (1280, 720), "preserve_ar": True} | main
        lores = None if lores is None else {"format": "YUV420", "size": main["size"], "preserve_ar": False} | lores
        for stream in (main, lores):
            assert set(stream or {}) <= STREAM_KEYS, "Bad key"
        return {"use_case": use_case, "transform": transform, "colour_space": colour_space, "queue": queue,
                "buffer_count": buffer_count, "main": main, "lores": lores, "raw": raw, "display": display,
                "encode": encode, "sensor": sensor,
                "controls": {"NoiseReductionMode": 1, "FrameDurationLimits": (33333, 33333)} | controls}  # fmt: skip

    def configure(self, camera_config):
        assert not self.started, "Camera must be stopped before configuring"
        main, lores, sensor = (camera_config[key] for key in ("main", "lores", "sensor"))
        for stream in (main, lores):
            if any(length % 2 for length in stream["size"]):
                raise RuntimeError("width and height should be even")
        if any(small > large for small, large in zip(lores["size"], main["size"], strict=True)):
            raise RuntimeError("lores stream dimensions may not exceed main stream")
        assert set(sensor) <= {"bit_depth", "output_size"}
        self._mode = next(mode for mode in self._sensor.modes if mode["size"] == sensor["output_size"])
        width, height = lores["size"]
        stride = -(-width // self._sensor.align) * self._sensor.align
        done = {"format": self._sensor.streams, "stride": stride, "framesize": stride * height * 3 // 2}
        self._configuration = {**camera_config, "lores": {**lores, **done}, "colour_space": self._sensor.colour_space}
        self.controls = dict(camera_config["controls"])
        self._free = [bytearray(done["framesize"]) for _ in range(camera_config["buffer_count"])]

    def camera_configuration(self):
        return self._configuration

    def start(self, config=None, show_preview=False):
        assert self._configuration, "Camera has not been configured"
        self.started = True

    @contextlib.contextmanager
    def captured_request(self, wait=None, flush=None):
        assert self.started
        if self._given == self._sensor.frames or not self._free:
            assert wait is not None, "would wait for ever"
            time.sleep(wait)
            raise TimeoutError
        time.sleep(self._sensor.period_s)
        request = Request(self, self._free.pop(0))
        self._given += 1
        self._lent.append(request)
        try:
            yield request
        finally:
            self._lent.remove(request)
            request.release()
            self._free.append(request.buffer)

    def cancel_all_and_flush(self):
        self.flushed = True

    def close(self):
        assert not self._lent
        self.started = False
        self.closed += 1


class Request:
    """`picamera2.CompletedRequest`."""

    def __init__(self, camera, buffer):
        self.buffer, self.config, self._released = buffer, camera.camera_configuration(), False
        lores = self.config["lores"]
        (width, height), stride = lores["size"], lores["stride"]
        planes = as_i420(scene(height, width, camera._given * 10), camera._sensor.colour_space or SMPTE170M)
        rows = [np.pad(p, ((0, 0), (0, s - p.shape[1])), constant_values=99).reshape(-1)
                for p, s in zip(planes, (stride, stride // 2, stride // 2), strict=True)]  # fmt: skip
        buffer[:] = np.concatenate(rows).tobytes()
        self._stamp_ns = camera._sensor.stamp_ns()

    def get_metadata(self):
        assert not self._released
        stamp = {} if self._stamp_ns is None else {"SensorTimestamp": self._stamp_ns}
        return {"ExposureTime": 9000, "FrameDuration": 33333, **stamp}

    def release(self):
        assert not self._released
        self._released = True
        self.buffer[:] = b"\x55" * len(self.buffer)


class MappedArray:
    """`picamera2.MappedArray`."""

    def __init__(self, request, stream, reshape=True, write=True):
        assert stream in ("main", "lores")
        assert reshape
        assert not write, "a write flushes the cache for nothing"
        self._request, self._stream = request, stream

    def __enter__(self):
        (_, height), stride = (self._request.config[self._stream][key] for key in ("size", "stride"))
        self.array = np.frombuffer(self._request.buffer, np.uint8).reshape(height * 3 // 2, stride)
        return self

    def __exit__(self, *_):
        del self.array
        self._request.buffer.append(0)  # BufferError while there are views of it
        self._request.buffer.pop()
