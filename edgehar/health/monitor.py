"""Health of the streams, the queues and the machine: the source of statuses, metrics and the line for systemd."""

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
    from edgehar.sources.base import Decoding

_log = logging.getLogger(__name__)

GaugeName = Literal[
    "queue_depth", "queue_dropped", "spool_depth", "spool_dropped", "spool_refused", "connected",
    "recordings", "recordings_failed", "uploads", "uploads_waiting", "notifications", "notifications_failed",
]  # fmt: skip
# Frame ages are those of this many predictions.
_AGES = 512
# Time between two measurements of the machine and the queues.
_MEASURE_EVERY_S = 1.0
# Upper bounds of the histogram of inference times, in seconds.
INFERENCE_BOUNDS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)


class Counts(NamedTuple):
    """Counts of a stream since the start, for Prometheus.

    Attributes:
        windows: predictions by label.
        inference: predictions by inference time: one count for each bound in `INFERENCE_BOUNDS_S`, and one above.
        inference_s: sum of the inference times, in seconds.
        age_s: sum of the ages of the newest frame at each prediction, in seconds.
    """

    windows: dict[str, int]
    inference: tuple[int, ...]
    inference_s: float
    age_s: float


class StreamHealth:
    """Health of one stream. Written by the thread that classifies, read from any thread.

    Attributes:
        name: name of the stream in its records.
        model: name of its model; empty before the first prediction.
        state: state of the stream.
        frames: frames taken so far.
        predictions: predictions made so far.
        reconnects: times the source was reopened.
        inference_errors: times the network failed and was loaded again.
        rate_hz: frames per second that are classified at most; None if unknown.
        decoding: how video is decoded; None if none is.
    """

    def __init__(
        self,
        name: str,
        *,
        count_dropped: Callable[[], int] = lambda: 0,
        count_damaged: Callable[[], int] = lambda: 0,
        monitor: Monitor | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start counting.

        Args:
            name: name of the stream in its records.
            count_dropped: returns the frames dropped so far, from any thread. The capture counts them.
            count_damaged: returns the damaged ones among them.
            monitor: gives the readings of the machine and of the queues; without it a status has none.
            clock: monotonic seconds.
        """
        self.name, self.model = name, ""
        self.state = StreamState.OPENING
        self.frames = self.predictions = self.reconnects = self.inference_errors = 0
        self.rate_hz: float | None = None
        self.decoding: Decoding | None = None
        self._count_dropped, self._count_damaged = count_dropped, count_damaged
        self._monitor, self._clock = monitor, clock
        self._started_s: float | None = None
        # Guarded by the lock, because other threads iterate over these.
        self._lock = threading.Lock()
        self._ages_ms: deque[float] = deque(maxlen=_AGES)
        self._windows: Counter[str] = Counter()
        self._inference = [0] * (len(INFERENCE_BOUNDS_S) + 1)
        self._inference_s = self._age_s = 0.0

    @property
    def dropped(self) -> int:
        """Frames dropped so far."""
        return self._count_dropped()

    @property
    def damaged(self) -> int:
        """Damaged frames among the dropped ones."""
        return self._count_damaged()

    def frame(self) -> None:
        """Count a frame that was taken."""
        if self._started_s is None:
            self._started_s = self._clock()
        self.frames += 1

    def prediction(self, prediction: Prediction) -> None:
        """Count a prediction."""
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
        """Count a reconnection of the source."""
        self.reconnects += 1

    def inference_error(self) -> None:
        """Count a failure of the network, after which it is loaded again."""
        self.inference_errors += 1

    @property
    def fps(self) -> float:
        """Frames per second since the first frame."""
        if self._started_s is None:
            return 0.0
        elapsed_s = self._clock() - self._started_s
        return (self.frames - 1) / elapsed_s if elapsed_s > 0 else 0.0

    def frame_age_ms(self, share: float) -> float | None:
        """Return the quantile `share` of the latest frame ages, in milliseconds; None before the first prediction."""
        with self._lock:
            ages = sorted(self._ages_ms)
        return ages[max(math.ceil(share * len(ages)) - 1, 0)] if ages else None

    def counts(self) -> Counts:
        """Return the counts for Prometheus."""
        with self._lock:
            return Counts(dict(self._windows), tuple(self._inference), self._inference_s, self._age_s)

    def status(self) -> Status:
        """Return the status record."""
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
            damaged=self.damaged,
            fps=round(self.fps, 2),
            frame_age_ms_p50=rounded(self.frame_age_ms(0.5), 2),
            frame_age_ms_p95=rounded(self.frame_age_ms(0.95), 2),
            queue_depth=total("queue_depth"),
            queue_dropped=total("queue_dropped"),
            spool_depth=total("spool_depth"),
            spool_dropped=total("spool_dropped"),
            spool_refused=total("spool_refused"),
            recordings=total("recordings"),
            recordings_failed=total("recordings_failed"),
            uploads=total("uploads"),
            uploads_waiting=total("uploads_waiting"),
            notifications=total("notifications"),
            notifications_failed=total("notifications_failed"),
            reconnects=self.reconnects,
            inference_errors=self.inference_errors,
            rate_hz=self.rate_hz,
            decode=None if self.decoding is None else self.decoding.mode,
            decode_hardware=None if self.decoding is None else self.decoding.hardware,
            rss_mb=rounded(readings.rss_mb, 1),
            cpu_share=rounded(readings.cpu_share, 3),
            temperature_c=rounded(readings.temperature_c, 1),
            throttled=readings.throttled,
            under_voltage=readings.under_voltage,
        )


class Monitor:
    """Health of all streams, all queues and the machine. Safe from any thread.

    After `start`, a thread measures the machine and the queues, and everyone else reads its latest values: a queue on a
    stalled disk must not make the thread that classifies wait.
    """

    def __init__(self, machine: Machine | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        """Watch a machine.

        Args:
            machine: the machine; None for this one.
            clock: monotonic seconds.
        """
        self._machine, self._clock = machine or Machine(), clock
        self._lock = threading.Lock()
        self._streams: dict[str, StreamHealth] = {}
        self._gauges: dict[tuple[GaugeName, str], Callable[[], float]] = {}
        self._values: dict[tuple[GaugeName, str], float] = {}
        self._readings = Readings()
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()

    def start(self) -> None:
        """Start the thread that measures."""
        self._thread = threading.Thread(target=self._keep_measuring, name="edgehar-health", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop the thread. Does not wait for a measurement that hangs."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join(0.1)
            self._thread = None

    def _keep_measuring(self) -> None:
        while True:
            self._readings = self._machine.read()
            with self._lock:
                readers = list(self._gauges.items())
            for key, read in readers:
                value = _read_gauge(key, read)
                with self._lock:
                    if value is None or key not in self._gauges:
                        self._values.pop(key, None)
                    else:
                        self._values[key] = value
            if self._closing.wait(_MEASURE_EVERY_S):
                return

    def add_stream(
        self,
        name: str,
        count_dropped: Callable[[], int] = lambda: 0,
        count_damaged: Callable[[], int] = lambda: 0,
    ) -> StreamHealth:
        """Start counting for a stream; the arguments are those of `StreamHealth`."""
        health = StreamHealth(
            name, count_dropped=count_dropped, count_damaged=count_damaged, monitor=self, clock=self._clock
        )
        with self._lock:
            self._streams[name] = health
        return health

    def streams(self) -> list[StreamHealth]:
        """Return the health of every stream."""
        with self._lock:
            return list(self._streams.values())

    def status(self, name: str) -> Status:
        """Return the status of the stream of this name. Raises KeyError if there is none."""
        with self._lock:
            health = self._streams[name]
        return health.status()

    def readings(self) -> Readings:
        """Return the latest readings of the machine."""
        return self._machine.read() if self._thread is None else self._readings

    def add_gauge(self, name: GaugeName, read: Callable[[], float], sink: str = "") -> None:
        """Add a number of a sink to statuses and metrics. It replaces one of the same name and sink.

        Args:
            name: which number: one of a status, or whether the receiver is connected.
            read: returns the number, from any thread. If it raises, the number is left out.
            sink: name of the sink, for example `mqtt`; empty for all sinks together.
        """
        value = _read_gauge((name, sink), read) or 0.0
        with self._lock:
            self._gauges[name, sink] = read
            self._values[name, sink] = value

    def remove_gauges(self, sink: str) -> None:
        """Remove all numbers of a sink."""
        with self._lock:
            for key in [key for key in self._gauges if key[1] == sink]:
                del self._gauges[key]
                self._values.pop(key, None)

    def gauges(self, name: GaugeName) -> dict[str, float]:
        """Return the latest number of this name of each sink that has one, by sink."""
        with self._lock:
            if self._thread is not None:
                return {sink: value for (gauge, sink), value in self._values.items() if gauge == name}
            readers = [(key, read) for key, read in self._gauges.items() if key[0] == name]
        values = {key[1]: _read_gauge(key, read) for key, read in readers}
        return {sink: value for sink, value in values.items() if value is not None}

    def line(self) -> str:
        """Return one line for people: state, frame rate and predictions of each stream, and the events that wait."""
        parts = [
            f"{stream.name}: {stream.state}, {stream.fps:.1f} frames/s, {stream.predictions} answers"
            + (f", {stream.dropped} dropped" if stream.dropped else "")
            + (f" ({stream.damaged} damaged)" if stream.damaged else "")
            for stream in self.streams()
        ]
        waiting = int(sum(self.gauges("spool_depth").values()))
        if waiting:
            parts.append(f"{waiting} events wait to be delivered")
        return "; ".join(parts) or "starting"


def _read_gauge(key: tuple[GaugeName, str], read: Callable[[], float]) -> float | None:
    try:
        return float(read())
    except Exception:
        # A sink that is closing must not hide the numbers of the others.
        _log.debug("%s of %s: cannot be read", key[0], key[1] or "all sinks", exc_info=True)
        return None
