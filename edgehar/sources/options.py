"""Options of the source back ends: one struct for each, checked the same way for Python and the configuration."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta

from edgehar.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_RATE_HZ = 25.0
READ_TIMEOUT_S = 10.0
# 4096 x 2176, the largest picture of level 5 of H.265. A header of some bytes may claim any size, and a decoder
# allocates many such pictures.
MAX_PIXELS = 8_912_896

# Options that only say how the frames will be used. A back end that has no use for them ignores them.
HINTS = frozenset({"target_size", "decoder_threads"})

# What of a video is decoded, most first; "auto" leaves that to the device's load.
DecodeMode = Literal["auto", "full", "skip-loop-filter", "reference-only", "key"]
# What "auto" decodes of live streams, and what while the device is hot or slow.
AUTO_MODES: tuple[DecodeMode, DecodeMode] = ("full", "skip-loop-filter")
# Hardware that decodes: "none", "auto", or FFmpeg's name of it.
HardwareName = Annotated[str, Meta(pattern="^[a-z0-9_]{1,32}$")]

_Rate = Annotated[float, Meta(gt=0)]
_Pixels = Annotated[int, Meta(ge=1)]
_Seconds = Annotated[float, Meta(gt=0)]

T = TypeVar("T", bound="SourceOptions")


class SourceOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of a back end; this base class has none."""

    def __post_init__(self) -> None:
        """Refuse numbers that are not finite, because no range excludes NaN."""
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"Expected a finite number - at `$.{name}`")


class StillOptions(SourceOptions, frozen=True):
    """Options of images, arrays and raw frames, which have no times of their own.

    Attributes:
        rate_hz: frames a second, from which capture times are computed.
    """

    rate_hz: _Rate = DEFAULT_RATE_HZ


class StdinOptions(SourceOptions, frozen=True):
    """Options of raw frames on standard input.

    Attributes:
        rate_hz: frames a second; overrides the address if set.
    """

    rate_hz: _Rate | None = None


class V4l2Options(SourceOptions, frozen=True):
    """Options of USB and other V4L2 cameras.

    Attributes:
        width: pixels in a row to ask the driver for, together with `height`. The driver may choose another size.
        height: rows to ask for.
        rate_hz: frames a second to ask for.
        target_size: height and width that frames will be resized to. JPEG is then decoded to no less than twice this
            size.
    """

    width: _Pixels | None = None
    height: _Pixels | None = None
    rate_hz: _Rate | None = None
    target_size: tuple[_Pixels, _Pixels] | None = None

    def __post_init__(self) -> None:
        """Refuse a width without a height."""
        super().__post_init__()
        if (self.width is None) != (self.height is None):
            raise ValueError("width and height go together; give both, or neither")


class Picamera2Options(SourceOptions, frozen=True):
    """Options of camera modules of a Raspberry Pi.

    Attributes:
        rate_hz: frames a second to ask for.
        target_size: height and width that frames will be resized to. Frames arrive at twice that size, or a little more
            to keep the sensor's aspect ratio.
        controls: libcamera controls by name, for example `{"ExposureTime": 8000, "AnalogueGain": 4.0}`.
        read_timeout_s: longest wait for a frame, in seconds.
    """

    rate_hz: _Rate = 30.0
    target_size: tuple[_Pixels, _Pixels] = (240, 320)
    controls: dict[str, Any] = {}
    read_timeout_s: _Seconds = READ_TIMEOUT_S


class VideoOptions(SourceOptions, frozen=True):
    """Options of video files and network streams.

    Attributes:
        open_timeout_s: how long a server may take to answer, in seconds.
        read_timeout_s: how long a stream may pause, in seconds.
        transport: transport of RTSP streams. "tcp" passes firewalls and loses no packets; some cameras only offer
            "udp".
        tls_verify: whether `rtsps://` and `https://` servers must present a trusted certificate for their name.
        ca_file: PEM file of trusted certificate authorities; those of the system if None.
        live: whether the address is a live stream; guessed if None.
        redirects: whether an HTTP or RTSP server may send us to another host: "same-host" refuses that.
        max_pixels: largest picture to decode, in pixels.
        decode: what to decode. "auto" decodes files and, unless told to save, streams in full; "skip-loop-filter"
            leaves out the loop filter of H.264 and H.265; "reference-only" also leaves out pictures that no other
            picture needs; "key" decodes key frames only.
        hwaccel: hardware to decode H.264 and H.265 with: "none", "auto", "v4l2m2m", or a device of FFmpeg such as
            "vaapi" or "drm". Without working hardware, software decodes.
        decoder_threads: threads that decode the slices of a picture; one per core if None.
    """

    open_timeout_s: _Seconds = 10.0
    read_timeout_s: _Seconds = READ_TIMEOUT_S
    transport: Literal["tcp", "udp"] = "tcp"
    tls_verify: bool = True
    ca_file: str | None = None
    live: bool | None = None
    redirects: Literal["same-host", "any"] = "same-host"
    max_pixels: Annotated[int, Meta(ge=64, le=8192 * 8192)] = MAX_PIXELS
    decode: DecodeMode = "auto"
    hwaccel: HardwareName = "none"
    decoder_threads: Annotated[int, Meta(ge=1, le=64)] | None = None


class ReplayOptions(SourceOptions, frozen=True):
    """Options of replaying files and images, for all back ends.

    Attributes:
        loop: start again at the end.
        realtime: deliver each frame when it is due, as a camera does.
    """

    loop: bool = False
    realtime: bool = False


def make_options(kind: type[T], given: Mapping[str, Any]) -> T:
    """Return the options of a back end. An option that is None has its default.

    Raises:
        ConfigError: an option does not exist or has a wrong value. The message does not name the source.
    """
    known = kind.__struct_fields__
    for name in given:
        if name not in known:
            existing = f"its options are {', '.join(known)}" if known else "it has none"
            raise ConfigError(f"{name} is not an option of this kind of source; {existing}")
    try:
        # NumPy scalars are not instances of the plain types that msgspec expects.
        plain = {
            name: value.item() if hasattr(value, "item") else value
            for name, value in given.items()
            if value is not None
        }
        return msgspec.convert(plain, kind)
    except msgspec.ValidationError as error:
        raise ConfigError(_explained(str(error), given)) from None


def _explained(message: str, given: Mapping[str, Any]) -> str:
    """Replace msgspec's path "$.rate_hz" by the option's name and value."""
    found = re.fullmatch(r"(.*?) - at `\$\.(\w+)[^`]*`", message)
    if found is None:
        return message
    return f"{found[2]} is {given.get(found[2])!r}: {found[1][0].lower()}{found[1][1:]}"
