"""The classifier answers when it should, about what it saw, and exactly as the whole-window model does."""

import importlib.metadata

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.helpers import flat_frames, write_video
from support.tiny_bundle import write_tiny_bundle

from edgehar import BundleError, Classifier, ConfigError, Frame, ModelBundle, PixelFormat, RuntimeUnavailableError
from edgehar.errors import EdgeharError, SourceError
from edgehar.model import runtime as runtimes
from edgehar.model.bundle import write_bundle
from edgehar.model.interpreter import TfliteModel
from edgehar.model.network import Network

WINDOW = 4


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return ModelBundle.open(write_tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny.edgehar", window=WINDOW))


def noise(count, seed=0, shape=(24, 32, 3)):
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)


def frame_at(captured_s, level=128):
    return Frame(np.full((24, 32, 3), level, np.uint8), PixelFormat.BGR24, captured_s, 0.0, 0)


@settings(max_examples=25)
@given(hop=st.integers(1, WINDOW), count=st.integers(1, 20), start=st.integers(0, 5), seed=st.integers(0, 99))
def test_streaming_equals_the_whole_window_model(bundle, hop, count, start, seed):
    whole = TfliteModel(bundle.read("window.tflite"), name="window.tflite")
    ring, frames = bundle.make_ring(), noise(count, seed)[start:]
    with Classifier(bundle, hop=hop) as classifier:
        for n, frame in enumerate(frames):
            ring.push(frame)
            prediction = classifier.push(frame)
            assert (prediction is not None) == (n + 1 >= WINDOW and (n + 1 - WINDOW) % hop == 0)
            if prediction is not None:
                assert prediction.raw.tobytes() == whole.run(ring.window()).tobytes()


def test_a_short_clip_is_answered_as_if_the_scene_had_stood_still_before(bundle):
    whole = TfliteModel(bundle.read("window.tflite"), name="window.tflite")
    frames = noise(2)
    ring = bundle.make_ring()
    for frame in (frames[0], frames[0], frames[0], frames[1]):
        ring.push(frame)
    with Classifier(bundle) as classifier:
        assert classifier.flush() is None
        assert [classifier.push(frame) for frame in frames] == [None, None]
        prediction = classifier.flush()
        assert prediction.raw.tobytes() == whole.run(ring.window()).tobytes()
        assert prediction.window.frames == 2


def test_no_second_answer_after_a_full_window(bundle):
    with Classifier(bundle, hop=1) as classifier:
        assert sum(classifier.push(frame) is not None for frame in noise(5)) == 2
        assert classifier.flush() is None


def test_what_a_prediction_says(bundle):
    with Classifier(bundle, hop=1, source_name="hall") as classifier:
        answers = [classifier.push(frame_at(5 + n * 0.1, 250), dropped=n) for n in range(8)]
    predictions = [answer for answer in answers if answer is not None]
    assert [p.seq for p in predictions] == [0, 1, 2, 3, 4]
    last = predictions[-1]
    assert (last.label, last.source, last.model, last.dropped, last.rate_ok) == ("bright", "hall", "tiny", 7, True)
    assert last.score == max(last.scores.values())
    assert sum(last.scores.values()) == pytest.approx(1, abs=2 / 256)
    assert (last.window.start_s, last.window.end_s) == pytest.approx((5.4, 5.7))
    line = msgspec.json.decode(msgspec.json.encode(last))
    assert line["type"] == "prediction"
    assert "raw" not in line


def test_frames_off_the_time_grid_are_not_seen(bundle):
    with Classifier(bundle, hop=1) as classifier:  # 10 Hz
        answers = [classifier.push(frame_at(n / 30)) for n in range(12)]
        assert classifier.frames_seen == 4
    assert [n for n, answer in enumerate(answers) if answer is not None] == [9]


