"""Sources that fail, freeze, hang and come back. Waits are real but short, and no test bounds their time."""

import gc
import itertools
import threading
import time
import weakref

import numpy as np
import pytest

from edgehar import ConfigError, Frame, PixelFormat, SourceError
from edgehar.capture.mailbox import Closed
from edgehar.capture.options import ReconnectOptions
from edgehar.capture.reader import Capture
from edgehar.records import StreamState
from edgehar.sources.base import AccessRefusedError, Source

PIXELS = np.zeros((8, 8, 3), np.uint8)
QUICK = ReconnectOptions(first_delay_s=0.01, max_delay_s=0.05, frozen_s=5, stale_after_s=0.5)
IMPATIENT = ReconnectOptions(first_delay_s=0.01, max_delay_s=0.05, frozen_s=0.3, stale_after_s=0.5)


class Script(Source):
    """A source that does what it is told: numbers wait so long (seconds) and give a frame, errors are raised."""

    name = "camera:7"

    def __init__(self, *steps, live=True, late_s=0.0):
        self.live, self._steps, self._late_s = live, steps, late_s
        self.closed = 0

    def __iter__(self):
        for number, step in enumerate(self._steps):
            if isinstance(step, Exception):
                raise step
            if isinstance(step, threading.Event):
                step.wait(10)
            else:
                time.sleep(step)
            now_s = time.monotonic()
            yield Frame(PIXELS, PixelFormat.BGR24, now_s - self._late_s, now_s, number)

    def close(self):
        self.closed += 1


class Told(list):
    """The states that a capture reported; `wait_for` waits for one."""

    def __init__(self):
        super().__init__()
        self._changed = threading.Condition()

    def __call__(self, state, reason):
        with self._changed:
            self.append((state.value, reason))
            self._changed.notify_all()

    def wait_for(self, state, times=1):
        with self._changed:
            assert self._changed.wait_for(lambda: self.states.count(state) >= times, 10), self

    def wait_for_reason(self, fragment):
        with self._changed:
            assert self._changed.wait_for(lambda: any(fragment in reason for _, reason in self), 10), self

    @property
    def states(self):
        return [state for state, _ in self]


@pytest.fixture
def capture():
    """Starts captures of sources, opened one after the other (errors are raised); they are stopped in the end."""
    started = []

    def start(*sources, options=QUICK, **more):
        following = iter(sources)

        def open_source():
            source = next(following)
            if isinstance(source, Exception):
                raise source
            return source() if callable(source) else source

        told = Told()
        started.append(Capture(open_source, options=options, on_state=told, **more))
        started[-1].start()
        return started[-1], told

    yield start
    for one in started:
        one.stop()


def all_of(one):
    got = []
    while True:
        try:
            got.append(one.frames.get(10))
        except Closed:
            return got


def readers(one):
    """Threads of a capture that read its source."""
    readings = [*one._abandoned, *([one._current] if one._current else [])]
    return sum(reading.thread.is_alive() for reading in readings)


def lost(text="gone"):
    return SourceError(f"camera:7: {text}")


ENDLESS = tuple(itertools.repeat(0.01, 1000))


def test_a_file_is_read_to_its_end_and_nothing_is_lost(capture):
    one, told = capture(source := Script(*[0] * 50, live=False))
    got = all_of(one)
    assert [(epoch, frame.sequence) for epoch, frame in got] == [(0, number) for number in range(50)]
    one.stop()
    assert told.states == ["opening", "running", "stopped"]
    assert (one.error, one.live, one.reconnects, one.frames.dropped) == (None, False, 0, 0)
    assert source.closed


def test_a_file_that_breaks_off_is_not_opened_again(capture):
    one, told = capture(Script(0, lost(), live=False))
    assert len(all_of(one)) == 1
    one.stop()
    assert told == [("opening", ""), ("running", ""), ("failed", "camera:7: gone")]
    assert str(one.error) == "camera:7: gone"


def test_a_file_may_take_its_time(capture):
    one, _ = capture(Script(0, 0.5, live=False))
    assert len(all_of(one)) == 2


def test_frames_of_a_live_source_that_come_in_a_burst_are_all_kept(capture):
    one, _ = capture(Script(*[0] * 20))
    assert [frame.sequence for _, frame in all_of(one)] == list(range(20))
    assert one.live
    assert one.dropped == 0


