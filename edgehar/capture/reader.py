"""Keep frames coming: open a source, watch it, and reopen it when it fails or freezes.

One thread watches; another one opens the source and reads it. A read that never returns cannot be interrupted, so its
thread is abandoned: its frames are ignored, and it closes its own handle when the read returns.
"""

from __future__ import annotations

import contextlib
import math
import random
import threading
import time
from typing import TYPE_CHECKING

from edgehar.backoff import Backoff
from edgehar.capture.frame_queue import FrameQueue
from edgehar.capture.freshness import Freshness
from edgehar.capture.mailbox import Closed
from edgehar.capture.options import ReconnectOptions
from edgehar.capture.repeats import Repeats
from edgehar.errors import ConfigError, SourceError
from edgehar.records import StreamState
from edgehar.sources.base import AccessRefusedError, OffHoursError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from edgehar.frames import Frame
    from edgehar.sources.base import Decoding, Source
    from edgehar.sources.options import DecodeMode

# Longest time to open a source and get its first frame: connect, probe the stream, start a sensor.
OPEN_DEADLINE_S = 30.0
# Cameras lock out users who retry a wrong password too often.
_REFUSED_DELAY_S = 60.0
# Reading threads that may hang at a time. Each holds a handle of the driver, so only a new process helps then.
_MOST_HANGING = 3
# Longest sleep of the watching thread, in seconds.
_POLL_S = 0.5


class _Reading:
    """One opening of the source.

    Attributes:
        thread: opens the source and reads it to its end.
        source: the opened source; None before.
        done: the thread has ended, normally or with `trouble`.
        trouble: the error that ended it; None for a normal end.
        deadline_s: time at which it is abandoned.
        began_s: time of the first frame; None before.
        last_s: time of the newest frame that was not stale.
        freshness: detects stale frames; None for a file.
        usable_s: how long it may go without a usable frame, in seconds.
        repeats: detects a camera that repeats its last picture.
        rejected: why it is to be reopened, though frames arrive; None if it is not.
    """

    def __init__(self, deadline_s: float) -> None:
        self.thread = threading.Thread()
        self.source: Source | None = None
        self.done = False
        self.trouble: BaseException | None = None
        self.deadline_s = deadline_s
        self.freshness: Freshness | None = None
        self.usable_s = 0.0
        self.repeats = Repeats()
        self.rejected: str | None = None
        self.began_s: float | None = None
        self.last_s = 0.0


