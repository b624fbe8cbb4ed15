"""Write videos with the predictions drawn beside the picture."""

from __future__ import annotations

import fractions
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from edgehar import drawing
from edgehar.errors import SinkError
from edgehar.pictures import as_bgr

if TYPE_CHECKING:
    import numpy.typing as npt

    from edgehar.frames import Frame
    from edgehar.records import Prediction

    Picture = npt.NDArray[np.uint8]

MIN_WIDTH_PX = 480
_TICKS_HZ = 10_000  # time base of the video; MPEG-4 Part 2 allows none finer than 1 / 65535 s
_FONT_SHARE = 1.2  # size of the font against the height of a line
_BARS = 8  # classes shown at most, most likely first
# BGR
_PANEL, _TEXT, _DIM = (34, 30, 28), (240, 240, 240), (150, 150, 150)
_TRACK, _BAR, _BEST = (62, 56, 52), (150, 120, 80), (90, 190, 250)


class AnnotatedVideo:
    """Write an MP4 of frames with label, scores and time beside them. Use it as a context manager.

    Frames are enlarged to at least `MIN_WIDTH_PX`. The video is written under a temporary name in the same folder and
    renamed when it is complete, also after Ctrl-C. After any other failure it is removed.
    """

    def __init__(self, path: str | os.PathLike[str], rate_hz: float) -> None:
        """Choose the file.

        Args:
            path: MP4 to write. An existing file is replaced when the new one is complete.
            rate_hz: expected frames a second, for the encoder. Each frame is shown at its capture time.
        """
        self.path = Path(path)
        self._rate = fractions.Fraction(rate_hz).limit_denominator(1001)
        self._unfinished = self.path.with_name(f".{self.path.name}.tmp{os.getpid()}")
        self._container: Any = None
        self._stream: Any = None
        self._size = (0, 0)
        self._first_s = 0.0
        self._last_tick = -1

    def __enter__(self) -> Self:
        """Create the file. Raises SinkError if it cannot be written."""
        import av

        if self.path.is_dir():
            raise SinkError(f"{self.path}: is a folder; name a file, for example {self.path / 'video.mp4'}")
        try:
            # The encoder creates its file with the first frame. Fail early if the folder is not writable.
            self._unfinished.open("wb").close()
            self._container = av.open(str(self._unfinished), "w", format="mp4")
        except OSError as error:
            raise self._unwritable(error) from error
        return self

    def write(self, frame: Frame, prediction: Prediction | None) -> None:
        """Add a frame with the latest prediction beside it.

        Args:
            frame: any size and format. All frames are scaled to the size of the first.
            prediction: the prediction to show; None if there is none yet.

        Raises:
            SinkError: the file cannot be written.
        """
        import av

        if self._stream is None:
            self._first_s = frame.captured_s
            self._size = _enlarged(frame.width, frame.height)
        elapsed_s = frame.captured_s - self._first_s
        self._last_tick = max(self._last_tick + 1, round(elapsed_s * _TICKS_HZ))
        picture = annotate(frame, prediction, elapsed_s, self._size)
        try:
            if self._stream is None:
                self._stream = self._add_stream(picture)
            image = av.VideoFrame.from_ndarray(picture, format="bgr24")
            image.pts, image.time_base = self._last_tick, fractions.Fraction(1, _TICKS_HZ)
            self._container.mux(self._stream.encode(image))
        except OSError as error:
            raise self._unwritable(error) from error

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Complete the file, or remove it if the block failed or wrote no frame."""
        whole = self._stream is not None and kind in (None, KeyboardInterrupt)
        try:
            if whole:
                self._container.mux(self._stream.encode())
            self._container.close()
            if whole:
                self._unfinished.replace(self.path)
        except OSError as error:
            if kind is None:
                raise self._unwritable(error) from error
        finally:
            self._unfinished.unlink(missing_ok=True)

    def _add_stream(self, picture: Picture) -> Any:
        import av

        # FFmpeg builds without GPL parts have no libx264.
        has_h264 = "libx264" in av.codecs_available
        codec, options = ("libx264", {"crf": "22", "preset": "veryfast"}) if has_h264 else ("mpeg4", {})
        stream = self._container.add_stream(codec, rate=self._rate, options=options)
        if not has_h264:
            stream.bit_rate = 2_000_000
        stream.height, stream.width = picture.shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = fractions.Fraction(1, _TICKS_HZ)
        return stream

    def _unwritable(self, error: OSError) -> SinkError:
        return SinkError(f"{self.path}: cannot be written: {error.strerror or error}; choose another file or folder")


def annotate(
    frame: Frame, prediction: Prediction | None, elapsed_s: float, size: tuple[int, int] | None = None
) -> Picture:
    """Draw the frame, enlarged, with a panel on its right: label, time, and a bar for the score of each class.

    Args:
        frame: the picture.
        prediction: the prediction to show; None if there is none yet.
        elapsed_s: time to show, in seconds.
        size: width and height of the picture in pixels; a multiple of the frame's size if None.

    Returns:
        uint8 `(height, width, 3)`, BGR, both sides even.
    """
    width, height = size or _enlarged(frame.width, frame.height)
    picture = drawing.resized(as_bgr(frame), width, height, "cubic")
    panel: Picture = np.full((height, _even(0.62 * min(height, width)), 3), _PANEL, np.uint8)
    _draw_panel(panel, prediction, elapsed_s)
    return np.hstack([picture, panel])


def _draw_panel(panel: Picture, prediction: Prediction | None, elapsed_s: float) -> None:
    height, width = panel.shape[:2]
    line, left = height / 15, round(0.06 * width)
    inner = width - 2 * left

    def write(text: str, row: float, share: float, color: tuple[int, int, int]) -> None:
        size = share * line * _FONT_SHARE
        size *= min(1.0, inner / max(drawing.text_width(text, size), 1))
        drawing.write(panel, text, (left, row), size, color)

    write(f"{elapsed_s:.1f} s", 1.3 * line, 0.7, _DIM)
    if prediction is None:
        write("watching", 2.8 * line, 1.2, _DIM)
        return
    write(prediction.label, 2.8 * line, 1.2, _BEST)
    write(f"{prediction.score:.0%}   {prediction.model}", 3.9 * line, 0.6, _DIM)
    shown = prediction.scores
    if len(shown) > _BARS:
        shown = dict(sorted(shown.items(), key=lambda item: -item[1])[:_BARS])
    pitch = min((height - 5 * line) / max(len(shown), 1), 1.6 * line)
    best = max(shown, key=shown.__getitem__, default="")
    for number, (label, score) in enumerate(shown.items()):
        top = 5 * line + number * pitch
        write(label, top + 0.4 * pitch, 0.36 * pitch / line * 1.25, _TEXT if label == best else _DIM)
        upper, lower = round(top + 0.56 * pitch), round(top + 0.78 * pitch)
        drawing.fill_box(panel, (left, upper, left + inner, lower), _TRACK)
        right = left + round(inner * min(max(score, 0.0), 1.0))
        drawing.fill_box(panel, (left, upper, right, lower), _BEST if label == best else _BAR)


def _enlarged(width: int, height: int) -> tuple[int, int]:
    """Return the size to show a frame at: a multiple of its own, at least `MIN_WIDTH_PX` wide, rounded to even."""
    factor = -(-MIN_WIDTH_PX // width)
    return _even(width * factor), _even(height * factor)


def _even(length: float) -> int:
    return max(2, round(length / 2) * 2)
