"""Batches: the same for a seed and epoch, whatever is in the window; made ahead by a thread that ends."""

import threading

import numpy as np
import pytest
from support.helpers import write_video

from edgehar_training.data.datasets import Clip
from edgehar_training.runs.run import Run, RunConfig, with_mean
from edgehar_training.settings import AugmentSettings, DataSettings, FitSettings, NetworkSettings
from edgehar_training.training.batches import Batches, ahead

LABELS = ["left", "right"]
PLAIN = AugmentSettings(on=False)
ONLY_SPEED = AugmentSettings(flip=False, shift=0, zoom=0, contrast=0, brightness=0, speed=0.5)
EVERYTHING = AugmentSettings(
    colour=0.2, blur=1, noise=4, speed=0.3, temporal_crop=0.3, frame_dropout=0.2, mixup=0.4
)  # fmt: skip


def bar(direction, shade, count=16):
    """A checked bar: along a plain edge, flow could not be told."""
    frames = np.full((count, 48, 48, 3), 40, np.uint8)
    checks = np.kron(np.indices((6, 2)).sum(axis=0) % 2, np.ones((8, 5)))[..., None] * 80
    for number, frame in enumerate(frames):
        left = 2 * number if direction == "right" else 38 - 2 * number
        frame[:, left : left + 10] = shade - checks
    return frames


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bars")
    return [
        Clip(str(write_video(folder / f"{label}{i}.mp4", bar(label, 150 + 20 * i))), label, f"g{i}")
        for label in LABELS
        for i in range(5)
    ]


@pytest.fixture
def make_run(tmp_path):
    def make(augment=PLAIN, windows_per_clip=1, **network):
        config = RunConfig(
            data=DataSettings(cache=str(tmp_path / "cache")),
            network=NetworkSettings(**{"window": 4, "size": 32, **network}),
            fit=FitSettings(batch_size=4, windows_per_clip=windows_per_clip),
            augment=augment,
            labels=LABELS,
        )
        return Run(tmp_path, config)

    return make


def epoch(run, clips, number=1):
    return list(Batches(run, clips).epoch(number))


@pytest.mark.parametrize("sampling", ["consecutive", "uniform", "segments", "key-frames"])
@pytest.mark.parametrize(("kind", "channels"), [("rgb", 3), ("motion", 3), ("flow", 2), ("rgb+flow", 5)])
def test_every_input_and_sampling_gives_windows_that_repeat(make_run, clips, sampling, kind, channels):
    run = make_run(EVERYTHING, windows_per_clip=2, input=kind, sampling=sampling)
    first, again, later = epoch(run, clips), epoch(run, clips), epoch(run, clips, 2)
    assert len(first) == len(Batches(run, clips)) == 5
    for (windows, truth), (same, same_truth) in zip(first, again, strict=True):
        assert windows.shape == (4, 4, 32, 32, channels)
        assert windows.dtype == truth.dtype == np.float32
        assert np.array_equal(windows, same)
        assert np.array_equal(truth, same_truth)
        np.testing.assert_allclose(truth.sum(axis=1), 1, atol=1e-6)
        assert -1.01 <= windows.min() < windows.max() <= 1.01
    assert not all(np.array_equal(a[0], b[0]) for a, b in zip(first, later, strict=True))
    stream = run.stream(clips[0])
    assert stream.shape == (8 if sampling == "consecutive" else 4, 32, 32, channels)
    assert stream.dtype == np.int8
    assert run.preprocessor.channels == channels == run.config.network.channels


def test_without_augmentation_windows_are_windows_of_the_stream(make_run, clips):
    run = make_run(rate_hz=25.0, input="motion")
    streams = [run.preprocessor.real(run.stream(clip)) for clip in clips]
    for windows, _ in epoch(run, clips):
        for window in windows:
            assert any(
                np.array_equal(window, stream[start : start + 4])
                for stream in streams
                for start in range(len(stream) - 3)
            )


@pytest.mark.parametrize("sampling", ["consecutive", "segments"])
def test_controls_have_the_frames_of_a_window_in_no_order_or_one_of_them(make_run, clips, sampling):
    single = make_run(EVERYTHING, input="motion", sampling=sampling, frame_order="single")
    for windows, _ in epoch(single, clips):
        assert all(np.array_equal(window, window[:1].repeat(4, axis=0)) for window in windows)
    shuffled = make_run(input="motion", sampling="uniform", rate_hz=25.0, frame_order="shuffled")
    streams = [shuffled.preprocessor.real(shuffled.stream(clip)) for clip in clips]
    orders = set()
    for window in np.concatenate([windows for windows, _ in epoch(shuffled, clips)]):
        (order,) = [found for stream in streams if (found := in_order(window, stream)) is not None]
        assert sorted(order) == [0, 1, 2, 3]
        orders.add(order)
    assert len(orders) > 3
    assert shuffled.quantized_windows_of(clips[0]).shape == (1, 4, 32, 32, 3)
    assert not np.array_equal(shuffled.quantized_windows_of(clips[0])[0], shuffled.stream(clips[0]))