def test_a_live_source_that_ends_by_itself_is_at_its_end(capture):
    one, told = capture(Script(0, 0))
    all_of(one)
    one.stop()
    assert told.states == ["opening", "running", "stopped"]


def test_a_lost_source_is_opened_again_until_it_gives_frames(capture):
    one, told = capture(
        first := Script(0.01, 0.01, lost()), lost("away"), lost("away"), OSError("odd"), second := Script(*ENDLESS)
    )
    told.wait_for("running", 2)
    epoch, frame = one.frames.get(1)
    assert epoch == one.epoch == one.reconnects == 1
    assert told == [
        ("opening", ""),
        ("running", ""),
        ("reconnecting", "camera:7: gone"),
        ("reconnecting", "camera:7: away"),
        ("reconnecting", "odd"),
        ("running", ""),
    ]
    assert first.closed
    assert one.source is second
    assert frame.captured_s > 0
    one.stop()
    assert second.closed
    assert told.states[-1] == "stopped"
    assert readers(one) == 0


@pytest.mark.parametrize(
    "sources",
    [[lost("none")], [Script(lost("none"))], [ConfigError("wrong")]],
)
def test_a_source_that_does_not_start_is_an_error(capture, sources):
    one, told = capture(*sources)
    assert one.wait_opened(5)
    assert all_of(one) == []
    one.stop()
    assert told.states == ["opening", "failed"]
    assert one.error is not None


def test_a_source_that_does_not_start_is_waited_for_when_asked(capture):
    options = ReconnectOptions(first_delay_s=0.01, max_delay_s=0.01, at_start=True)
    one, told = capture(lost("none"), lost("none"), Script(lost("mute")), Script(*ENDLESS), options=options)
    told.wait_for("running")
    assert told == [("opening", ""), ("opening", "camera:7: none"), ("opening", "camera:7: mute"), ("running", "")]
    assert one.epoch == 0


def test_what_waiting_cannot_mend_is_not_waited_for(capture):
    missing = lost("needs cv2; run: pip install opencv-python-headless")
    missing.__cause__ = ImportError()
    one, _ = capture(missing, options=ReconnectOptions(at_start=True))
    all_of(one)
    assert one.error is missing


def test_a_frozen_source_is_opened_again_though_its_read_never_returns(capture):
    never = threading.Event()
    one, told = capture(frozen := Script(0.01, never), Script(*ENDLESS), options=IMPATIENT)
    told.wait_for("running", 2)
    assert told[2][0] == "reconnecting"
    assert "no new frame for 0.3 s" in told[2][1]
    # The read returns at last: its frame goes nowhere.
    never.set()
    for _ in range(5):
        assert one.frames.get(1)[0] == 1
    assert frozen.closed >= 2
    assert readers(one) == 1


def test_an_opening_that_hangs_is_given_up_and_its_source_closed(capture):
    never, late = threading.Event(), Script(*ENDLESS)

    def hanging():
        never.wait(10)
        return late

    one, told = capture(Script(0.01, lost()), hanging, Script(*ENDLESS), open_deadline_s=0.5)
    told.wait_for("running", 2)
    never.set()
    deadline_s = time.monotonic() + 60
    while not late.closed and time.monotonic() < deadline_s:
        time.sleep(0.01)
    assert late.closed
    assert one.frames.get(1)[0] == 1


def test_threads_that_hang_do_not_pile_up(capture):
    never = threading.Event()
    one, told = capture(*(Script(0.0, never) for _ in range(20)), options=IMPATIENT)
    told.wait_for_reason("3 earlier reads of the source hang")
    assert readers(one) == 3
    never.set()
    told.wait_for("running", 4)


def test_frames_that_come_late_are_skipped_until_it_is_opened_again(capture):
    def stalled():
        source = Script(*ENDLESS)
        source_frames = iter(source)

        class Late(Script):
            def __iter__(self):
                for number, frame in enumerate(source_frames):
                    # From the sixth on, two times further behind with every frame.
                    late_s = 0.0 if number < 6 else 1.0 + 0.02 * number
                    yield Frame(PIXELS, PixelFormat.BGR24, frame.captured_s - late_s, frame.arrived_s, number)

        return Late()

    one, told = capture(stalled, Script(*ENDLESS), options=IMPATIENT)
    told.wait_for("reconnecting")
    assert one.stale >= 1
    told.wait_for("running", 2)


