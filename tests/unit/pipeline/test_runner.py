import contextlib
import dataclasses
import threading
import time

import numpy as np
import pytest
from support.clock import Clock
from support.helpers import flat_frames
from support.runs import Collected, LiveSource, QuickSource, StuckSink, StuckSource

from edgehar import Classifier, SinkError, SourceError, open_source
from edgehar.capture.reader import ReconnectOptions
from edgehar.events.decider import Decider
from edgehar.events.options import DecisionOptions
from edgehar.pipeline.runner import Runner, RunnerOptions
from edgehar.pipeline.stream import Stream, StreamOptions
from edgehar.records import Event, Prediction, Status, StreamState


@pytest.fixture
def run(tiny_bundle):
    """Runs a source into sinks with the bright-or-dark model, and returns the Runner."""

    def run(source, *sinks, hop=1, classifier_type=Classifier, before=lambda _: None, clock=time.monotonic, **limits):
        with classifier_type(tiny_bundle, hop=hop) as classifier, open_source(source) as opened:
            decider = Decider(classifier.bundle.manifest.labels, DecisionOptions())
            stream = Stream(lambda: opened, classifier, decider, name=opened.name)
            runner = Runner([stream], sinks, RunnerOptions(**limits), clock=clock)
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
    sink, clock = Collected(), Clock()

    class Ticking(LiveSource):
        """Two minutes pass at the twentieth frame."""

        def __iter__(self):
            for frame in super().__iter__():
                if frame.sequence == 20:
                    clock.now_s += 120
                yield frame

    run(Ticking(100), sink, duration_s=60, status_every_s=1000, clock=clock)
    assert sink.states == ["opening", "running", "stopped"]


def test_a_slow_sink_of_a_file_loses_nothing(run):
    slow, quick = Collected(delay_s=0.005), Collected()
    run(clip(*[255] * 60), slow, quick, records_waiting=2)
    assert len(slow.of(Prediction)) == len(quick.of(Prediction)) == 57


def test_a_slow_sink_never_delays_a_live_frame(run, caplog):
    class Stuck(Collected):
        """Takes no record until it is freed."""

        name, freed = "stuck", threading.Event()

        def write(self, record):
            self.freed.wait()
            super().write(record)

    class Free(Collected):
        """Frees the other sink after thirty predictions, which can only come if that sink holds up nothing."""

        def write(self, record):
            super().write(record)
            if len(self.of(Prediction)) == 30:
                Stuck.freed.set()

    stuck, free = Stuck(), Free()
    run(QuickSource(100), stuck, free, max_predictions=40, records_waiting=2)
    assert len(free.of(Prediction)) >= 30
    assert len(stuck.of(Prediction)) < 30
    assert any("stuck: too slow:" in record.getMessage() for record in caplog.records)


def test_a_slow_classifier_drops_live_frames_and_counts_them(run):
    came = threading.Event()

    class Counting(LiveSource):
        """Tells when its 150th frame was read."""

        def __iter__(self):
            for frame in super().__iter__():
                if frame.sequence == 150:
                    came.set()
                yield frame

    class SlowClassifier(Classifier):
        """Takes as long for a frame as the camera for 150."""

        def push(self, frame, **options):
            came.wait()
            return super().push(frame, **options)

    sink = Collected()
    run(Counting(200, count=200), sink, classifier_type=SlowClassifier)
    assert sink.of(Prediction)[-1].dropped > 50


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
    source = StuckSource(10)
    run(source, Collected(), before=lambda runner: threading.Timer(0.2, runner.stop).start(), capture_join_s=0.05)
    # The source hangs until it is freed here.
    assert source.hangs
    source.freed.set()


def test_a_sink_that_hangs_holds_up_a_stop_no_longer_than_the_deadline(run, caplog):
    stuck, runners = StuckSink(), []

    def stop_soon(runner):
        runners.append(runner)
        threading.Timer(0.2, runner.stop).start()

    run(clip(*[255] * 60), stuck, before=stop_soon, records_waiting=2, stop_deadline_s=0.3)
    assert not stuck.closed
    # A recorder or an upload that is ended next has no second deadline.
    assert runners[0].time_left_s(5.0) < 1
    assert any("could not write all results" in record.getMessage() for record in caplog.records)
    stuck.freed.set()


