"""Two looks in training: gray base pictures in the cache, and from them exactly what a device gives its network."""

import msgspec
import numpy as np
import pytest
from support.helpers import write_video
from support.tiny_bundle import write_tiny_looks_bundle

from edgehar import Classifier, open_source
from edgehar.errors import ConfigError
from edgehar.model.bundle import ModelBundle
from edgehar_training import models
from edgehar_training.data import filling
from edgehar_training.data.datasets import Clip
from edgehar_training.data.frames_cache import FramesCache, cache_of, gray_levels
from edgehar_training.data.preprocess import Preprocessor
from edgehar_training.data.sampling import window_starts
from edgehar_training.runs.run import Run, RunConfig
from edgehar_training.scoring.clips import score_bundle
from edgehar_training.settings import DataSettings, NetworkSettings
from edgehar_training.training.batches import Batches
from edgehar_training.training.checks import check_start

TWO = NetworkSettings(model="mobile", size=12, motion_range=32, looks="whole+crop", window=4, rate_hz=10.0)


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """A block that wanders over noise."""
    rng = np.random.default_rng(2)
    ground = rng.integers(60, 190, (96, 144, 3), np.uint8)
    frames = np.repeat(ground[None], 24, axis=0)
    for number, frame in enumerate(frames):
        frame[20 + 2 * number : 40 + 2 * number, 5 * number : 5 * number + 16] = 250 - 8 * number
    return write_video(tmp_path_factory.mktemp("video") / "clip.mp4", frames, rate_hz=20)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    path = tmp_path_factory.mktemp("bundle") / "tiny.edgehar"
    return ModelBundle.open(write_tiny_looks_bundle(path, size=12, window=4, rate_hz=10.0, hop=2))


def clip_of(path):
    return Clip(str(path), "a", "g")


def run_of(tmp_path, **changes):
    settings = {"network": TWO, "data": DataSettings(cache=str(tmp_path / "cache")), **changes}
    return Run(tmp_path, RunConfig(**settings))


def test_the_cache_holds_gray_base_pictures(tmp_path, video):
    gray = FramesCache(tmp_path, 240, 320, gray=True)
    small = gray.load(clip_of(video))
    assert small.frames.shape == (24, 240, 320)
    colored = FramesCache(tmp_path, 240, 320).load(clip_of(video))
    assert colored.frames.shape == (24, 240, 320, 3)
    np.testing.assert_array_equal(small.frames, gray_levels(colored.frames))


def test_gray_levels_round_as_the_kernel_does():
    rgb = np.random.default_rng(0).integers(0, 256, (300, 3), np.uint8)
    red, green, blue = rgb.astype(int).T
    np.testing.assert_array_equal(gray_levels(rgb), (77 * red + 150 * green + 29 * blue + 128) // 256)


def test_another_process_fills_the_same_cache(tmp_path, video):
    cache = FramesCache(tmp_path, 240, 320, gray=True)
    clips = [clip_of(video)]
    answers = list(filling._in_workers(cache, clips, 1))
    assert [answer.frames for _, answer in answers] == [24]
    assert cache.has(clips[0])


@pytest.mark.parametrize("options", [{}, {"stabilize": True}, {"stabilize": True, "steady_light": True}])
def test_training_sees_what_the_device_sees(tmp_path, bundle, video, options):
    run = run_of(tmp_path, network=msgspec.structs.replace(TWO, **options))
    if options:
        bundle = ModelBundle.open(write_tiny_looks_bundle(tmp_path / "steady.edgehar", **options))
    assert run.config.frame == bundle.manifest.input
    first, stream = run.stream(clip_of(video)), run.stream(clip_of(video))
    np.testing.assert_array_equal(first, stream)
    seen = []
    with Classifier(bundle) as classifier, open_source(str(video)) as source:
        for frame in source:
            before = classifier.frames_seen
            classifier.push(frame)
            if classifier.frames_seen > before:
                seen.append(classifier._network.encoder.input_view()[0].copy())
    assert stream.shape == (12, 2, 12, 12, 3)
    np.testing.assert_array_equal(stream, np.stack(seen))
    assert stream[:, 1].any()


def test_the_cache_of_a_bundle_is_that_of_its_run(tmp_path, bundle, video):
    run = run_of(tmp_path)
    cache = cache_of(tmp_path / "cache", bundle.manifest.input)
    assert cache.shard(str(video)) == run.cache().shard(str(video))


def test_a_bundle_answers_for_cached_frames_as_for_the_video(tmp_path, bundle, video):
    (cached,) = score_bundle(bundle.path, [run_of(tmp_path).device_clip(clip_of(video))], hop=2)
    with Classifier(bundle, hop=2) as classifier, open_source(str(video)) as source:
        live = [list(a.scores.values()) for frame in source if (a := classifier.push(frame)) is not None]
    np.testing.assert_allclose(cached, live, atol=1e-6)
    # Twelve frames: windows of four begin at the third, fifth, seventh and ninth.
    assert len(cached) == 4


def test_values_have_their_meaning_in_both_looks(tmp_path, video):
    run = run_of(tmp_path)
    stream = run.stream(clip_of(video))
    real = run.preprocessor.real(stream)
    assert real.shape == stream.shape
    assert abs(real).max() <= 32 / 255 + 1e-6
    assert isinstance(run.preprocessor, Preprocessor)


@pytest.mark.parametrize(
    ("frames", "starts"), [(4, [0]), (5, [1]), (6, [2]), (7, [2]), (8, [2, 4]), (12, [2, 4, 6, 8])]
)
def test_windows_begin_after_the_lead_in_where_a_clip_is_long_enough(frames, starts):
    assert TWO.lead_in == 2
    assert list(window_starts(frames, 4, 2, TWO.lead_in)) == starts


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"model": "lrcn", "size": 60}, "lrcn takes the whole frame alone; use --looks whole, or --model mobile"),
        ({"input": "rgb", "size": 64}, "--looks whole.crop is for --input motion, not rgb"),
        ({"sampling": "uniform", "size": 64}, "--sampling uniform leaves frames out"),
    ],
)
def test_settings_that_do_not_fit_two_looks_are_refused(changes, says):
    with pytest.raises(ConfigError, match=says):
        models.check(NetworkSettings(**{"model": "mobile", "looks": "whole+crop", **changes}))


def test_stabilizing_needs_two_looks_and_a_picture_without_borders(tmp_path):
    with pytest.raises(ConfigError, match=r"--stabilize moves a picture of 320x240.*--looks whole.crop"):
        models.check(NetworkSettings(model="mobile", size=64, stabilize=True))
    with pytest.raises(ConfigError, match=r"--steady-light changes a picture of 320x240.*--looks whole.crop"):
        models.check(NetworkSettings(model="mobile", size=64, steady_light=True))
    network = NetworkSettings(model="mobile", size=64, looks="whole+crop", stabilize=True)
    config = RunConfig(network=network, data=DataSettings(crop="letterbox"))
    with pytest.raises(ConfigError, match="borders of --crop letterbox stand still"):
        check_start(config, resume=False)


def test_random_windows_have_no_second_look(tmp_path, video):
    with pytest.raises(ConfigError, match=r"random windows do not have.*--no-augment"):
        Batches(run_of(tmp_path), [clip_of(video)])
