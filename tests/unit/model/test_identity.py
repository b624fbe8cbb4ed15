"""Streaming gives the bytes of the whole-window model: any hop, any start, frames left out, on every shipped model."""

import itertools
from collections import deque

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.altered import with_other_window_model
from support.tiny_bundle import write_tiny_bundle

from edgehar import Classifier, Frame, ModelBundle, PixelFormat
from edgehar.inspect.frames import drawn_scenes, model_frames
from edgehar.inspect.verify import draw_stream, verify
from edgehar.model.interpreter import TfliteModel

SHIPPED = ("fight", "interactions", "fall", "actions-synthetic")


@pytest.fixture(scope="module", params=SHIPPED)
def shipped(request):
    """A model, its whole-window network, and 100 drawn frames."""
    bundle = ModelBundle.open(request.param)
    scenes = itertools.islice(drawn_scenes(bundle.manifest.temporal.rate_hz, seed=5), 4)
    pixels = [frame.data for scene in scenes for frame in scene]
    return bundle, TfliteModel(bundle.read("window.tflite"), name="window.tflite"), pixels


@settings(max_examples=8)
@given(data=st.data())
def test_streaming_is_the_window_model_to_the_byte(shipped, data):
    bundle, whole, pixels = shipped
    temporal = bundle.manifest.temporal
    window, rate_hz, first = temporal.window, temporal.rate_hz, temporal.window + temporal.lead_in
    hop = data.draw(st.integers(1, window), "hop")
    start = data.draw(st.integers(0, len(pixels) - 1), "start")
    start_s = data.draw(st.floats(0, 1e6), "start_s")
    kept = data.draw(st.lists(st.booleans(), min_size=window, max_size=3 * window), "kept")
    resizer, recent, compared = bundle.make_resizer(), deque(maxlen=window), 0
    with Classifier(bundle, hop=hop) as classifier:
        seen = 0
        for slot, keep in enumerate([*kept, *[True] * (first + hop)]):
            if not keep:
                continue
            shown = pixels[(start + slot) % len(pixels)]
            captured_s = start_s + (slot + 0.5) / rate_hz
            prediction = classifier.push(Frame(shown, PixelFormat.BGR24, captured_s, captured_s, slot))
            recent.append(resizer.resize(shown))
            seen += 1
            assert (prediction is not None) == (seen >= first and (seen - first) % hop == 0)
            if prediction is not None:
                assert prediction.raw.tobytes() == whole.run(np.stack(recent)).tobytes()
                compared += 1
    assert compared >= 2


@pytest.mark.parametrize("name", SHIPPED)
def test_the_check_of_the_device_finds_no_byte(name):
    bundle = ModelBundle.open(name)
    told = []
    found = verify(bundle, windows=30, on_progress=told.append)
    assert found.identical
    assert (found.windows >= 30, found.differing_bytes, found.largest) == (True, 0, 0)
    assert found.bytes == found.windows * len(bundle.manifest.labels)
    assert found.hops == (1, min(found.streams, bundle.manifest.temporal.window))
    assert found.dropped > 0
    # A network that always said the same would be the same.
    assert len(found.answers) > 1
    assert sum(told) == found.windows


def test_the_check_is_the_same_again_and_another_with_another_seed(tmp_path):
    bundle = ModelBundle.open(write_tiny_bundle(tmp_path / "tiny.edgehar"))
    first, again, other = (verify(bundle, windows=30, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_a_window_model_of_other_weights_is_found(tmp_path):
    """One weight of the head, one step off."""
    bundle = ModelBundle.open("actions-synthetic")
    with_other_window_model(bundle, tmp_path / "off.edgehar")
    found = verify(ModelBundle.open(tmp_path / "off.edgehar"), windows=60)
    assert not found.identical
    assert 0 < found.differing_windows <= found.windows
    assert found.largest > 0


def test_streams_are_drawn_with_any_start_and_drops():
    pool = next(drawn_scenes(10.0))
    rng = np.random.default_rng(0)
    streams = [draw_stream(pool, hop, 4, 10.0, rng) for hop in (1, 2, 3, 4) for _ in range(20)]
    assert {stream.hop for stream in streams} == {1, 2, 3, 4}
    assert len({id(stream.frames[0].data) for stream in streams}) > 5
    assert any(stream.dropped == 0 for stream in streams)
    assert any(stream.dropped > 3 for stream in streams)
    for stream in streams:
        times = [frame.captured_s for frame in stream.frames]
        assert times == sorted(times)
        assert len(times) >= 4 + stream.hop


def test_frames_of_a_scene_are_what_the_encoder_sees():
    bundle = ModelBundle.open("actions-synthetic")
    scene = next(drawn_scenes(25.0, seed=3))
    frames = model_frames(bundle, scene)
    assert frames.shape == (25, 60, 60, 3)  # of 50 frames in two seconds, at 12.5 Hz
    assert frames.dtype == np.int8
    assert not frames[0].any()  # motion: nothing has moved before the first
    assert frames[5].any()