def in_order(window, stream):
    """Which frame of the stream each of the window's is; None where one is none of them."""
    found = [np.flatnonzero([np.array_equal(frame, other) for other in stream]) for frame in window]
    return tuple(int(places[0]) for places in found) if all(map(len, found)) else None


@pytest.mark.parametrize("sampling", ["uniform", "key-frames"])
def test_one_window_of_a_clip_is_its_stream(make_run, clips, sampling):
    # Spread over the clip, it is the same at any speed.
    augment = ONLY_SPEED if sampling == "uniform" else PLAIN
    run = make_run(augment, rate_hz=25.0, input="rgb+flow", sampling=sampling)
    streams = [run.preprocessor.real(run.stream(clip)) for clip in clips]
    for windows, _ in epoch(run, clips):
        assert all(any(np.array_equal(window, stream) for stream in streams) for window in windows)


def test_colours_come_before_flow_each_with_its_scale(make_run, clips):
    both, colours, flow = (make_run(input=kind) for kind in ("rgb+flow", "rgb", "flow"))
    stream = both.stream(clips[5])
    assert np.array_equal(stream[..., :3], colours.stream(clips[5]))
    assert np.array_equal(stream[..., 3:], flow.stream(clips[5]))
    real = both.preprocessor.real(stream)
    np.testing.assert_allclose(real[..., :3], (stream[..., :3].astype(float) + 128) / 255, atol=1e-6)
    np.testing.assert_allclose(real[..., 3:], stream[..., 3:] / 128, atol=1e-6)
    assert real[2:, 10:20, :, 3].max() > 0.2  # a bar that goes to the right


def test_mixup_mixes_windows_and_labels_alike(make_run, clips):
    mixed = make_run(AugmentSettings(flip=False, shift=0, zoom=0, contrast=0, brightness=0, mixup=1.0), rate_hz=25.0)
    streams = {label: [] for label in LABELS}
    for clip in clips:
        stream = mixed.preprocessor.real(mixed.stream(clip))
        streams[clip.label] += [stream[s : s + 4] for s in range(len(stream) - 3)]
    found = 0
    for windows, truth in epoch(mixed, clips):
        share = max(truth[0])
        for window, (left, right) in zip(windows, truth, strict=True):
            assert left + right == pytest.approx(1, abs=1e-6)
            if 0.01 < left < 0.99:
                found += 1
                assert max(left, right) == pytest.approx(share, abs=1e-5) or share == 1
                assert any(
                    np.allclose(window, left * a + right * b, atol=1e-4)
                    for a in streams["left"]
                    for b in streams["right"]
                )
    assert found


def test_a_device_is_shown_the_frames_of_the_stream(make_run, clips):
    whole = make_run().device_clip(clips[0])
    assert len(whole.frames) == 16
    run = make_run(sampling="segments", input="rgb")
    shown = run.device_clip(clips[0])
    assert np.array_equal(run.preprocessor.quantized(shown.frames), run.stream(clips[0]))
    np.testing.assert_allclose(shown.times_s, np.arange(4) / 12.5)


def test_the_mean_colour_is_that_of_the_training_clips(make_run, clips):
    config = make_run(input="rgb", scaling="mean").config
    found = with_mean(config, clips[:3]).network.mean
    assert found == with_mean(config, clips[2::-1]).network.mean != with_mean(config, clips[3:]).network.mean
    frames = [make_run().cache().load(clip).frames for clip in clips[:3]]
    np.testing.assert_allclose(found, np.mean([f.mean(axis=(0, 1, 2)) for f in frames], axis=0) / 255, atol=1e-6)
    unit = make_run(input="rgb").config
    assert with_mean(unit, clips) is unit


def batch_threads():
    return [thread for thread in threading.enumerate() if thread.name == "batches"]


def test_the_thread_ends_when_the_epoch_is_broken_off(make_run, clips):
    batches = Batches(make_run(windows_per_clip=20), clips).epoch(1)
    next(batches)
    assert len(batch_threads()) == 1
    batches.close()
    assert not batch_threads()
    list(Batches(make_run(), clips).epoch(1))
    assert not batch_threads()


def test_items_made_ahead_keep_their_order_and_their_error():
    """One item is taken, two wait and one is in hand; never more, whenever the next is asked for."""
    depth, changed, made, early = 2, threading.Condition(), [], []
    asked = 0

    def items():
        for number in range(40):
            with changed:
                made.append(number)
                if len(made) > asked + depth + 1:
                    early.append((number, asked))
                changed.notify()
            yield number
        raise ValueError("the last")

    taken = ahead(items(), depth)
    for number in range(40):
        with changed:
            asked += 1
        assert next(taken) == number
        with changed:
            due = min(asked + depth + 1, 40)
            assert changed.wait_for(lambda due=due: len(made) >= due, timeout=60)
    assert early == []
    with pytest.raises(ValueError, match="the last"):
        next(taken)
    assert not batch_threads()


def test_what_is_shown_faster_moves_further(make_run, clips):
    still, fast = (make_run(augment, rate_hz=12.5, input="flow") for augment in (PLAIN, ONLY_SPEED))
    furthest = [max(windows.max() for windows, _ in epoch(run, clips)) for run in (still, fast)]
    assert furthest[1] > 1.15 * furthest[0]
