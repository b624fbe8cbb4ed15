"""Read a container's timing: whether it is live, its frame rate, and whether its time stamps are usable."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from edgehar.sources.options import DEFAULT_RATE_HZ

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

_log = logging.getLogger(__name__)

# Formats of pictures or of a bare video stream. They hold no time stamps, so FFmpeg invents some at 25 Hz.
_BARE = frozenset({"av1", "h261", "h263", "h264", "hevc", "m4v", "mjpeg", "mjpeg_2000", "mpegvideo", "mpjpeg", "obu"})
_PICTURES = "_pipe"
# Pictures one after the other in an endless HTTP response, as network cameras send them.
_MULTIPART = "mpjpeg"
# A stream that delivers so many times faster than real time, for so long, is a file.
_FILE_SPEED, _FILE_S = 3.0, 3.0


def is_live(uri: str, container: InputContainer) -> bool:
    """Return whether an address is a live stream, which has no end and arrives at its own pace.

    RTSP is live: many cameras announce a range, which says nothing. An HTTP response is a file if it has a length or
    the video has a duration.
    """
    if uri.startswith("rtsp"):
        return True
    if not uri.startswith("http"):
        return False
    if container.format.name == _MULTIPART:
        return True
    return container.duration is None and (container.size <= 0 or container.format.name in ("hls", "dash"))


def was_a_file(container: InputContainer, span_s: float, elapsed_s: float) -> bool:
    """Return whether a stream that was taken to be live, and ended in order, was a file without length and duration.

    Args:
        container: the stream.
        span_s: seconds of video that it delivered.
        elapsed_s: seconds that this took.
    """
    if container.format.name == _MULTIPART or container.format.name.startswith("rtsp"):
        return False
    return span_s >= _FILE_S and span_s >= _FILE_SPEED * elapsed_s


def clock_fault(container: InputContainer) -> str | None:
    """Return why the time stamps of a live stream are useless; None if they may be right."""
    name = container.format.name
    return "it has no time stamps" if name in _BARE or name.endswith(_PICTURES) else None


def rate_hz(container: InputContainer, stream: VideoStream, name: str) -> float:
    """Return the frame rate of a file, in frames a second."""
    if container.format.name in _BARE or container.format.name.endswith(_PICTURES):
        # The average rate is the demuxer's default of 25. The header of the stream may have another.
        known = stream.codec_context.framerate or None
        if known is None:
            _log.warning("%s: has no frame rate; assuming %g frames a second", name, DEFAULT_RATE_HZ)
    else:
        known = stream.average_rate or stream.guessed_rate
    return float(known or DEFAULT_RATE_HZ)
