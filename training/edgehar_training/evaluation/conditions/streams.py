"""One clip under one condition, as the device path of several bundles sees it: a frame is changed and shrunk once."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np

from edgehar import Classifier, Frame, PixelFormat, Resizer
from edgehar.errors import SourceError
from edgehar.model.timegrid import TimeGrid
from edgehar.pictures import as_bgr
from edgehar_training.evaluation.conditions.changes import Place, clip_seed
from edgehar_training.evaluation.conditions.recode import Recoder, Timed

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from edgehar.model.network import Network
    from edgehar_training.evaluation.conditions.changes import Condition, Picture


class Shot:
    """A frame as it was decoded, and its BGR pixels, which are made once for all conditions.

    Attributes:
        frame: the frame.
        index: its number in the clip, from 0.
    """

    def __init__(self, frame: Frame, index: int) -> None:
        self.frame, self.index = frame, index

    @functools.cached_property
    def picture(self) -> Picture:
        """uint8 `(height, width, 3)` BGR."""
        return as_bgr(self.frame)


class ClipStream:
    """Change the frames of a clip, and classify them with all bundles at the size of their networks.

    Args:
        condition: the change.
        clip: name of the clip; the seed of random changes.
        networks: of bundles that see frames of one size, crop and rate.
        hop: frames between answers.
    """

    def __init__(self, condition: Condition, clip: str, networks: Sequence[Network], hop: int) -> None:
        manifest = networks[0].bundle.manifest
        self._condition, self._clip, self._seed = condition, clip, clip_seed(condition.name, clip)
        bits_per_s = condition.bits_per_s
        self._recoder = None if bits_per_s is None else Recoder(bits_per_s, running=condition.running)
        self._grid = TimeGrid(manifest.temporal.rate_hz)
        shape = manifest.input
        self._resizer = Resizer(*shape.source_size, dtype="uint8", crop=shape.crop)
        self._shape = (*shape.source_size, shape.channels)
        self._classifiers = [Classifier(network, hop=hop) for network in networks]
        self._scores: list[list[list[float]]] = [[] for _ in networks]

    def push(self, shot: Shot) -> None:
        """Push the next frame. Only frames that the networks use are changed, except for re-encoding, which needs all.

        Raises:
            SourceError: the frame is too small or too large.
        """
        place = Place(self._seed, shot.index)
        if self._condition.keeps is not None and not self._condition.keeps(place):
            return
        if self._recoder is not None:
            self._look(self._recoder.push(Timed(shot.picture, shot.index, shot.frame.captured_s)))
        elif self._grid.accepts(shot.frame.captured_s):
            self._show(self._changed(shot, place))

    def finish(self) -> list[npt.NDArray[np.float32]]:
        """Return the mean scores over the windows of the clip, for each network, float32 `(classes,)`. Ends the stream.

        Raises:
            SourceError: the clip has no frame.
        """
        if self._recoder is not None:
            self._look(self._recoder.finish())
        found = []
        for classifier, scores in zip(self._classifiers, self._scores, strict=True):
            if (answer := classifier.flush()) is not None:
                scores.append(list(answer.scores.values()))
            if not scores:
                raise SourceError(f"{self._clip}: holds no frame")
            found.append(np.array(scores, np.float32).mean(axis=0))
        return found

    def close(self) -> None:
        """Let go of memory."""
        self._resizer.close()
        for classifier in self._classifiers:
            classifier.close()

    def _changed(self, shot: Shot, place: Place) -> Frame:
        frame = shot.frame
        if self._condition.change is None:
            return frame
        picture = self._condition.change(shot.picture, place)
        layout = PixelFormat.GRAY8 if picture.ndim == 2 else PixelFormat.BGR24
        return Frame(picture, layout, frame.captured_s, frame.arrived_s, frame.sequence)

    def _look(self, frames: Sequence[Frame]) -> None:
        for frame in frames:
            if self._grid.accepts(frame.captured_s):
                self._show(frame)

    def _show(self, frame: Frame) -> None:
        """Resize a frame with the kernel of the device, and push it to every network, which take this size as it is."""
        small = np.empty(self._shape, np.uint8)
        try:
            self._resizer.resize_into(frame, small)
        except ValueError as error:
            raise SourceError(f"{self._clip}: {error}") from error
        shown = Frame(small, PixelFormat.RGB24, frame.captured_s, frame.captured_s, frame.sequence)
        for classifier, scores in zip(self._classifiers, self._scores, strict=True):
            if (answer := classifier.push(shown)) is not None:
                scores.append(list(answer.scores.values()))
