"""Decoders in hardware, through FFmpeg: V4L2 M2M, and devices such as VA-API and DRM."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import av
from av.codec.hwaccel import HWAccel, hwdevices_available

from edgehar.sources.ffmpeg import reason_of

if TYPE_CHECKING:
    from av.video.codeccontext import VideoCodecContext

_log = logging.getLogger(__name__)

# Drivers of the kernel that decode whole packets, as for the H.264 block of a Raspberry Pi 4.
V4L2 = "v4l2m2m"
# What "auto" tries, in this order. DRM is the H.265 block of a Raspberry Pi 5, with an FFmpeg that was built for it.
_TRIED = (V4L2, "drm", "vaapi")
_CODECS = frozenset({"h264", "hevc"})


class _NotHereError(Exception):
    """This FFmpeg or this machine lacks the hardware; the message says what is missing."""


def hardware_context(software: VideoCodecContext, name: str, wanted: str) -> tuple[VideoCodecContext, str] | None:
    """Return an open decoder in hardware, and the name of the hardware; None if there is none, which is logged.

    Args:
        software: the decoder in software, which tells the codec.
        name: name of the source in the log.
        wanted: "auto", or the name of the hardware.
    """
    codec = software.codec.canonical_name
    problems = []
    for hardware in _TRIED if wanted == "auto" else (wanted,):
        try:
            context = _open(software, codec, hardware)
        except (_NotHereError, av.FFmpegError, OSError) as error:
            problems.append(f"{hardware}: {error if isinstance(error, _NotHereError) else reason_of(error)}")
        else:
            _log.info("%s: %s decodes its %s", name, hardware, codec)
            return context, hardware
    _log.warning("%s: no hardware decodes its %s (%s); decoding in software", name, codec, "; ".join(problems))
    return None


def _open(software: VideoCodecContext, codec: str, hardware: str) -> VideoCodecContext:
    """Open a decoder. Raises _NotHereError or av.FFmpegError if that fails."""
    if codec not in _CODECS:
        raise _NotHereError("only H.264 and H.265 are decoded in hardware")
    context: Any
    if hardware == V4L2:
        decoder = f"{codec}_{V4L2}"
        if decoder not in av.codecs_available:
            raise _NotHereError(f"this FFmpeg has no {decoder}")
        context = av.CodecContext.create(decoder, "r")
    else:
        if hardware not in hwdevices_available():
            raise _NotHereError("this FFmpeg was built without it")
        # With a fallback, FFmpeg would decode in software without saying so.
        accelerator = HWAccel(hardware, allow_software_fallback=False)
        context = av.CodecContext.create(codec, "r", hwaccel=accelerator)
        if not context.is_hwaccel:
            raise _NotHereError(f"does not decode {codec}")
    context.extradata = software.extradata
    if hardware == V4L2:
        # The driver is asked for these; others learn them from the stream.
        context.width, context.height, context.pix_fmt = software.width, software.height, "yuv420p"
    context.open()
    opened: VideoCodecContext = context
    return opened