def test_what_ends_after_a_complete_run_may_take_its_time(run):
    runners = []
    run(clip(*[255] * 6), Collected(), before=runners.append)
    assert runners[0].time_left_s(5.0) == 5.0


def test_each_change_of_state_is_logged_once(run, caplog):
    caplog.set_level("DEBUG", logger="edgehar.pipeline.runner")
    run(clip(*[255] * 6), Collected())
    said = [record.getMessage() for record in caplog.records]
    assert said == [
        "arrays: opening",
        "arrays: running",
        "arrays: stopped after 6 frames, 3 predictions, 0 frames dropped",
    ]


def test_one_frame_is_not_called_frames(run, caplog):
    caplog.set_level("INFO", logger="edgehar.pipeline.runner")
    run(clip(255), Collected())
    assert "arrays: stopped after 1 frame, 1 prediction, 0 frames dropped" in caplog.messages


def test_a_bad_frame_of_a_live_source_is_dropped_with_one_warning(run, caplog):
    class Odd(QuickSource):
        """A camera that sends three pictures of a wrong size in between."""

        def __iter__(self):
            for frame in super().__iter__():
                small = np.zeros((4, 4, 3), np.uint8)
                yield dataclasses.replace(frame, data=small) if 20 <= frame.sequence < 23 else frame

    sink = Collected()
    run(Odd(100), sink, max_predictions=60)
    assert len(sink.of(Prediction)) == 60
    assert sum("live: frame dropped: " in message for message in caplog.messages) == 1


def two_streams(tiny_bundle, first, second, stack):
    streams = []
    for name, source in (("first", first), ("second", second)):
        classifier = stack.enter_context(Classifier(tiny_bundle, hop=1, source_name=name))
        decider = Decider(classifier.bundle.manifest.labels, DecisionOptions())
        streams.append(Stream(lambda source=source: source, classifier, decider, name=name))
    return streams


def test_a_run_whose_camera_has_failed_does_not_end_well(tiny_bundle):
    broken = QuickSource(100, count=5, error=ZeroDivisionError("unplugged"))
    sink = Collected()
    with contextlib.ExitStack() as stack:
        runner = Runner(
            two_streams(tiny_bundle, broken, LiveSource(50), stack), [sink], RunnerOptions(max_predictions=80)
        )
        with pytest.raises(SourceError, match="first: failed during the run: unplugged"):
            runner.run()
    # The other camera went on to the limit.
    assert len([prediction for prediction in sink.of(Prediction) if prediction.source == "second"]) > 60


def test_a_run_whose_output_was_given_up_does_not_end_well(run):
    class Optional(Failing):
        essential = False

    good = Collected()
    with pytest.raises(SinkError, match="disk full"):
        run(clip(*[255] * 40), Optional(), good)
    assert len(good.of(Prediction)) == 37


def test_duration_ends_the_wait_for_a_camera_that_never_comes(tiny_bundle):
    clock = Clock()

    def missing():
        clock.now_s += 10
        raise SourceError("no such camera")

    with Classifier(tiny_bundle) as classifier:
        decider = Decider(classifier.bundle.manifest.labels, DecisionOptions())
        reconnect = ReconnectOptions(at_start=True, first_delay_s=0.01, max_delay_s=0.01)
        stream = Stream(missing, classifier, decider, name="hall", options=StreamOptions(reconnect=reconnect))
        Runner([stream], [Collected()], RunnerOptions(duration_s=60), clock=clock).run()
    assert stream.state is StreamState.STOPPED


def test_new_sinks_get_the_records_of_the_change(run):
    """The sinks are opened by another thread, and records are kept for them meanwhile."""
    before, after, opening = Collected(), Collected(), threading.Event()

    def make_sinks():
        opening.wait()
        return [after]

    def change(runner):
        runner.request(lambda: runner.replace_sinks(make_sinks))
        threading.Timer(0.5, opening.set).start()

    run(QuickSource(100), before, before=change, max_predictions=80)
    both = before.of(Prediction) + after.of(Prediction)
    assert [prediction.seq for prediction in both] == list(range(80))
    assert after.of(Prediction)
    assert before.closed
    assert after.closed
