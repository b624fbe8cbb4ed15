"""PyAV's hardware decoding, for want of hardware: what its documentation allows, and no more.

A decoder takes its properties before it is opened, is opened once, and gives NV12 frames in memory without the number
of their packet, as drivers do. Anything else is an error.
"""

import errno

import av
from av.codec.hwaccel import HWAccel

_SETTABLE = {"extradata", "width", "height", "pix_fmt", "copy_opaque", "options", "skip_frame", "thread_count"}


class Context:
    """A decoder in hardware, which a decoder in software does the work of."""

    def __init__(self, machine, decoder, codec, is_hwaccel):
        vars(self).update(_machine=machine, _decoder=decoder, _software=av.CodecContext.create(codec, "r"))
        vars(self).update(is_hwaccel=is_hwaccel, is_open=False, _given={})

    def __setattr__(self, name, value):
        assert name in _SETTABLE, f"{name} is not for a decoder"
        assert not self.is_open or name in ("copy_opaque", "skip_frame"), f"{name} is set after the decoder is open"
        self._given[name] = value

    def open(self, strict=True):
        assert not self.is_open
        assert self._given["extradata"]
        if self._decoder.endswith("_v4l2m2m"):
            # The driver allocates its buffers by these.
            assert self._given["width"] > 0 < self._given["height"]
            assert self._given["pix_fmt"] == "yuv420p"
        self._machine.opened.append(self._decoder)
        if self._decoder in self._machine.broken:
            raise av.FFmpegError(errno.ENODEV, "No such device")
        self._software.extradata = self._given["extradata"]
        vars(self)["is_open"] = True

    def decode(self, packet=None):
        assert self.is_open
        self._machine.packets += 1
        if self._decoder in self._machine.silent and self._machine.packets > self._machine.silent_after:
            return []
        return [self._as_nv12(frame) for frame in self._software.decode(packet)]

    def flush_buffers(self):
        self._software.flush_buffers()

    def _as_nv12(self, frame):
        copy = frame.reformat(format="nv12")
        copy.pts, copy.time_base = frame.pts, frame.time_base
        assert copy.opaque is None
        return copy


class Machine:
    """What FFmpeg was built with, and which of it works.

    Attributes:
        decoders: names of decoders with a V4L2 driver.
        devices: devices of FFmpeg that decode H.264 and H.265.
        broken: decoders and devices that cannot be opened.
        silent: those that return no frame, after so many packets as `silent_after` says.
        opened: all that were tried, in order.
    """

    def __init__(self, decoders=(), devices=(), broken=(), silent=(), silent_after=0):
        self.codecs_available = set(decoders) | av.codecs_available - {"h264_v4l2m2m", "hevc_v4l2m2m"}
        self._devices, self.broken, self.silent, self.opened = devices, set(broken), set(silent), []
        self.silent_after, self.packets = silent_after, 0
        self.FFmpegError, self.CodecContext = av.FFmpegError, self

    def install(self, monkeypatch):
        from edgehar.sources import hardware

        monkeypatch.setattr(hardware, "av", self)
        monkeypatch.setattr(hardware, "hwdevices_available", lambda: list(self._devices))
        monkeypatch.setattr(hardware, "HWAccel", self._accelerator)
        return self

    def _accelerator(self, device, *, allow_software_fallback):
        assert not allow_software_fallback, "FFmpeg would decode in software without saying so"
        HWAccel(device)
        return device

    def create(self, codec, mode=None, hwaccel=None):
        assert mode == "r"
        if hwaccel is not None:
            assert hwaccel in self._devices
            return Context(self, hwaccel, codec, is_hwaccel=codec in ("h264", "hevc"))
        assert codec in self.codecs_available
        return Context(self, codec, codec.partition("_")[0], is_hwaccel=False)