class Moving(Script):
    """A script whose frames differ until a number, and are the same from then on."""

    def __init__(self, *steps, until):
        super().__init__(*steps)
        self._until = until

    def __iter__(self):
        for frame in super().__iter__():
            pixels = np.full((8, 8, 3), min(frame.sequence, self._until), np.uint8)
            yield Frame(pixels, frame.format, frame.captured_s, frame.arrived_s, frame.sequence)


def test_a_camera_that_repeats_its_last_picture_is_reopened(capture):
    options = ReconnectOptions(first_delay_s=0.01, max_delay_s=0.01, repeats_s=1)
    one, told = capture(Moving(*ENDLESS, until=10), Moving(*ENDLESS, until=1000), options=options)
    told.wait_for("running", 2)
    assert "frozen: the same picture for 1 s" in told[2][1]
    assert one.error is None


def test_a_source_whose_frames_are_of_no_use_is_reopened_on_demand(capture):
    one, told = capture(Script(*ENDLESS), Script(*ENDLESS))
    told.wait_for("running")
    one.reopen("camera:7: no usable frame")
    told.wait_for("running", 2)
    assert told[2] == ("reconnecting", "camera:7: no usable frame")


def test_damaged_frames_are_counted_over_all_connections(capture):
    class Damaging(Script):
        damaged = 3

    one, told = capture(Damaging(0.01, lost()), Damaging(*ENDLESS))
    told.wait_for("running", 2)
    assert one.damaged == 6
    assert one.dropped >= 6


def test_a_frame_that_nobody_read_before_the_interruption_is_not_read_after_it(capture):
    one, told = capture(Script(0, lost()), Script(0, 0.3))
    told.wait_for("running", 2)
    assert one.frames.get(5)[0] == 1
    assert one.stale == 1


def test_a_stopped_capture_waits_for_nothing(capture):
    options = ReconnectOptions(first_delay_s=3600, max_delay_s=3600)
    one, told = capture(Script(0.01, lost()), options=options, jitter=lambda low, high: high)
    told.wait_for("reconnecting")
    one.stop(30)
    assert not one._thread.is_alive()
    with pytest.raises(Closed):
        one.frames.get(0)


def test_stopping_does_not_wait_for_a_read_that_hangs(capture):
    never = threading.Event()
    one, told = capture(source := Script(0, never))
    told.wait_for("running")
    one.stop(0.2)
    assert one._abandoned[0].thread.is_alive()
    assert source.closed
    never.set()


def test_a_wrong_password_is_not_tried_often(capture):
    asked, waits = [], threading.Event()

    def jitter(low, high):
        asked.append((low, high))
        if low:
            waits.set()
        return low

    refused = AccessRefusedError("camera:7: refused")
    _, told = capture(Script(0.01, lost()), refused, jitter=jitter)
    told.wait_for("reconnecting", 2)
    assert waits.wait(10)
    assert asked[-1] == (30.0, 60.0)


def test_an_error_of_the_listener_ends_the_capture():
    def listener(state, reason):
        if state is StreamState.RUNNING:
            raise ValueError("listener")

    one = Capture(lambda: Script(*ENDLESS), options=QUICK, on_state=listener)
    one.start()
    all_of(one)
    assert str(one.error) == "listener"
    one.stop()


@pytest.mark.parametrize("name", ["edgehar-capture", "edgehar-capture-read"])
def test_a_thread_that_cannot_be_started_is_an_error_and_stopping_raises_nothing(monkeypatch, name):
    start = threading.Thread.start

    def refuse(thread):
        if thread.name == name:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    one = Capture(lambda: Script(*ENDLESS), options=QUICK)
    one.start()
    assert one.wait_opened(10)
    assert all_of(one) == []
    one.stop()
    assert isinstance(one.error, SourceError)
    assert "cannot start a thread" in str(one.error)


def test_a_source_that_was_given_up_is_let_go():
    """A decoder's threads and memory live as long as its source: no cycle may keep it until the collector comes."""
    gone = []

    def open_source():
        source = Script(0.01, SourceError("lost"))
        gone.append(weakref.ref(source))
        return source

    told = Told()
    capture = Capture(open_source, options=QUICK, on_state=told)
    gc.disable()
    try:
        capture.start()
        told.wait_for("reconnecting", times=6)
        assert sum(source() is not None for source in gone) <= 2
    finally:
        gc.enable()
        capture.stop()
