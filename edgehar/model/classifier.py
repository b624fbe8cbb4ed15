"""The classifier: each frame is shrunk and encoded once; every few frames the last window of codes is classified."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Self

import numpy as np

from edgehar.errors import ConfigError, SourceError
from edgehar.frames import Frame, PixelFormat
from edgehar.masks import View
from edgehar.model.edgetpu import CPU
from edgehar.model.history import History, StatefulHistory, WindowHistory
from edgehar.model.masking import InputMask
from edgehar.model.network import Network
from edgehar.model.timegrid import TimeGrid
from edgehar.records import Prediction, TimingMs, Window, utc_now

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

    import numpy.typing as npt

    from edgehar._ring import Region
    from edgehar.masks import Polygon
    from edgehar.model.bundle import ModelBundle

# A window that took this much longer than it should have was not seen at the model's rate.
RATE_TOLERANCE = 1.1
# What an answer is about: the last window, or all since the start.
MODES = ("window", "stateful")


class Classifier:
    """Names the action in a stream of frames. Not for use by several threads at once.

    >>> with Classifier("actions-synthetic", hop=5) as classifier:
    ...     for frame in frames:
    ...         if (prediction := classifier.push(frame)) is not None:
    ...             print(prediction.label)

    Attributes:
        bundle: the model.
        hop: frames between answers.
        mode: "window" or "stateful".
        source_name: what predictions say was watched.
        frames_seen: frames that were on the model's time grid since the start or the last `reset`.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | ModelBundle | Network,
        *,
        hop: int | None = None,
        mode: str = "window",
        threads: int = 1,
        delegate: str = CPU,
        source_name: str = "",
        region: Region | None = None,
        masks: tuple[Polygon, ...] = (),
    ) -> None:
        """Load a model.

        Args:
            model: a bundle, its path, the name of a shipped one, or a `Network` that is shared with other classifiers;
                that is not closed with this one.
            hop: frames between answers, 1 to the model's window; the model's default when None.
            mode: "window": an answer is about the last window. "stateful": it is about all frames since the start or
                the last `reset`, by a network that takes one step a frame, which not every bundle has.
            threads: CPU threads of the interpreter, unless a `Network` is given; 1 is best for networks this small.
            delegate: what runs the encoder, unless a `Network` is given: "cpu", "edgetpu" or "auto", as for `Network`.
            source_name: what predictions say was watched.
            region: the part of every frame that is looked at, (x, y, width, height) as shares 0 to 1 of the frame,
                rounded to whole pixels; the whole frame when None.
            masks: polygons that are black in the network's input, each corner (x, y) as shares 0 to 1 of the frame.

        Raises:
            ConfigError: no such model, or `hop`, `mode`, `threads`, `delegate` or `region` out of range, or more than
                the bundle has.
            BundleError: the bundle cannot be used.
            RuntimeUnavailableError: no TFLite runtime is installed, or the delegate cannot be had.
        """
        if mode not in MODES:
            raise ConfigError(f"mode is {mode!r}, it must be {' or '.join(MODES)}")
        self._network = model if isinstance(model, Network) else Network(model, threads=threads, delegate=delegate)
        self._owns_network = self._network is not model
        self.bundle = self._network.bundle
        manifest = self.bundle.manifest
        self._window, self.hop = manifest.temporal.window, manifest.temporal.hop if hop is None else hop
        if not 1 <= self.hop <= self._window:
            raise ConfigError(f"hop is {self.hop}, it must be 1 to {self._window} (the window of {manifest.name})")
        self.mode, self.source_name = mode, source_name
        try:
            self._resizer = self.bundle.make_resizer(region=region)
        except ValueError as error:
            raise ConfigError(str(error)) from error
        self._mask = InputMask(self.bundle, View(masks, region)) if masks else None
        self._history: History = (WindowHistory if mode == "window" else StatefulHistory)(self._network)
        self._grid = TimeGrid(manifest.temporal.rate_hz)
        self._captured_s: deque[float] = deque(maxlen=self._window)
        self._first_captured_s = 0.0
        self._answers = 0

    @property
    def rate_hz(self) -> float:
        """Frames a second that are looked at."""
        return self._grid.rate_hz

    @property
    def frames_seen(self) -> int:
        """Frames on the model's time grid since the start or the last `reset`."""
        return self._history.count

    def push(self, frame: Frame | npt.NDArray[np.uint8], *, dropped: int = 0) -> Prediction | None:
        """Take one frame, and answer when a window is full and `hop` frames have come since the last answer.

        In mode stateful the first answer comes after as many frames as a window has, too.

        Args:
            frame: a `Frame`, of which those on the model's time grid are used (by `captured_s`); or a uint8
                `(height, width, 3)` BGR array, taken as the next frame on that grid.
            dropped: frames of a live source skipped so far, for the prediction's `dropped`.

        Returns:
            A prediction, or None between answers.

        Raises:
            SourceError: the frame's size is outside 8x8 to 8192x8192.
            TypeError: the frame is neither, or not uint8.
        """
        if not isinstance(frame, Frame):
            frame = self._on_grid(frame)
        elif not self._grid.accepts(frame.captured_s):
            return None
        shrunk_ms, encoded_ms, kept_ms = self._encode(frame)
        if not self._captured_s:
            self._first_captured_s = frame.captured_s
        self._captured_s.append(frame.captured_s)
        beyond_first_window = self._history.count - self._window
        if beyond_first_window < 0 or beyond_first_window % self.hop:
            return None
        return self._classify(frame.arrived_s, TimingMs(shrunk_ms, encoded_ms, kept_ms), dropped)

    def flush(self, *, dropped: int = 0) -> Prediction | None:
        """Answer for a clip that ended before one window was full; None when there was an answer, or no frame.

        Before its first frame the scene is taken to have stood still, as in training; in mode stateful, not to have
        been.
        """
        # After `restore` there may be a history, but no frame to speak of.
        if not self._captured_s or self._history.count >= self._window:
            return None
        return self._classify(time.monotonic(), TimingMs(0.0, 0.0, 0.0), dropped)

    def classify(self, clip: str | os.PathLike[str] | Iterable[Frame]) -> Prediction:
        """Answer for a whole clip: the mean of the scores of all its windows.

        Args:
            clip: a video file, or anything else with an end that `open_source` takes.

        Returns:
            A prediction whose `window` spans the clip, and whose `raw` is that of the last window.

        Raises:
            SourceError: the clip cannot be read, or holds no frame.
        """
        from edgehar.sources import open_source

        self.reset()
        with open_source(clip) as source:
            self.source_name = source.name
            answers = [answer for frame in source if (answer := self.push(frame)) is not None]
        answers += [answer] if (answer := self.flush()) is not None else []
        if not answers:
            raise SourceError(f"{clip}: holds no frame")
        return self._mean(answers)

    def reset(self) -> None:
        """Forget all frames: the next one begins a new stream, and its predictions are numbered from 0."""
        self.interrupt()
        self._answers = 0

    def interrupt(self) -> None:
        """Forget all frames, as where the stream was interrupted; its predictions are numbered on."""
        self._resizer.reset()
        self._history.reset()
        self._grid.reset()
        self._captured_s.clear()

    def set_rate(self, rate_hz: float) -> None:
        """Look at this many frames a second instead of as many as the model was trained at, and forget the past.

        Fewer cost less; predictions then say `rate_ok` false, and are less to be trusted.
        """
        self._grid = TimeGrid(rate_hz)
        self.interrupt()

    def reload(self) -> None:
        """Load the networks anew after one has failed, and forget the past."""
        self._network.reload()
        self.interrupt()

    def state(self) -> bytes:
        """All that mode stateful knows of the stream, for `restore`, of this classifier or another of the same model.

        Raises:
            ConfigError: the mode is "window".
        """
        return self._stateful().save()

    def restore(self, state: bytes) -> None:
        """Go on from a saved state; predictions are then about all frames that it has seen.

        The times of those frames are not kept: predictions tell when the first frame after this was seen. A model with
        motion input takes the scene to have stood still before that.

        Raises:
            ConfigError: the mode is "window", or the state is damaged, newer than understood, or of another model.
        """
        history = self._stateful()
        history.restore(state)
        self._resizer.reset()
        self._grid.reset()
        self._captured_s.clear()

    def _stateful(self) -> StatefulHistory:
        if not isinstance(self._history, StatefulHistory):
            raise ConfigError("only mode stateful has a state that can be saved; a window is gone after its frames")
        return self._history

    def close(self) -> None:
        """Let go of the models' memory."""
        self._resizer.close()
        if self._owns_network:
            self._network.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _on_grid(self, pixels: npt.NDArray[np.uint8]) -> Frame:
        count = self._history.count
        captured_s = self._captured_s[-1] + self._grid.period_s if self._captured_s else 0.0
        return Frame(pixels, PixelFormat.BGR24, captured_s, time.monotonic(), count)

    def _encode(self, frame: Frame) -> tuple[float, float, float]:
        """Shrink a frame into the encoder's input tensor, encode it, keep the encoding; milliseconds of each."""
        encoder = self._network.encoder
        started = time.perf_counter()
        try:
            self._resizer.resize_into(frame, encoder.input_view())
        except ValueError as error:
            raise SourceError(f"{self.source_name or 'frame'}: {error}") from error
        if self._mask is not None:
            self._mask.apply(frame, encoder.input_view())
        shrunk = time.perf_counter()
        encoder.invoke()
        encoded = time.perf_counter()
        self._history.push(encoder.output_view().reshape(-1))
        return (shrunk - started) * 1e3, (encoded - shrunk) * 1e3, (time.perf_counter() - encoded) * 1e3

    def _classify(self, arrived_s: float, spent: TimingMs, dropped: int) -> Prediction:
        started = time.perf_counter()
        raw = self._history.scores()
        classified_ms = spent.classify + (time.perf_counter() - started) * 1e3
        labels, quantization = self.bundle.manifest.labels, self._network.head.output_quantization
        scores = ((raw.astype(np.int16) - quantization.zero_point) * quantization.scale).tolist()
        best = int(raw.argmax())
        self._answers += 1
        return Prediction(
            seq=self._answers - 1,
            time=utc_now(),
            source=self.source_name,
            model=self.bundle.manifest.name,
            label=labels[best],
            score=scores[best],
            scores=dict(zip(labels, scores, strict=True)),
            window=self._span(),
            frame_age_ms=round(max(0.0, (time.monotonic() - arrived_s) * 1e3), 3),
            timing_ms=TimingMs(round(spent.shrink, 3), round(spent.encode, 3), round(classified_ms, 3)),
            dropped=dropped,
            rate_ok=self._rate_ok(),
        ).with_raw(raw)

    def _span(self) -> Window:
        if self.mode == "window":
            return Window(len(self._captured_s), self._captured_s[0], self._captured_s[-1])
        return Window(self._history.count, self._first_captured_s, self._captured_s[-1])

    def _rate_ok(self) -> bool:
        nominal_s = (len(self._captured_s) - 1) / self.bundle.manifest.temporal.rate_hz
        return self._captured_s[-1] - self._captured_s[0] <= RATE_TOLERANCE * nominal_s + 1e-9

    def _mean(self, answers: list[Prediction]) -> Prediction:
        import msgspec

        scores = {
            label: sum(answer.scores[label] for answer in answers) / len(answers)
            for label in self.bundle.manifest.labels
        }
        label = max(scores, key=scores.__getitem__)
        whole = Window(self._history.count, answers[0].window.start_s, answers[-1].window.end_s)
        last = answers[-1]
        return msgspec.structs.replace(
            last, seq=0, label=label, score=scores[label], scores=scores, window=whole
        ).with_raw(last.raw)
