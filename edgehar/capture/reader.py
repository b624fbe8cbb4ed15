"""Keeps frames coming: opens a source, watches it, and opens it again when it breaks off or freezes.

One thread watches; another opens the source and reads it. A read that never returns cannot be ended from outside, so
its thread is given up: nothing it may still give is used, and it closes its own handle when it returns.
"""

from __future__ import annotations

import contextlib
import math
import random
import threading
import time
from typing import TYPE_CHECKING, Annotated

import msgspec

from edgehar.capture.freshness import Freshness
from edgehar.capture.mailbox import Closed, Mailbox
from edgehar.errors import ConfigError, SourceError
from edgehar.records import StreamState
from edgehar.sources.base import AccessRefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from edgehar.frames import Frame
    from edgehar.sources.base import Source

# Frames of a file that may be decoded ahead.
_FRAMES_AHEAD = 4
# A source may take so long to open and give its first frame: connecting, probing the stream, starting a sensor.
_OPEN_DEADLINE_S = 30.0
# Cameras lock out whoever tries a wrong password too often.
_REFUSED_DELAY_S = 60.0
# Threads whose reads hang. Each holds a handle: from here on only a new process can help.
_MOST_HANGING = 3
# The longest that the watching thread sleeps at a time.
_POLL_S = 0.5


class ReconnectOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When and how often a camera or stream that went away is opened again."""

    first_delay_s: Annotated[
        float, msgspec.Meta(ge=0.01, le=3600, description="Longest wait before the first try to open it again.")
    ] = 1.0
    max_delay_s: Annotated[
        float,
        msgspec.Meta(
            ge=0.01,
            le=3600,
            description="Longest wait before any try. Waits double from first_delay_s up to here, and each is a random "
            "share of that, so that many devices do not come back at once.",
        ),
    ] = 3.0
    frozen_s: Annotated[
        float, msgspec.Meta(ge=0.2, le=3600, description="Open it again when it gave no frame for so long.")
    ] = 10.0
    stale_after_s: Annotated[
        float,
        msgspec.Meta(ge=0.1, le=3600, description="Skip frames that come later than this, as they do after a stall."),
    ] = 2.0
    at_start: Annotated[
        bool,
        msgspec.Meta(description="Keep trying also when it cannot be opened at the start, instead of ending with 1."),
    ] = False


class Backoff:
    """Waits between tries: random ("full jitter") below a bound that doubles from try to try up to a limit."""

    def __init__(self, options: ReconnectOptions, jitter: Callable[[float, float], float] = random.uniform) -> None:
        """Begin with no tries made; `jitter(low, high)` gives a number between the two."""
        self._options, self._jitter = options, jitter
        self.reset()

    def reset(self) -> None:
        """Begin anew, as if no try had been made."""
        self._bound_s = min(self._options.first_delay_s, self._options.max_delay_s)

    def next_delay_s(self) -> float:
        """How long to wait before the next try."""
        delay_s = self._jitter(0.0, self._bound_s)
        self._bound_s = min(2 * self._bound_s, self._options.max_delay_s)
        return delay_s


class _Reading:
    """One opening of the source, and what came of it.

    Attributes:
        thread: opens the source and reads it to its end.
        source: what was opened; None before.
        done: the thread is at its end, in order or with `trouble`.
        watched: whether it is given up when no frame comes in time.
        deadline_s: when.
        began_s: when the first frame came; None before.
        last_s: when the newest came that was not stale.
        freshness: tells stale frames.
    """

    def __init__(self, deadline_s: float, freshness: Freshness) -> None:
        self.thread = threading.Thread()
        self.source: Source | None = None
        self.done = False
        self.trouble: BaseException | None = None
        self.watched = True
        self.deadline_s, self.freshness = deadline_s, freshness
        self.began_s: float | None = None
        self.last_s = 0.0


class Capture:
    """Frames of one source, over all its interruptions.

    A live source that fails or freezes is opened again for as long as it takes. A file is opened once: its end, or what
    went wrong with it, is the end. So is the end that a live source comes to without an error.

    Attributes:
        frames: what was read, each frame with the epoch it belongs to. A live source's newest frame only; of a file's
            some, and none is lost. Closed at the end of the source, after `stop`, and when there is an `error`.
        source: the source that was opened last; None before the first.
        live: as the source's; False before it was open for the first time.
        state: what is being done; `on_state` is told each change.
        epoch: how often frames began to come again after an interruption; frames of two epochs belong to no one window.
        stale: frames skipped because they came too late.
        error: why it failed; None otherwise.
    """

    def __init__(
        self,
        open_source: Callable[[], Source],
        *,
        options: ReconnectOptions | None = None,
        on_state: Callable[[StreamState, str], object] = lambda *_: None,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[float, float], float] = random.uniform,
    ) -> None:
        """Make a capture; `start` starts it.

        Args:
            open_source: opens the source; called again after each interruption, each time in a new thread.
            options: when to give up on a read and how long to wait before the next try.
            on_state: called with each new state and a line that says why ("" where there is nothing to say), and with
                RECONNECTING again when a new try failed for another reason. It is called in this capture's thread,
                RUNNING after the first frame of an epoch was put into `frames`, and must not wait for the capture.
            clock: monotonic seconds.
            jitter: gives a random number between two.
        """
        self.frames: Mailbox[tuple[int, Frame]] = Mailbox(_FRAMES_AHEAD, drop_oldest=False)
        self.source: Source | None = None
        self.live = False
        self.state = StreamState.OPENING
        self.epoch = self.stale = 0
        self.error: BaseException | None = None
        self._open_source, self._on_state, self._clock = open_source, on_state, clock
        self._options = options or ReconnectOptions()
        self._backoff, self._jitter = Backoff(self._options, jitter), jitter
        self._thread = threading.Thread(target=self._keep_reading, name="edgehar-capture", daemon=True)
        self._changed = threading.Condition()
        self._current: _Reading | None = None
        self._given_up: list[_Reading] = []
        self._ever_gave_frames = self._stopping = False
        self._opened = threading.Event()
        self._reason = ""

    @property
    def dropped(self) -> int:
        """Frames of a live source skipped so far: replaced by a newer one in `frames`, or stale."""
        return self.frames.dropped + self.stale

    @property
    def reconnects(self) -> int:
        """How often the source was opened again so far, and gave frames."""
        return self.epoch

    def start(self) -> None:
        """Begin to open and read the source, in threads of its own."""
        self._thread.start()

    def wait_opened(self, timeout_s: float | None = None) -> bool:
        """Wait until the source is open for the first time, so that `live` and `source` are known, or all is over."""
        return self._opened.wait(timeout_s)

    def stop(self, timeout_s: float = 1.0) -> None:
        """Close the source and `frames`, and wait up to `timeout_s` for a read that is under way."""
        deadline_s = time.monotonic() + timeout_s
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self.frames.close(discard=True)
        if self._thread.ident is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout_s)
        for reading in self._given_up:
            reading.thread.join(max(0.0, deadline_s - time.monotonic()))

    def _keep_reading(self) -> None:
        try:
            self._on_state(self.state, "")
            while not self._stopping and self._read_once():
                pass
            self._enter(StreamState.FAILED if self.error else StreamState.STOPPED, str(self.error or ""))
        except Exception as error:  # of `on_state`
            self._give_up()
            self.error = error
        finally:
            self._opened.set()
            self.frames.close()

    def _read_once(self) -> bool:
        """Open the source and read it until it ends, then wait; False when there is to be no other try."""
        if not self._may_open():
            return True
        reading = _Reading(self._clock() + _OPEN_DEADLINE_S, Freshness(self._options.stale_after_s))
        reading.thread = threading.Thread(target=self._read, args=[reading], name="edgehar-capture-read", daemon=True)
        self._current = reading
        trouble = self._watch(reading)
        self._give_up()
        if trouble is None or self._is_final(trouble, reading):
            self.error = trouble
            return False
        _forget_frames(trouble)
        if reading.last_s - (reading.began_s or reading.last_s) >= self._options.max_delay_s:
            self._backoff.reset()
        self._discard_unread()
        self._enter(StreamState.RECONNECTING if self._ever_gave_frames else StreamState.OPENING, str(trouble))
        delay_s = self._backoff.next_delay_s()
        if isinstance(trouble, AccessRefusedError):
            delay_s = self._jitter(_REFUSED_DELAY_S / 2, _REFUSED_DELAY_S)
        self._sleep(delay_s)
        return True

    def _may_open(self) -> bool:
        """Whether not too many earlier reads hang; waits a little when they do."""
        self._given_up = [reading for reading in self._given_up if reading.thread.is_alive()]
        if len(self._given_up) < _MOST_HANGING:
            return True
        self._enter(self.state, f"{len(self._given_up)} earlier reads of the source hang; if they go on, restart this")
        self._sleep(_POLL_S)
        return False

    def _watch(self, reading: _Reading) -> BaseException | None:
        """Wait until the source ends, fails or freezes; why, or None for an end in order."""
        reading.thread.start()
        while True:
            with self._changed:
                began = reading.began_s is not None and self.state is not StreamState.RUNNING
                left_s = reading.deadline_s - self._clock()
                if not (began or self._stopping or reading.done or left_s <= 0):
                    self._changed.wait(min(left_s, _POLL_S))
                    continue
            if self._stopping:
                return None
            if began:
                self._enter(StreamState.RUNNING, "")
            elif reading.done:
                return reading.trouble
            else:
                return self._frozen(reading)

    def _frozen(self, reading: _Reading) -> SourceError:
        name = "the source" if reading.source is None else reading.source.name
        limit_s = _OPEN_DEADLINE_S if reading.began_s is None else self._options.frozen_s
        return SourceError(f"{name}: no new frame for {limit_s:g} s; check the camera and the network")

    def _is_final(self, trouble: BaseException, reading: _Reading) -> bool:
        """Whether to open the source again is of no use, or not wanted."""
        if isinstance(trouble, ConfigError) or isinstance(trouble.__cause__, ImportError):
            return True
        if reading.source is not None and not (reading.source.live and reading.source.reopens):
            return True
        return not (self._ever_gave_frames or self._options.at_start)

    def _give_up(self) -> None:
        """Use nothing more of the present reading, and let go of its source now or when its read returns."""
        with self._changed:
            reading, self._current = self._current, None
        if reading is not None:
            if reading.source is not None:
                reading.source.close()
            self._given_up.append(reading)

    def _discard_unread(self) -> None:
        """Throw away what nobody has read yet: it will be old when somebody does."""
        with contextlib.suppress(TimeoutError, Closed):
            while True:
                self.frames.get(0)
                self.stale += 1

    def _enter(self, state: StreamState, reason: str) -> None:
        if (state, reason) != (self.state, self._reason):
            self.state, self._reason = state, reason
            self._on_state(state, reason)

    def _sleep(self, duration_s: float) -> None:
        end_s = self._clock() + duration_s
        with self._changed:
            while not self._stopping and (left_s := end_s - self._clock()) > 0:
                self._changed.wait(min(left_s, _POLL_S))

    def _read(self, reading: _Reading) -> None:
        """Open the source and read it to its end: the work of a reading's own thread, as all that follows."""
        try:
            with self._opened_for(reading) as source:
                for frame in source:
                    self._take(reading, frame)
        except Closed:
            pass
        except Exception as error:
            reading.trouble = error
        with self._changed:
            reading.done = True
            self._changed.notify_all()

    @contextlib.contextmanager
    def _opened_for(self, reading: _Reading) -> Iterator[Source]:
        """The source, opened for a reading, and closed after it; Closed when the reading was given up meanwhile."""
        with self._open_source() as source:
            with self._changed:
                self._check_current(reading)
                reading.source = self.source = source
                reading.watched = source.live and source.reopens
                if not reading.watched:
                    reading.deadline_s = math.inf
                self.live = self.live or source.live
                if self.live:
                    self.frames.keep_newest()
            self._opened.set()
            yield source

    def _check_current(self, reading: _Reading) -> None:
        if reading is not self._current or self._stopping:
            raise Closed

    def _take(self, reading: _Reading, frame: Frame) -> None:
        """Hand on a frame, unless it is stale; Closed when the reading was given up meanwhile."""
        with self._changed:
            self._check_current(reading)
            if reading.watched and reading.freshness.is_stale(frame.captured_s, frame.arrived_s):
                self.stale += 1
                return
            now_s = self._clock()
            if reading.began_s is None:
                reading.began_s = now_s
                self.epoch += self._ever_gave_frames
                self._ever_gave_frames = True
                self._changed.notify_all()
            reading.last_s = now_s
            if reading.watched:
                reading.deadline_s = now_s + self._options.frozen_s
                self.frames.put((self.epoch, frame))
                return
        # Room for a frame of a file may be long in coming.
        self.frames.put((self.epoch, frame))


def _forget_frames(error: BaseException | None) -> None:
    """Drop the tracebacks of an error that was got over: they would keep the closed source, decoder and all, alive."""
    while error is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__
