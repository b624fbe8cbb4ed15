"""One stream: what it does when its network fails, when its source was interrupted, and when the device is slow."""

import dataclasses
import time

import numpy as np
import pytest

from edgehar import Classifier, Frame, PixelFormat
from edgehar.capture.governor import Governor
from edgehar.capture.options import GovernorOptions
from edgehar.events.decider import Decider
from edgehar.events.options import DecisionOptions
from edgehar.pipeline.stream import INFERENCE_ERRORS, Stream, StreamOptions
from edgehar.records import Event, Prediction
from edgehar.sources.base import Decoding, Source


class Failing(Classifier):
    """A classifier whose network fails at the frames of the given numbers."""

    def __init__(self, model, fails_at, **options):
        super().__init__(model, **options)
        self.fails_at, self.pushed, self.loaded = set(fails_at), 0, 1

    def push(self, frame, **options):
        self.pushed += 1
        if self.pushed in self.fails_at:
            raise RuntimeError("invoke failed")
        return super().push(frame, **options)

    def reload(self):
        self.loaded += 1
        super().reload()


def stream_of(classifier, **options):
    decider = Decider(classifier.bundle.manifest.labels, DecisionOptions())
    return Stream(lambda: None, classifier, decider, name="hall", options=StreamOptions(**options))


def frame_at(number, rate_hz=10, level=255):
    return Frame(np.full((16, 16, 3), level, np.uint8), PixelFormat.BGR24, number / rate_hz, time.monotonic(), number)


def taken(stream, numbers, epoch=0, **options):
    return [record for number in numbers for record in stream.take(frame_at(number, **options), epoch)]


def of(kind, records):
    return [record for record in records if isinstance(record, kind)]


def test_a_network_that_fails_is_loaded_again_and_counted(tiny_bundle, caplog):
    with Failing(tiny_bundle, {6}, hop=1) as classifier:
        stream = stream_of(classifier)
        answers = of(Prediction, taken(stream, range(14)))
    assert classifier.loaded == 2
    # Two full windows before; after the failure the window of four starts again.
    assert [answer.seq for answer in answers] == list(range(7))
    assert stream.status().inference_errors == 1
    assert "hall: the network failed (invoke failed); loading it again" in caplog.text


def test_a_network_that_goes_on_failing_ends_the_stream(tiny_bundle):
    with Failing(tiny_bundle, range(1, 100)) as classifier:
        stream = stream_of(classifier)
        with pytest.raises(RuntimeError, match="invoke failed"):
            taken(stream, range(20))
    assert classifier.loaded == 1 + INFERENCE_ERRORS


def test_no_window_and_no_event_spans_an_interruption(tiny_bundle):
    with Classifier(tiny_bundle, hop=1) as classifier:
        stream = stream_of(classifier)
        before = taken(stream, range(6))
        after = taken(stream, range(100, 106), epoch=1)
    assert [event.phase for event in of(Event, before)] == ["start"]
    assert [event.phase for event in of(Event, after)] == ["end", "start"]
    assert of(Event, after)[0].end_s == pytest.approx(0.5)
    assert of(Prediction, after)[0].window.start_s == pytest.approx(10.0)
    assert [answer.seq for answer in of(Prediction, before + after)] == list(range(6))
    assert stream.status().reconnects == 1


def test_a_stream_that_is_switched_off_looks_at_nothing(tiny_bundle):
    with Classifier(tiny_bundle, hop=1) as classifier:
        stream = stream_of(classifier)
        stream.enabled = False
        assert taken(stream, range(10)) == []
        assert stream.frames == 10


@pytest.mark.parametrize(("live", "rate_hz"), [(True, 2.5), (False, 10.0)])
def test_a_device_too_slow_looks_at_fewer_live_frames_but_never_at_fewer_of_a_file(tiny_bundle, live, rate_hz, caplog):
    class Slow(Classifier):
        def push(self, frame, **options):
            time.sleep(0.02)
            return super().push(frame, **options)

    options = GovernorOptions(slow_after_s=0.1, busy_share=0.05, settle_s=0)
    with Slow(tiny_bundle, hop=1) as classifier:
        stream = stream_of(classifier, governor=Governor(10.0, options))
        stream.capture.live = live
        taken(stream, range(30))
        assert stream.status().rate_hz == rate_hz
    assert ("too slow" in caplog.text) == live


