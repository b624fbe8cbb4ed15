"""Counts what the streams do, and sums it up together with what the queues and the machine say."""

from __future__ import annotations

import logging
import math
import threading
import time
from bisect import bisect_left
from collections import Counter, deque
from typing import TYPE_CHECKING, Literal, NamedTuple

from edgehar.health.machine import Machine, Readings
from edgehar.records import Status, StreamState, utc_now

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgehar.records import Prediction

_log = logging.getLogger(__name__)

GaugeName = Literal["queue_depth", "spool_depth", "spool_dropped", "spool_refused", "connected"]
# Over how many of the last predictions frame ages are told.
_AGES = 512
# Upper bounds of the histogram of inference times, in seconds.
INFERENCE_BOUNDS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)


class Counts(NamedTuple):
    """What a stream has done since the start, for Prometheus.

    Attributes:
        windows: predictions by label.
        inference: predictions by the bound of `INFERENCE_BOUNDS_S` their time is within, one more for longer ones.
        inference_s: sum of those times, in seconds.
        age_s: sum of the ages of the newest frame at each answer, in seconds.
    """

    windows: dict[str, int]
    inference: tuple[int, ...]
    inference_s: float
    age_s: float


class StreamHealth:
    """How one stream is doing. Counted by the thread that classifies, read from any.

    Attributes:
        name: what its records call the stream.
        model: the model that looks at it; nothing before the first answer.
        state: what its source is doing.
        frames: frames taken so far.
        predictions: answers given so far.
        reconnects: times its source was opened again.
        inference_errors: times the network failed and was loaded again.
        rate_hz: frames a second that are looked at; None where that is not said.
    """

    def __init__(
        self,
        name: str,
        *,
        count_dropped: Callable[[], int] = lambda: 0,
        monitor: Monitor | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start counting.

        Args:
            name: what its records call the stream.
            count_dropped: returns the frames skipped so far, from any thread. The capture counts them.
            monitor: gives the readings of the machine and of the queues; without it a status has none.
            clock: monotonic seconds.
        """
        self.name, self.model = name, ""
        self.state = StreamState.OPENING
        self.frames = self.predictions = self.reconnects = self.inference_errors = 0
        self.rate_hz: float | None = None
        self._count_dropped, self._monitor, self._clock = count_dropped, monitor, clock
        self._started_s: float | None = None
        # Guarded by the lock: what is changed while it may be gone through.
        self._lock = threading.Lock()
        self._ages_ms: deque[float] = deque(maxlen=_AGES)
        self._windows: Counter[str] = Counter()
        self._inference = [0] * (len(INFERENCE_BOUNDS_S) + 1)
        self._inference_s = self._age_s = 0.0

    @property
    def dropped(self) -> int:
        """Frames of a live source skipped so far."""
        return self._count_dropped()

    def frame(self) -> None:
        """Count a frame that was taken."""
        if self._started_s is None:
            self._started_s = self._clock()
        self.frames += 1

    def prediction(self, prediction: Prediction) -> None:
        """An answer was given."""
        timing = prediction.timing_ms
        seconds = (timing.encode + timing.classify) / 1000
        with self._lock:
            self.predictions += 1
            self.model = prediction.model
            self._ages_ms.append(prediction.frame_age_ms)
            self._age_s += prediction.frame_age_ms / 1000
            self._windows[prediction.label] += 1
            self._inference[bisect_left(INFERENCE_BOUNDS_S, seconds)] += 1
            self._inference_s += seconds

    def reconnect(self) -> None:
        """The source was opened again."""
        self.reconnects += 1

    def inference_error(self) -> None:
        """The network failed and is loaded again."""
        self.inference_errors += 1

    @property
    def fps(self) -> float:
        """Frames a second since the first."""
        if self._started_s is None:
            return 0.0
        elapsed_s = self._clock() - self._started_s
        return (self.frames - 1) / elapsed_s if elapsed_s > 0 else 0.0

    def frame_age_ms(self, share: float) -> float | None:
        """The age that so large a share of the last answers did not exceed, in milliseconds; None before the first."""
        with self._lock:
            ages = sorted(self._ages_ms)
        return ages[max(math.ceil(share * len(ages)) - 1, 0)] if ages else None

    def counts(self) -> Counts:
        """Everything counted by kind."""
        with self._lock:
            return Counts(dict(self._windows), tuple(self._inference), self._inference_s, self._age_s)

    def status(self) -> Status:
        """Everything, as a record."""
        monitor = self._monitor
        readings = monitor.readings() if monitor is not None else Readings()

        def total(name: GaugeName) -> int:
            return int(sum(monitor.gauges(name).values())) if monitor is not None else 0

        def rounded(value: float | None, digits: int) -> float | None:
            return None if value is None else round(value, digits)

        return Status(
            time=utc_now(),
            source=self.name,
            state=self.state,
            frames=self.frames,
            predictions=self.predictions,
            dropped=self.dropped,
            fps=round(self.fps, 2),
            frame_age_ms_p50=rounded(self.frame_age_ms(0.5), 2),
            frame_age_ms_p95=rounded(self.frame_age_ms(0.95), 2),
            queue_depth=total("queue_depth"),
            spool_depth=total("spool_depth"),
            spool_dropped=total("spool_dropped"),
            spool_refused=total("spool_refused"),
            reconnects=self.reconnects,
            inference_errors=self.inference_errors,
            rate_hz=self.rate_hz,
            rss_mb=rounded(readings.rss_mb, 1),
            cpu_share=rounded(readings.cpu_share, 3),
            temperature_c=rounded(readings.temperature_c, 1),
            throttled=readings.throttled,
            under_voltage=readings.under_voltage,
        )


class Monitor:
    """All streams, all queues and the machine. Safe from any thread."""

    def __init__(self, machine: Machine | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        """Watch `machine`, this one when None; `clock` gives seconds."""
        self._machine, self._clock = machine or Machine(), clock
        self._lock = threading.Lock()
        self._streams: dict[str, StreamHealth] = {}
        self._gauges: dict[tuple[GaugeName, str], Callable[[], float]] = {}

    def add_stream(self, name: str, count_dropped: Callable[[], int] = lambda: 0) -> StreamHealth:
        """Start counting for a stream; the arguments are those of `StreamHealth`."""
        health = StreamHealth(name, count_dropped=count_dropped, monitor=self, clock=self._clock)
        with self._lock:
            self._streams[name] = health
        return health

    def streams(self) -> list[StreamHealth]:
        """Every stream."""
        with self._lock:
            return list(self._streams.values())

    def status(self, name: str) -> Status:
        """Return the status of the stream of this name. Raises KeyError if there is none."""
        with self._lock:
            health = self._streams[name]
        return health.status()

    def readings(self) -> Readings:
        """What the machine says now."""
        return self._machine.read()

    def add_gauge(self, name: GaugeName, read: Callable[[], float], sink: str = "") -> None:
        """Tell a number of a sink in every status; it takes the place of one of the same name and sink.

        Args:
            name: which number: records waiting in memory, events waiting on disk, events thrown away undelivered, or
                whether the receiver is there.
            read: gives it, from any thread. When it fails the number is left out.
            sink: of which sink, for example `mqtt`; nothing for all together.
        """
        with self._lock:
            self._gauges[name, sink] = read

    def remove_gauges(self, sink: str) -> None:
        """Tell nothing more of a sink."""
        with self._lock:
            self._gauges = {key: read for key, read in self._gauges.items() if key[1] != sink}

    def gauges(self, name: GaugeName) -> dict[str, float]:
        """The number of that name of each sink that gives one."""
        with self._lock:
            readers = {sink: read for (gauge, sink), read in self._gauges.items() if gauge == name}
        values = {}
        for sink, read in readers.items():
            try:
                values[sink] = float(read())
            except Exception:
                # Whatever a sink does while it closes, telling of the others goes on.
                _log.debug("%s of %s: cannot be read", name, sink or "all sinks", exc_info=True)
        return values

    def line(self) -> str:
        """How all is going, in a line for people: the state and pace of each stream, and what waits."""
        parts = [
            f"{stream.name}: {stream.state}, {stream.fps:.1f} frames/s, {stream.predictions} answers"
            + (f", {stream.dropped} dropped" if stream.dropped else "")
            for stream in self.streams()
        ]
        waiting = int(sum(self.gauges("spool_depth").values()))
        if waiting:
            parts.append(f"{waiting} events wait to be delivered")
        return "; ".join(parts) or "starting"