@pytest.mark.parametrize(("camera_hz", "rate_ok"), [(10, True), (9.5, True), (8, False), (5, False)])
def test_a_slow_camera_is_said_to_be_slow(bundle, camera_hz, rate_ok):
    with Classifier(bundle, hop=1) as classifier:
        answers = [answer for n in range(6) if (answer := classifier.push(frame_at(n / camera_hz))) is not None]
    assert [answer.rate_ok for answer in answers] == [rate_ok] * 3


def test_reset_forgets_the_stream(bundle):
    frames = noise(WINDOW)
    with Classifier(bundle) as classifier:
        first = [classifier.push(frame) for frame in frames][-1]
        for frame in noise(3, seed=1):
            classifier.push(frame)
        classifier.reset()
        second = [classifier.push(frame) for frame in frames][-1]
    assert second.raw.tobytes() == first.raw.tobytes()
    assert second.seq == 0


def test_classifiers_that_share_a_network_do_not_mix_their_streams(bundle):
    streams = [noise(WINDOW + 2, seed) for seed in (1, 2)]
    with Classifier(bundle, hop=1) as alone:
        expected = []
        for frames in streams:
            alone.reset()
            expected.append([answer.raw.tobytes() for f in frames if (answer := alone.push(f)) is not None])
    with Network(bundle) as network:
        both = [Classifier(network, hop=1, source_name=name) for name in ("a", "b")]
        got: list[list[bytes]] = [[], []]
        for pair in zip(*streams, strict=True):
            for classifier, answers, frame in zip(both, got, pair, strict=True):
                if (answer := classifier.push(frame)) is not None:
                    answers.append(answer.raw.tobytes())
        both[0].close()
        assert both[1].push(streams[1][0]) is not None
    assert got == expected


def test_a_lower_rate_is_told(bundle):
    with Classifier(bundle, hop=1) as classifier:
        classifier.set_rate(5.0)
        answers = [answer for n in range(40) if (answer := classifier.push(frame_at(n / 20))) is not None]
    assert len(answers) == 11 - WINDOW + 1  # the slot at 2.0 s is filled by the frame just before it
    assert not any(answer.rate_ok for answer in answers)


def test_a_network_that_was_loaded_again_answers_the_same(bundle):
    frames = noise(WINDOW)
    with Classifier(bundle) as classifier:
        before = [classifier.push(frame) for frame in frames][-1]
        classifier.reload()
        after = [classifier.push(frame) for frame in frames]
    assert after[:-1] == [None] * (WINDOW - 1)
    assert after[-1].raw.tobytes() == before.raw.tobytes()


def test_a_whole_clip_is_answered_by_the_mean_of_its_windows(bundle):
    clip = [frame_at(n / 10, level) for n, level in enumerate((0, 0, 0, 0, 255, 255, 255, 255))]
    with Classifier(bundle, hop=1) as classifier:
        windows = [answer for frame in clip if (answer := classifier.push(frame)) is not None]
        whole = classifier.classify(clip)
    expected = sum(answer.scores["bright"] for answer in windows) / len(windows)
    assert whole.scores["bright"] == pytest.approx(expected)
    assert whole.window.frames == 8


def test_classify_leaves_a_stream_as_it_was(bundle, tmp_path):
    """Whatever is classified in between, a stream goes on as if nothing had happened."""
    clip = write_video(tmp_path / "clip.mp4", flat_frames([235] * 12), rate_hz=10)
    frames = noise(12)
    options = {"hop": 1, "source_name": "hall"}
    with Classifier(bundle, **options) as undisturbed, Classifier(bundle, **options) as one:
        for number, frame in enumerate(frames):
            if number == 6:
                assert one.classify(clip).label == "bright"
            expected, found = undisturbed.push(frame), one.push(frame)
            assert (expected is None) == (found is None)
            if found is not None:
                assert (found.raw.tobytes(), found.seq, found.source) == (expected.raw.tobytes(), expected.seq, "hall")
        assert one.frames_seen == 12