class Reopened(list):
    """A capture of a live source, which records why it was told to reopen it."""

    live, dropped, error, source = True, 0, None, None

    def reopen(self, reason):
        self.append(reason)


def test_a_live_source_whose_frames_stay_unusable_is_reopened(tiny_bundle, caplog):
    def small(at_s):
        return Frame(np.zeros((6, 6, 3), np.uint8), PixelFormat.BGR24, at_s, at_s, 0)

    def good(at_s):
        return Frame(np.zeros((16, 16, 3), np.uint8), PixelFormat.BGR24, at_s, at_s, 0)

    with Classifier(tiny_bundle, hop=1) as classifier:
        stream = stream_of(classifier)
        stream.capture = reopened = Reopened()
        for at_s in (1.0, 5.0, 9.0):
            stream.take(small(at_s), 0)
        stream.take(good(9.5), 0)
        for at_s in (10.0, 15.0, 19.9):
            stream.take(small(at_s), 0)
        assert reopened == []
        stream.take(small(20.0), 0)
    (reason,) = reopened
    assert "no usable frame for 10 s" in reason
    assert "6x6" in reason
    assert caplog.text.count("frame dropped") == 2


class Camera(Source):
    """A live source that decodes as told, and whose decoder has been busy for as long as the test says."""

    name, live, mode, busy_s = "hall", True, "full", 0.0

    def __iter__(self):
        return iter(())

    @property
    def decoding(self):
        return Decoding(self.mode, None, self.busy_s)

    def use_decode_mode(self, mode):
        self.mode = mode


def test_a_decoder_that_is_too_slow_decodes_less_before_fewer_frames_are_classified(tiny_bundle, caplog):
    now_s = [0.0]
    governor = Governor(
        10.0, GovernorOptions(slow_after_s=1), clock=lambda: now_s[0], decode_modes=("full", "skip-loop-filter")
    )
    with Classifier(tiny_bundle, hop=1) as classifier:
        stream = stream_of(classifier, governor=governor)
        stream.capture.live, stream.capture.source = True, Camera()
        for number in range(30):
            now_s[0] = number / 10
            stream.capture.source.busy_s = 0.095 * number
            stream.take(frame_at(number), 0)
        status = stream.status()
    assert (status.decode, status.decode_hardware, status.rate_hz) == ("skip-loop-filter", None, 10.0)
    assert "hall: decoding is too slow (busy 95% of the time): decoding in mode skip-loop-filter" in caplog.text


def test_a_source_without_video_has_no_mode(tiny_bundle):
    with Classifier(tiny_bundle, hop=1) as classifier:
        assert stream_of(classifier).status().decode is None


def test_a_cut_of_a_recording_ends_its_window(tiny_bundle):
    with Classifier(tiny_bundle, hop=1) as classifier:
        stream = stream_of(classifier)
        frames = [frame_at(number) for number in range(12)]
        frames[6] = dataclasses.replace(frames[6], cut=True)
        records = [record for frame in frames for record in stream.take(frame, 0)]
    assert [answer.window.start_s for answer in of(Prediction, records)] == pytest.approx([0, 0.1, 0.2, 0.6, 0.7, 0.8])


def test_no_window_and_no_event_spans_a_pause(tiny_bundle):
    with Classifier(tiny_bundle, hop=1) as classifier:
        stream = stream_of(classifier)
        before = taken(stream, range(6))
        assert [event.phase for event in of(Event, before)] == ["start"]
        stream.enabled = False
        paused = taken(stream, range(6, 20))
        assert [event.phase for event in paused] == ["end"]
        stream.enabled = True
        after = of(Prediction, taken(stream, range(20, 26)))
    assert [answer.window.start_s for answer in after] == [2.0, 2.1, 2.2]
    assert all(answer.rate_ok and not answer.window.lost for answer in after)


def test_a_window_that_lost_frames_says_so(tiny_bundle):
    with Classifier(tiny_bundle, hop=1) as classifier:
        stream = stream_of(classifier)
        answers = of(Prediction, taken(stream, [0, 1, 2, 3, 4, 6, 7, 8, 9, 10]))
    assert [(answer.window.lost, answer.rate_ok) for answer in answers] == [
        *[(0, True)] * 2, *[(1, False)] * 3, *[(0, True)] * 2
    ]  # fmt: skip
