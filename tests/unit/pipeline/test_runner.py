import threading
import time

import numpy as np
import pytest
from support.helpers import flat_frames

from edgehar import Classifier, Frame, PixelFormat, SinkError, SourceError, open_source
from edgehar.events.decider import Decider, DecisionOptions
from edgehar.pipeline.runner import Runner, RunnerOptions
from edgehar.pipeline.stream import Stream
from edgehar.records import Event, Prediction, Status, StreamState
from edgehar.sinks.base import Sink
from edgehar.sources.base import Source


class Collected(Sink):
    """Keeps the records it gets."""

    name = "collected"

    def __init__(self, delay_s=0.0):
        self.records, self.closed, self._delay_s = [], False, delay_s

    def write(self, record):
        time.sleep(self._delay_s)
        self.records.append(record)

    def close(self):
        self.closed = True

    def of(self, kind):
        return [record for record in self.records if isinstance(record, kind)]

    @property
    def states(self):
        return [status.state for status in self.of(Status)]


class LiveSource(Source):
    """A camera: frames come at `rate_hz` whether they are read or not, until it is closed or fails."""

    live, reopens, name = True, False, "live"

    def __init__(self, rate_hz, count=None, error=None):
        self._period_s, self._count, self._error, self._closed = 1 / rate_hz, count, error, threading.Event()

    def __iter__(self):
        sequence = 0
        while sequence != self._count and not self._closed.wait(self._period_s):
            now_s = time.monotonic()
            yield Frame(np.full((16, 16, 3), 255, np.uint8), PixelFormat.BGR24, now_s, now_s, sequence)
            sequence += 1
        if self._error is not None:
            raise self._error

    def close(self):
        self._closed.set()


class StuckSource(LiveSource):
    """A camera whose driver hangs."""

    def __iter__(self):
        time.sleep(4)
        return iter(())


@pytest.fixture
def run(tiny_bundle):
    """Runs a source into sinks with the bright-or-dark model, and returns the Runner."""

    def run(source, *sinks, hop=1, classifier_type=Classifier, before=lambda runner: None, **limits):
        with classifier_type(tiny_bundle, hop=hop) as classifier, open_source(source) as opened:
            decider = Decider(classifier.bundle.manifest.labels, DecisionOptions())
            stream = Stream(lambda: opened, classifier, decider, name=opened.name)
            runner = Runner([stream], sinks, RunnerOptions(**limits))
            before(runner)
            runner.run()
            return runner

    return run


def clip(*levels, rate_hz=10):
    return open_source(flat_frames(levels), rate_hz=rate_hz)


def test_a_file_is_answered_frame_by_frame_to_its_end(run):
    sink = Collected()
    runner = run(clip(*[255] * 6, *[0] * 6), sink)
    predictions = sink.of(Prediction)
    assert [prediction.seq for prediction in predictions] == list(range(9))
    # The fifth window is half bright, half dark.
    assert [prediction.label for prediction in predictions[:4]] == ["bright"] * 4
    assert [prediction.label for prediction in predictions[5:]] == ["dark"] * 4
    assert [prediction.window.end_s for prediction in predictions] == pytest.approx([0.3 + i / 10 for i in range(9)])
    assert sink.states == ["opening", "running", "stopped"]
    assert runner.streams[0].state is StreamState.STOPPED
    assert sink.closed


def test_events_open_and_close_in_order_and_the_last_is_ended(run):
    sink = Collected()
    run(clip(*[255] * 8, *[0] * 8), sink)
    events = [(event.phase, event.label) for event in sink.of(Event)]
    assert events == [("start", "bright"), ("end", "bright"), ("start", "dark"), ("end", "dark")]
    assert sink.of(Event)[-1].end_s == pytest.approx(1.5)


def test_a_clip_shorter_than_a_window_gets_one_answer(run):
    sink = Collected()
    run(clip(255, 255), sink)
    (prediction,) = sink.of(Prediction)
    assert (prediction.label, prediction.window.frames) == ("bright", 2)


def test_no_frame_at_all_is_an_error(run):
    sink = Collected()
    with pytest.raises(SourceError, match="gave no frames"):
        run(clip(), sink)
    assert sink.states == ["opening", "failed"]


@pytest.mark.parametrize("count", [1, 3, 7])
def test_the_number_of_predictions_is_exact(run, count):
    sink = Collected()
    run(clip(*[255] * 40), sink, max_predictions=count)
    assert len(sink.of(Prediction)) == count
    assert sink.of(Event)[-1].phase == "end"


def test_the_duration_of_a_file_is_that_of_its_video(run):
    sink = Collected()
    run(clip(*[255] * 100), sink, duration_s=2.0)
    assert sink.of(Status)[-1].frames == 20
    assert sink.of(Prediction)[-1].window.end_s == pytest.approx(1.9)


