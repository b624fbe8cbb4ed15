"""The classifier: shrinks and encodes each frame once, and classifies the latest window every few frames."""

from __future__ import annotations

import math
import operator
import time
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from edgehar.errors import ConfigError, EdgeharError, SourceError
from edgehar.frames import Frame, PixelFormat
from edgehar.masks import View
from edgehar.model.clip_answer import mean_prediction
from edgehar.model.edgetpu import CPU
from edgehar.model.history import History, StatefulHistory, WindowHistory
from edgehar.model.masking import resizer_for
from edgehar.model.network import Network
from edgehar.model.timegrid import TimeGrid
from edgehar.model.window_times import WindowTimes
from edgehar.printable import valid_unicode
from edgehar.records import Prediction, TimingMs, Window, utc_now

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable

    import numpy.typing as npt

    from edgehar._ring import Region
    from edgehar.masks import Polygon
    from edgehar.model.bundle import ModelBundle

# "window": a prediction is about the latest window. "stateful": it is about all frames since the start.
MODES = ("window", "stateful")


class Classifier:
    """Classifies the action in a stream of frames. Not thread-safe.

    >>> with Classifier("actions-synthetic", hop=5) as classifier:
    ...     for frame in frames:
    ...         if (prediction := classifier.push(frame)) is not None:
    ...             print(prediction.label)

    Attributes:
        hop: frames between predictions.
        mode: "window" or "stateful".
        source_name: name of the source in predictions.
        frames_seen: frames on the model's time grid since the start or the last `reset`.
        keep_features: whether predictions carry the encodings of their window (mode "window" only).
        on_input: called with the encoder's input of each frame, int8 `(1, height, width, 3)`, which is valid during the
            call only; None for nothing.
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
            model: a bundle, its path, the name of a shipped model, or a `Network`. Classifiers may share a `Network`;
                it is not closed with them.
            hop: frames between predictions, 1 to the model's window; None for the model's default.
            mode: "window": a prediction is about the latest window. "stateful": it is about all frames since the start
                or the last `reset`; this needs a bundle with a one-step network.
            threads: CPU threads of the interpreter, unless a `Network` is given; 1 is best for networks this small.
            delegate: what runs the encoder, unless a `Network` is given: "cpu", "edgetpu" or "auto", as for `Network`.
            source_name: name of the source in predictions.
            region: the part of every frame to classify: (x, y, width, height) as shares 0 to 1 of the frame, rounded to
                whole pixels; None for the whole frame.
            masks: polygons that are black in the network's input, each corner (x, y) as shares 0 to 1 of the frame.

        Raises:
            ConfigError: the model is unknown, or `hop`, `mode`, `threads`, `delegate` or `region` is invalid or not
                supported by the bundle.
            BundleError: the bundle cannot be used.
            RuntimeUnavailableError: no TFLite runtime is installed, or the delegate is not available.
        """
        if mode not in MODES:
            raise ConfigError(f"mode is {mode!r}, it must be {' or '.join(MODES)}")
        self._network = model if isinstance(model, Network) else Network(model, threads=threads, delegate=delegate)
        self._owns_network = self._network is not model
        manifest = self.bundle.manifest
        self._window = manifest.temporal.window
        self.hop = _check_hop(manifest.temporal.hop if hop is None else hop, self._window, manifest.name)
        self.mode, self.source_name = mode, valid_unicode(source_name)
        self._region, self._masks = region, masks
        self._resizer = resizer_for(self.bundle, View(masks, region))
        # Answers begin when this many frames were seen.
        self._first_answer = self._window + manifest.temporal.lead_in
        self._history: History = (WindowHistory if mode == "window" else StatefulHistory)(self._network)
        self._grid = TimeGrid(manifest.temporal.rate_hz)
        self._times = WindowTimes(self._window, manifest.temporal.rate_hz)
        self._first_captured_s, self._last_captured_s = 0.0, -math.inf
        self._answers = 0
        self.on_input: Callable[[npt.NDArray[np.int8]], object] | None = None
        self._closed = False
        self.keep_features = False

    @property
    def bundle(self) -> ModelBundle:
        """The model. It changes when another head takes over."""
        return self._network.bundle

    @property
    def rate_hz(self) -> float:
        """Frames per second of the time grid."""
        return self._grid.rate_hz

    @property
    def look_place(self) -> Region | None:
        """The second look at the last frame: (x, y, width, height) as shares 0 to 1 of the region; None without one."""
        return getattr(self._resizer, "place", None)

    @property
    def frames_seen(self) -> int:
        """Frames on the model's time grid since the start or the last `reset`."""
        return self._history.count

    @property
    def frames_lost(self) -> int:
        """Frames that the source lost or dropped since its first frame, by the numbers of its frames."""
        return self._times.lost

    def may_use(self, captured_s: float, step_s: float) -> bool:
        """Return whether a later frame may be used, for `Source.needs`, from any thread."""
        return self._grid.may_accept(captured_s, step_s)

    def push(
        self, frame: Frame | npt.NDArray[np.uint8], *, captured_s: float | None = None, dropped: int = 0
    ) -> Prediction | None:
        """Take one frame; returns a prediction when a window is full and `hop` frames have passed since the last one.

        The first window begins after the model's lead-in, if it has one.

        The model's rate decides which frames are used: those on a time grid of `rate_hz`, by their capture times.
        In mode "stateful" the first prediction also needs as many frames as a window has.

        Args:
            frame: a `Frame`, or a uint8 `(height, width, 3)` BGR array. A `Frame` after a cut starts a new window.
            captured_s: capture time of an array, in seconds on any clock that does not go back. Without it, an array
                counts as the next frame on the time grid; so leave it out only for arrays that come at the model's
                rate. A `Frame` has its own.
            dropped: frames of a live source dropped so far, for the prediction's `dropped`.

        Returns:
            A prediction, or None between predictions.

        Raises:
            SourceError: the frame's size is outside 8x8 to 8192x8192, or its capture time is not finite or earlier
                than that of the frame before.
            ConfigError: `captured_s` is given with a `Frame`.
            TypeError: the frame has another type.
            EdgeharError: the classifier is closed.
        """
        if self._closed:
            raise EdgeharError("the classifier is closed; make a new one to go on")
        if isinstance(frame, Frame):
            if captured_s is not None:
                raise ConfigError("captured_s is for arrays; a Frame has its own")
            if frame.cut:
                self.interrupt()
            self._times.see(frame.sequence)
            on_grid = self._accepts(frame.captured_s)
        elif captured_s is None:
            frame, on_grid = self._next_on_grid(frame), True
        else:
            on_grid = self._accepts(captured_s)
            frame = self._as_frame(frame, captured_s)
        if not on_grid:
            return None
        shrunk_ms, encoded_ms, kept_ms = self._encode(frame)
        if not self._times.captured_s:
            self._first_captured_s = frame.captured_s
        self._times.add(frame.captured_s)
        beyond_first_answer = self._history.count - self._first_answer
        if beyond_first_answer < 0 or beyond_first_answer % self.hop:
            return None
        return self._classify(frame.arrived_s, TimingMs(shrunk_ms, encoded_ms, kept_ms), dropped)

    def flush(self, *, dropped: int = 0) -> Prediction | None:
        """Return a prediction for a clip that ended before one window was full.

        The window is filled up with copies of the first frame, as in training; in mode "stateful" it is not filled.
        The last window may begin within the lead-in here. Returns None if there was a prediction, or no frame.
        """
        # After `restore` there is a history, but no frame.
        if not self._times.captured_s or self._history.count >= self._first_answer:
            return None
        return self._classify(time.monotonic(), TimingMs(0.0, 0.0, 0.0), dropped)

    def classify(self, clip: str | os.PathLike[str] | Iterable[Frame]) -> Prediction:
        """Classify a whole clip: average the scores of all its windows. Frames pushed before and after are unaffected.

        Args:
            clip: a video file, or any other finite source that `open_source` accepts.

        Returns:
            A prediction whose `window` spans the clip, and whose `raw` is that of the last window.

        Raises:
            SourceError: the clip cannot be read, or contains no frames.
        """
        from edgehar.sources import open_source

        with open_source(clip) as source:
            options: dict[str, Any] = {"hop": self.hop, "mode": self.mode, "region": self._region, "masks": self._masks}
            with Classifier(self._network, source_name=source.name, **options) as fresh:
                answers = [answer for frame in source if (answer := fresh.push(frame)) is not None]
                answers += [answer] if (answer := fresh.flush()) is not None else []
                frames, lost = fresh.frames_seen, fresh.frames_lost
        if not answers:
            raise SourceError(f"{clip}: contains no frames")
        return mean_prediction(answers, frames, lost)

    def features(self) -> npt.NDArray[np.int8]:
        """Return the encodings of the latest window, int8 `(window, features)`, a view that the next frame changes.

        Raises:
            ConfigError: the mode is "stateful".
        """
        if not isinstance(self._history, WindowHistory):
            raise ConfigError('mode "stateful" keeps no window of features; use mode "window"')
        return self._history.view()

    def reset(self) -> None:
        """Forget all frames: the next frame starts a new stream, whose predictions are numbered from 0."""
        self.interrupt()
        self._answers = 0

    def interrupt(self) -> None:
        """Forget all frames, as after a gap in the stream. Predictions keep their numbering."""
        self._history.reset()
        self._forget_stream()

    def _forget_stream(self) -> None:
        self._resizer.reset()
        self._grid.reset()
        self._times.clear()
        self._last_captured_s = -math.inf

    def look_at(self, region: Region | None, masks: tuple[Polygon, ...] = ()) -> None:
        """Classify another part of every frame from the next one on, and forget all frames.

        Args:
            region: as for a new classifier.
            masks: as for a new classifier.

        Raises:
            ConfigError: the region is not within the frame; nothing changes.
        """
        resizer = resizer_for(self.bundle, View(masks, region))
        self._resizer.close()
        self._resizer, self._region, self._masks = resizer, region, masks
        self.interrupt()

    def set_rate(self, rate_hz: float) -> None:
        """Use this many frames per second instead of the model's own rate, and forget all frames.

        A lower rate costs less. Predictions then have `rate_ok` False, and are less accurate.

        Raises:
            ConfigError: the rate is not a finite number above 0.
        """
        if not (math.isfinite(rate_hz) and rate_hz > 0):
            raise ConfigError(f"rate_hz is {rate_hz}, it must be a number above 0")
        self._grid = TimeGrid(rate_hz)
        self.interrupt()

    def reload(self) -> None:
        """Load the networks again after one has failed, and forget all frames."""
        self._network.reload()
        self.interrupt()

    def state(self) -> bytes:
        """Return the state of mode "stateful", for `restore` in this or another classifier of the same model.

        Raises:
            ConfigError: the mode is "window".
        """
        return self._stateful().save()

    def restore(self, state: bytes) -> None:
        """Continue from a saved state: predictions are then about all frames of that state.

        The times of those frames are not saved, so `window.start_s` is the time of the first frame after this. A model
        with motion input assumes that the scene did not move before that frame.

        Raises:
            ConfigError: the mode is "window", or the state is damaged, from a newer version, or of another model.
        """
        self._stateful().restore(state)
        self._forget_stream()

    def _stateful(self) -> StatefulHistory:
        if not isinstance(self._history, StatefulHistory):
            raise ConfigError('only mode "stateful" has a state to save; pass mode="stateful"')
        return self._history

    def close(self) -> None:
        """Free the memory of the model. The classifier cannot be used afterwards."""
        self._closed = True
        self._resizer.close()
        if self._owns_network:
            self._network.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _accepts(self, captured_s: float) -> bool:
        """Return whether the frame of this time is on the time grid. Raises SourceError if the time is invalid."""
        if not (math.isfinite(captured_s) and captured_s >= self._last_captured_s):
            raise SourceError(
                f"{self.source_name or 'frame'}: captured_s is {captured_s}; it must be finite and not less than "
                f"{self._last_captured_s:g}, the time of the frame before (call interrupt() at a cut)"
            )
        self._last_captured_s = captured_s
        return self._grid.accepts(captured_s)

    def _as_frame(self, pixels: npt.NDArray[np.uint8], captured_s: float) -> Frame:
        return Frame(pixels, PixelFormat.BGR24, captured_s, time.monotonic(), self._history.count)

    def _next_on_grid(self, pixels: npt.NDArray[np.uint8]) -> Frame:
        before = self._times.captured_s
        captured_s = before[-1] + self._grid.period_s if before else 0.0
        self._last_captured_s = max(self._last_captured_s, captured_s)
        return self._as_frame(pixels, captured_s)

    def _encode(self, frame: Frame) -> tuple[float, float, float]:
        """Shrink a frame into the encoder's input, encode it, store the encoding; returns milliseconds of each."""
        encoder = self._network.encoder
        started = time.perf_counter()
        try:
            self._resizer.resize_into(frame, encoder.input_view())
        except ValueError as error:
            raise SourceError(f"{self.source_name or 'frame'}: {error}") from error
        if self.on_input is not None:
            self.on_input(encoder.input_view())
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
            rate_ok=self._times.rate_ok,
        ).with_raw(
            raw,
            head=self.bundle.manifest.files["head.tflite"][:8],
            features=self.features().copy() if self.keep_features else None,
        )

    def _span(self) -> Window:
        times = self._times
        if self.mode == "window":
            return Window(len(times.captured_s), times.captured_s[0], times.captured_s[-1], times.lost_within)
        return Window(self._history.count, self._first_captured_s, times.captured_s[-1], times.lost)


def _check_hop(hop: object, window: int, model: str) -> int:
    """Return `hop` as an int. Raises ConfigError if it is not a whole number from 1 to the window."""
    try:
        whole = operator.index(hop)  # type: ignore[arg-type]
    except TypeError:
        whole = 0
    if not 1 <= whole <= window or isinstance(hop, bool):
        raise ConfigError(f"hop is {hop}, it must be a whole number from 1 to {window} (the window of {model})")
    return whole