def test_arrays_with_their_times_are_put_on_the_time_grid(bundle):
    """Arrays at 30 Hz for a model of 10 Hz: every third is used, and the times are those of the camera."""
    with Classifier(bundle, hop=1) as classifier:
        answers = [classifier.push(frame, captured_s=5 + n / 30) for n, frame in enumerate(noise(30))]
        assert classifier.frames_seen == 10
    windows = [answer.window for answer in answers if answer is not None]
    assert (windows[0].start_s, windows[0].end_s) == pytest.approx((5.0, 5.3))
    assert all(answer.rate_ok for answer in answers if answer is not None)


def test_arrays_that_come_too_slowly_are_told(bundle):
    with Classifier(bundle, hop=1) as classifier:
        answers = [classifier.push(frame, captured_s=n / 5) for n, frame in enumerate(noise(WINDOW))]
    assert answers[-1].rate_ok is False


@pytest.mark.parametrize("captured_s", [float("nan"), float("inf"), -1.0, 0.29])
def test_times_that_cannot_be_are_refused_and_change_nothing(bundle, captured_s):
    frames = noise(8)
    with Classifier(bundle, hop=1) as classifier, Classifier(bundle, hop=1) as undisturbed:
        for n in range(4):
            classifier.push(frames[n], captured_s=n / 10)
            undisturbed.push(frames[n], captured_s=n / 10)
        with pytest.raises(SourceError, match="captured_s is"):
            classifier.push(frames[4], captured_s=captured_s)
        with pytest.raises(SourceError, match="captured_s is"):
            classifier.push(frame_at(captured_s))
        after, expected = (c.push(frames[5], captured_s=0.4) for c in (classifier, undisturbed))
        assert after.raw.tobytes() == expected.raw.tobytes()


def test_time_may_go_back_after_an_interruption(bundle):
    with Classifier(bundle, hop=1) as classifier:
        classifier.push(frame_at(100.0))
        classifier.interrupt()
        assert classifier.push(frame_at(0.0)) is None
        assert classifier.frames_seen == 1


def test_a_frame_has_its_own_time(bundle):
    with Classifier(bundle) as classifier, pytest.raises(ConfigError, match="a Frame has its own"):
        classifier.push(frame_at(1.0), captured_s=1.0)


def test_push_after_close_is_a_clear_error(bundle):
    classifier = Classifier(bundle)
    classifier.close()
    with pytest.raises(EdgeharError, match="the classifier is closed"):
        classifier.push(noise(1)[0])


@pytest.mark.parametrize("rate_hz", [0, -1, float("nan"), float("inf")])
def test_a_rate_that_cannot_be_is_refused(bundle, rate_hz):
    with Classifier(bundle) as classifier, pytest.raises(ConfigError, match="rate_hz"):
        classifier.set_rate(rate_hz)