def test_the_duration_of_a_live_source_is_that_of_the_watching(run):
    started_s = time.monotonic()
    sink = Collected()
    run(LiveSource(100), sink, duration_s=0.6)
    assert 0.6 <= time.monotonic() - started_s < 2
    assert sink.states == ["opening", "running", "stopped"]


def test_a_slow_sink_of_a_file_loses_nothing(run):
    slow, quick = Collected(delay_s=0.005), Collected()
    run(clip(*[255] * 60), slow, quick, records_waiting=2)
    assert len(slow.of(Prediction)) == len(quick.of(Prediction)) == 57


def test_a_slow_sink_never_delays_a_live_frame(run, monkeypatch, caplog):
    monkeypatch.setattr(runner_module, "_RECORDS_WAITING", 2)
    slow, quick = Collected(delay_s=0.3), Collected()
    run(LiveSource(20), slow, quick, duration_s=1.5)
    ages_ms = [prediction.frame_age_ms for prediction in quick.of(Prediction)]
    assert len(ages_ms) >= 8
    assert np.median(ages_ms) < 50
    assert len(slow.of(Prediction)) < len(ages_ms)
    assert any("collected: too slow:" in record.getMessage() for record in caplog.records)


class SlowClassifier(Classifier):
    """A classifier on a machine too small for it."""

    def push(self, frame, **options):
        time.sleep(0.05)
        return super().push(frame, **options)


def test_a_slow_classifier_sees_the_newest_live_frame_and_counts_the_others(run):
    sink = Collected()
    run(LiveSource(200), sink, classifier_type=SlowClassifier, duration_s=1.5)
    last = sink.of(Prediction)[-1]
    assert last.dropped > 50
    # One frame was in the works, the next in the mailbox: never a queue of old ones.
    assert last.frame_age_ms < 150


def test_a_source_that_fails_ends_the_run_with_its_error_and_its_events(run):
    sink = Collected()
    with pytest.raises(SourceError, match="unplugged"):
        run(LiveSource(50, count=50, error=SourceError("unplugged")), sink)
    assert sink.states == ["opening", "running", "failed"]
    assert [event.phase for event in sink.of(Event)] == ["start", "end"]
    assert sink.closed


def test_any_error_of_the_capture_thread_comes_out(run):
    with pytest.raises(ZeroDivisionError):
        run(LiveSource(50, count=2, error=ZeroDivisionError()), Collected())


class Failing(Collected):
    """A sink that fails at its third prediction."""

    def write(self, record):
        super().write(record)
        if len(self.of(Prediction)) == 3:
            raise SinkError("disk full")


def test_a_sink_that_fails_ends_the_run_and_the_others_are_finished(run):
    failing, good = Failing(), Collected()
    with pytest.raises(SinkError, match="disk full"):
        run(LiveSource(50), failing, good)
    assert failing.closed
    assert good.closed
    assert good.states[-1] == "failed"


def test_a_sink_that_fails_at_the_last_record_is_not_passed_over(run):
    with pytest.raises(SinkError):
        run(clip(*[255] * 6), Failing())


def test_stop_ends_a_run_from_another_thread(run):
    sink = Collected()
    run(LiveSource(50), sink, before=lambda runner: threading.Timer(0.3, runner.stop).start())
    assert sink.states == ["opening", "running", "stopped"]


def test_a_source_that_hangs_holds_up_no_stop(run):
    started_s = time.monotonic()
    run(StuckSource(10), Collected(), before=lambda runner: threading.Timer(0.2, runner.stop).start())
    assert time.monotonic() - started_s < 2


def test_a_sink_that_hangs_holds_up_a_stop_no_longer_than_the_deadline(run, monkeypatch, caplog):
    monkeypatch.setattr(runner_module, "STOP_DEADLINE_S", 0.3)
    monkeypatch.setattr(runner_module, "_RECORDS_WAITING", 2)
    started_s = time.monotonic()
    stuck = Collected(delay_s=2)
    run(clip(*[255] * 60), stuck, before=lambda runner: threading.Timer(0.2, runner.stop).start())
    assert time.monotonic() - started_s < 1.9
    assert any("did not take all results" in record.getMessage() for record in caplog.records)


def test_each_change_of_state_is_logged_once(run, caplog):
    caplog.set_level("DEBUG", logger="edgehar.pipeline.runner")
    run(clip(*[255] * 6), Collected())
    said = [record.getMessage() for record in caplog.records]
    assert said == [
        "arrays: opening",
        "arrays: running",
        "arrays: stopped after 6 frames, 3 predictions, 0 frames dropped",
    ]