class Capture:
    """Frames of one source, across all its interruptions.

    A live source that fails or freezes is reopened until it delivers frames again. A file is opened once: its end or
    its error ends the capture. A live source that ends without an error also ends the capture.

    Attributes:
        frames: queue of the frames, each with its epoch. Closed at the end of the source, after `stop`, and on `error`.
        source: the source opened last; None before the first.
        live: whether the source is live; False until it is open for the first time.
        state: state of the capture; `on_state` is called with each change.
        epoch: number of interruptions after which frames came again. Frames of two epochs do not share a window.
        stale: frames dropped because they arrived too late.
        error: the error that ended the capture; None otherwise.
        needs: tells which frames will be used, for `Source.needs`; set it before `start`.
    """

    def __init__(
        self,
        open_source: Callable[[], Source],
        *,
        options: ReconnectOptions | None = None,
        on_state: Callable[[StreamState, str], object] = lambda *_: None,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[float, float], float] = random.uniform,
        open_deadline_s: float = OPEN_DEADLINE_S,
    ) -> None:
        """Make a capture; `start` starts it.

        Args:
            open_source: opens the source; called again after each interruption, each time in a new thread.
            options: when to abandon a read, and how long to wait before the next try.
            on_state: called with each new state and its reason ("" if there is none). It is called with RECONNECTING
                again if a new try fails for another reason. The capture's thread calls it, RUNNING after the first
                frame of an epoch was put into `frames`. It must not wait for the capture.
            clock: monotonic seconds.
            jitter: returns a random number between its two arguments.
            open_deadline_s: longest time to open the source and get its first frame, in seconds.
        """
        self.frames = FrameQueue(clock=clock)
        self.source: Source | None = None
        self.live = False
        self.state = StreamState.OPENING
        self.epoch = self.stale = 0
        self.error: BaseException | None = None
        self._open_source, self._on_state, self._clock = open_source, on_state, clock
        self._options = options or ReconnectOptions()
        self._open_deadline_s = open_deadline_s
        self._backoff = Backoff(self._options.first_delay_s, self._options.max_delay_s, jitter=jitter)
        self._jitter = jitter
        self._thread = threading.Thread(target=self._keep_reading, name="edgehar-capture", daemon=True)
        self._changed = threading.Condition()
        self._current: _Reading | None = None
        self._abandoned: list[_Reading] = []
        self._damaged_before = 0
        self._ever_gave_frames = self._stopping = False
        self._opened = threading.Event()
        self._reason = ""
        self._decode_mode: DecodeMode | None = None
        self.needs: Callable[[float, float], bool] | None = None

    @property
    def dropped(self) -> int:
        """Frames of a live source dropped so far: damaged, stale, or because the classifier fell behind."""
        return self.frames.dropped + self.stale + self.damaged

    @property
    def damaged(self) -> int:
        """Frames dropped so far because they were damaged."""
        source = self.source
        return self._damaged_before + (source.damaged if source is not None else 0)

    @property
    def reconnects(self) -> int:
        """The number of times that the source was reopened and delivered frames again."""
        return self.epoch

    @property
    def decoding(self) -> Decoding | None:
        """How the source decodes video now; None if it decodes none, or is not open."""
        source = self.source
        return None if source is None else source.decoding

    def use_decode_mode(self, mode: DecodeMode) -> None:
        """Decode this source, and those that are opened after it, in another mode, if they leave it to the device."""
        if mode != self._decode_mode:
            self._decode_mode = mode
            source = self.source
            if source is not None:
                source.use_decode_mode(mode)

    def start(self) -> None:
        """Start to open and read the source, in threads of its own."""
        try:
            self._thread.start()
        except RuntimeError as error:
            self.error = _no_thread(error)
            self._finish()

    def wait_opened(self, timeout_s: float | None = None) -> bool:
        """Wait until the source is open for the first time, so that `live` and `source` are known, or has failed."""
        return self._opened.wait(timeout_s)

    def stop(self, timeout_s: float = 1.0) -> None:
        """Close the source and `frames`, and wait up to `timeout_s` for a read in progress. Never raises."""
        deadline_s = time.monotonic() + timeout_s
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self.frames.close(discard=True)
        _join(self._thread, deadline_s)
        # Only now is the last reading among them.
        for reading in self._abandoned:
            _join(reading.thread, deadline_s)

    def reopen(self, reason: str) -> None:
        """Reopen a live source whose frames cannot be used; the reason is a line for people."""
        with self._changed:
            if self._current is not None and self._current.freshness is not None:
                self._current.rejected = reason
                self._changed.notify_all()

    def _keep_reading(self) -> None:
        try:
            self._on_state(self.state, "")
            while not self._stopping and self._read_once():
                pass
            self._enter(StreamState.FAILED if self.error else StreamState.STOPPED, str(self.error or ""))
        except Exception as error:  # of `on_state`
            self._abandon()
            self.error = error
        finally:
            self._finish()

    def _finish(self) -> None:
        self._opened.set()
        self.frames.close()

    def _read_once(self) -> bool:
        """Open the source, read it until it ends, and wait. Returns False if there is no other try."""
        if not self._may_open():
            return True
        reading = _Reading(self._clock() + self._open_deadline_s)
        reading.thread = threading.Thread(target=self._read, args=[reading], name="edgehar-capture-read", daemon=True)
        self._current = reading
        trouble = self._watch(reading)
        self._abandon()
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
        """Return whether few enough earlier reads hang; wait a little if not."""
        self._abandoned = [reading for reading in self._abandoned if reading.thread.is_alive()]
        if len(self._abandoned) < _MOST_HANGING:
            return True
        self._enter(self.state, f"{len(self._abandoned)} earlier reads of the source hang; restart if they persist")
        self._sleep(_POLL_S)
        return False

    def _watch(self, reading: _Reading) -> BaseException | None:
        """Wait until the source ends, fails or freezes. Returns the error, or None for a normal end."""
        try:
            reading.thread.start()
        except RuntimeError as error:
            return _no_thread(error)
        while True:
            with self._changed:
                began = reading.began_s is not None and self.state is not StreamState.RUNNING
                left_s = reading.deadline_s - self._clock()
                if not (began or self._stopping or reading.done or reading.rejected or left_s <= 0):
                    self._changed.wait(min(left_s, _POLL_S))
                    continue
            if self._stopping:
                return None
            if began:
                self._enter(StreamState.RUNNING, "")
            elif reading.done:
                return reading.trouble
            elif reading.rejected:
                return SourceError(reading.rejected)
            else:
                return self._frozen(reading)

    def _frozen(self, reading: _Reading) -> SourceError:
        name = "the source" if reading.source is None else reading.source.name
        limit_s = self._open_deadline_s if reading.began_s is None else reading.usable_s
        return SourceError(f"{name}: no new frame for {limit_s:g} s; check the camera and the network")

    def _is_final(self, trouble: BaseException, reading: _Reading) -> bool:
        """Return whether reopening the source is useless or not wanted."""
        if isinstance(trouble, OffHoursError):
            return False
        if isinstance(trouble, ConfigError) or isinstance(trouble.__cause__, ImportError):
            return True
        if reading.source is not None and not (reading.source.live and reading.source.reopens):
            return True
        return not (self._ever_gave_frames or self._options.at_start)

    def _abandon(self) -> None:
        """Ignore the present reading from now on. Its source is closed now, or when its read returns."""
        with self._changed:
            reading, self._current = self._current, None
        if reading is not None:
            if reading.source is not None:
                reading.source.close()
            self._abandoned.append(reading)

    def _discard_unread(self) -> None:
        """Drop the queued frames, because they will be old when they are read."""
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
        """Open the source and read it to its end. This method and all that follow run in the reading thread."""
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
        """Open the source for a reading and close it afterwards. Raises Closed if the reading was abandoned."""
        with self._open_source() as source:
            with self._changed:
                self._check_current(reading)
                self._damaged_before = self.damaged
                reading.source = self.source = source
                source.needs = self.needs
                if self._decode_mode is not None:
                    source.use_decode_mode(self._decode_mode)
                if source.live and source.reopens:
                    reading.usable_s = self._options.frozen_s + source.burst_s
                    reading.freshness = Freshness(self._options.stale_after_s + source.burst_s)
                else:
                    reading.deadline_s = math.inf
                if source.live:
                    self.live = True
                    self.frames.go_live()
            self._opened.set()
            yield source

    def _check_current(self, reading: _Reading) -> None:
        if reading is not self._current or self._stopping:
            raise Closed

    def _take(self, reading: _Reading, frame: Frame) -> None:
        """Queue a frame, unless it is stale. Raises Closed if the reading was abandoned."""
        with self._changed:
            self._check_current(reading)
            if reading.freshness is not None and reading.freshness.is_stale(frame.captured_s, frame.arrived_s):
                self.stale += 1
                return
            self._note_frame(reading, frame)
        # Wait for room without the lock, and put the frame with it: an abandoned reading must not add frames.
        while not self._put(reading, frame):
            self.frames.wait_for_room()

    def _put(self, reading: _Reading, frame: Frame) -> bool:
        with self._changed:
            self._check_current(reading)
            return self.frames.put((self.epoch, frame), 0.0)

    def _note_frame(self, reading: _Reading, frame: Frame) -> None:
        now_s = self._clock()
        if reading.began_s is None:
            reading.began_s = now_s
            self.epoch += self._ever_gave_frames
            self._ever_gave_frames = True
            self._changed.notify_all()
        reading.last_s = now_s
        if reading.freshness is not None:
            reading.deadline_s = now_s + reading.usable_s
            if self._options.repeats_s and reading.repeats.same_for_s(frame, now_s) >= self._options.repeats_s:
                reading.rejected = (
                    f"{reading.source.name if reading.source else 'the source'}: frozen: the same picture for "
                    f"{self._options.repeats_s:g} s; check the camera"
                )
                self._changed.notify_all()


def _join(thread: threading.Thread, deadline_s: float) -> None:
    """Wait for a thread to end. A thread that could not be started cannot be joined."""
    if thread.ident is not None and thread is not threading.current_thread():
        thread.join(max(0.0, deadline_s - time.monotonic()))


def _no_thread(error: RuntimeError) -> SourceError:
    return SourceError(f"cannot start a thread to read the source: {error}; close other programs or raise the limit")


def _forget_frames(error: BaseException | None) -> None:
    """Drop the tracebacks of a handled error, which would keep the closed source and its decoder alive."""
    while error is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__