@pytest.mark.parametrize(
    "options",
    [
        {"hop": 0},
        {"hop": WINDOW + 1},
        {"hop": 2.5},
        {"hop": float("nan")},
        {"hop": True},
        {"hop": "2"},
        {"threads": 0},
        {"region": (0.5, 0, 1, 1)},
    ],
)
def test_options_out_of_range(bundle, options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        Classifier(bundle, **options)


def test_a_region_is_all_that_is_seen(bundle):
    frames = noise(WINDOW)
    with Classifier(bundle, region=(0.25, 0.5, 0.75, 0.5)) as part, Classifier(bundle) as whole:
        answers = [(part.push(frame), whole.push(frame[12:, 8:])) for frame in frames]
    assert answers[-1][0].raw.tobytes() == answers[-1][1].raw.tobytes()


@pytest.mark.parametrize("crop", ["center", "letterbox"])
def test_the_crop_is_the_manifests(bundle, crop):
    shape = msgspec.structs.replace(bundle.manifest.input, crop=crop)
    model = ModelBundle(bundle.path, msgspec.structs.replace(bundle.manifest, input=shape), bundle._files)
    wide = np.full((16, 32, 3), 255, np.uint8)
    wide[:, 8:24] = 100
    levels = set((model.make_resizer().resize(wide).astype(int) + 128).ravel().tolist())
    assert levels == ({100} if crop == "center" else {0, 100, 255})


def test_a_frame_too_small_is_a_source_error(bundle):
    with Classifier(bundle) as classifier, pytest.raises(SourceError, match="1x1"):
        classifier.push(np.zeros((1, 1, 3), np.uint8))


def test_a_manifest_that_does_not_fit_its_models(bundle, tmp_path):
    files = {name: bundle.read(name) for name in ("encoder.tflite", "head.tflite", "window.tflite", "MODEL_CARD.md")}
    temporal = msgspec.structs.replace(bundle.manifest.temporal, window=WINDOW + 1)
    path = tmp_path / "wrong.edgehar"
    write_bundle(path, msgspec.structs.replace(bundle.manifest, temporal=temporal), files)
    with pytest.raises(BundleError, match=r"head\.tflite: input is \(1, 4, 8\)"):
        Classifier(path)
    write_bundle(path, bundle.manifest, {**files, "encoder.tflite": b"not a model at all"})
    with pytest.raises(BundleError, match=r"encoder\.tflite.*cannot load"):
        Classifier(path)


@pytest.fixture
def only_importable(monkeypatch):
    """Make TFLite runtimes other than the one named look as if they were not installed."""

    def apply(package):
        real = runtimes.importlib.import_module

        def import_module(name, *rest):
            if any(name == module for known, module in runtimes.RUNTIMES if known != package):
                raise ImportError(f"No module named {name!r}")
            if package == "tflite-runtime" and name == "tflite_runtime.interpreter":
                return real("ai_edge_litert.interpreter")
            return real(name, *rest)

        monkeypatch.setattr(runtimes.importlib, "import_module", import_module)
        monkeypatch.delenv(runtimes.RUNTIME_VARIABLE, raising=False)
        runtimes.load_runtime.cache_clear()

    yield apply
    runtimes.load_runtime.cache_clear()


def test_no_runtime_says_what_to_install(only_importable):
    only_importable("none")
    with pytest.raises(RuntimeUnavailableError, match="pip install ai-edge-litert"):
        runtimes.load_runtime()


def test_the_runtime_can_be_chosen(only_importable, monkeypatch):
    only_importable("ai-edge-litert")
    monkeypatch.setenv("EDGEHAR_RUNTIME", "ai-edge-litert")
    assert runtimes.load_runtime().package == "ai-edge-litert"
    runtimes.load_runtime.cache_clear()
    monkeypatch.setenv("EDGEHAR_RUNTIME", "tensorflow")
    with pytest.raises(RuntimeUnavailableError, match="pip install tensorflow"):
        runtimes.load_runtime()
    monkeypatch.setenv("EDGEHAR_RUNTIME", "onnx")
    with pytest.raises(ConfigError, match="EDGEHAR_RUNTIME is 'onnx'"):
        runtimes.load_runtime()


def test_the_old_runtime_with_numpy_2_says_what_to_install(only_importable, monkeypatch):
    only_importable("tflite-runtime")
    real = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "2.1.0" if name == "numpy" else real(name))
    with pytest.raises(RuntimeUnavailableError, match="pip install 'numpy<2'"):
        runtimes.load_runtime()


def test_no_array_is_allocated_for_the_pixels_of_a_frame(bundle):
    """Memory held after many frames is that held after a few, apart from noise."""
    import tracemalloc

    frames = noise(WINDOW)
    with Classifier(bundle, hop=WINDOW) as classifier:
        for n in range(50):
            classifier.push(frames[n % WINDOW])
        tracemalloc.start()
        try:
            for n in range(400):
                classifier.push(frames[n % WINDOW])
            current, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert current < 8_000
    assert peak < 32_000
