"""Features of an encoder that does not learn are computed once, survive interruptions, and give the same scores."""

import sys
from pathlib import Path

import numpy as np
import pytest

keras = pytest.importorskip("keras", reason="needs the train extra")

sys.path.insert(0, str(Path(__file__).parent))

from msgspec.structs import replace  # noqa: E402
from support.moving import LABELS, write_moving_bars  # noqa: E402

from edgehar_training.data.datasets import load_dataset  # noqa: E402
from edgehar_training.data.datasets.splits import Split, make_splits, write_splits  # noqa: E402
from edgehar_training.models import build  # noqa: E402
from edgehar_training.quantize.fake_quant import FakeQuantization  # noqa: E402
from edgehar_training.quantize.stages import stage_config  # noqa: E402
from edgehar_training.runs.run import Run, RunConfig  # noqa: E402
from edgehar_training.scoring.clips import in_chunks, score_streams  # noqa: E402
from edgehar_training.settings import AugmentSettings, DataSettings, FitSettings, NetworkSettings  # noqa: E402
from edgehar_training.training import features_cache  # noqa: E402
from edgehar_training.training.features_cache import FeatureBatches, FeaturesCache, features_of  # noqa: E402
from edgehar_training.training.fit import Training  # noqa: E402

pytestmark = pytest.mark.training

WINDOW = 4


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_moving_bars(tmp_path_factory.mktemp("bars"), clips_per_label=5)


@pytest.fixture
def make_run(data, tmp_path):
    def make(name="run", augment=False, fit=None, **network):
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        config = RunConfig(
            data=DataSettings(folder=str(data), cache=str(tmp_path / "cache")),
            network=NetworkSettings(**{"window": WINDOW, "input": "rgb", **network}),
            fit=fit or FitSettings(epochs=2, batch_size=4, patience=0, freeze=["encoder"]),
            augment=AugmentSettings(on=augment),
            labels=list(LABELS),
        )
        return Run(folder, config)

    return make


def parts(run):
    clips = load_dataset(run.config.data)
    (split,) = make_splits(clips, val_fraction=0.2)
    return [clips[i] for i in split.train], [clips[i] for i in split.val]


def frozen(run, seed=0):
    keras.utils.set_random_seed(seed)
    model = build(run.config.network, len(LABELS))
    model.get_layer("encoder").trainable = False
    return model


def entries(tmp_path):
    return sorted((tmp_path / "cache").glob("*.features.npy"))


@pytest.mark.parametrize("frame_order", ["ordered", "shuffled"])
def test_the_head_learns_from_kept_features_and_the_whole_network_is_what_it_was_scored_as(
    make_run, tmp_path, frame_order
):
    run = make_run(frame_order=frame_order)
    train, val = parts(run)
    training = Training(run, train, val)
    before = [array.copy() for array in training.model.get_layer("encoder").get_weights()]
    head = [array.copy() for array in training.model.get_layer("head").get_weights()]
    training.fit(lambda _: None, lambda _: None)
    for old, new in zip(before, training.model.get_layer("encoder").get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert not all(map(np.array_equal, head, training.model.get_layer("head").get_weights()))
    assert len(entries(tmp_path)) == len(train) + len(val)
    truth = np.array([LABELS.index(clip.label) for clip in val])
    kept = training.score(training.streams(val), truth)
    streams = [run.stream(clip) for clip in val]
    whole = score_streams(training.model, run.preprocessor, streams, WINDOW, order=run.config.frame_order)
    given = [training.model.predict_on_batch(run.windows_of(clip)) for clip in val]
    for one, two in zip(whole, given, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-5)
    for one, two in zip(kept.windows, whole, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-5)


@pytest.mark.parametrize("stage", ["finetune", "qat"])
def test_trained_on_it_learns_from_the_features_that_its_file_will_give(make_run, tmp_path, stage):
    base = make_run()
    train, val = parts(base)
    frozen(base).save(base.path / "best.keras")
    split = Split(list(range(len(train))), [len(train) + i for i in range(len(val))], [])
    run = Run(make_run(f"run/{stage}").path, stage_config(base.config, stage))
    write_splits(run.path / "splits.csv", [*train, *val], split, Path(base.config.data.folder))
    training = Training(run, train, val)
    fake = training.fake_quantization
    before = None if fake is None else fake.limits
    training.learn(1)
    assert len(entries(tmp_path)) == len(train) + len(val)
    network = training.model if fake is None else fake.model
    codes = in_chunks(network.get_layer("encoder"), run.stream(val[0]), run.preprocessor)
    np.testing.assert_array_equal(training.streams(val)[0], codes)
    if fake is not None:
        moved = {place for place, limits in fake.limits.items() if limits != before[place]}
        assert moved
        assert all(place.startswith("head/") for place in moved)
        assert len(np.unique(codes)) <= 256


def test_frames_that_are_only_flattened_are_not_kept(make_run):
    run = make_run(model="convlstm", size=32)
    model = frozen(run)
    fake = FakeQuantization(model, np.zeros((2, WINDOW, 32, 32, 3), np.int8), run.config.affine)
    assert features_of(run, model) is None
    assert features_of(run, fake.model) is None


def test_an_interrupted_training_continues_with_the_same_features(make_run, tmp_path):
    def stop(row):
        if row["epoch"] == 1:
            raise KeyboardInterrupt

    whole = Training(make_run("whole"), *parts(make_run("whole")))
    whole.fit(lambda _: None, lambda _: None)
    run = make_run("parts")
    with pytest.raises(KeyboardInterrupt):
        Training(run, *parts(run)).fit(lambda _: None, stop)
    there = entries(tmp_path)
    resumed = Training(run, *parts(run), resume=True)
    resumed.fit(lambda _: None, lambda _: None)
    # A resumed training builds other weights first, of which no feature may be kept.
    assert entries(tmp_path) == there
    assert resumed.progress == whole.progress


def test_filling_goes_on_where_it_was_interrupted(make_run, tmp_path, monkeypatch):
    run = make_run()
    clips = [*parts(run)[0], *parts(run)[1]]
    monkeypatch.setattr(features_cache, "FRAMES_AT_ONCE", 3 * len(run.stream(clips[0])))
    cache, stream, asked = FeaturesCache(run, frozen(run).get_layer("encoder")), run.stream, []

    def interrupted(clip):
        if len(asked) == 5:
            raise KeyboardInterrupt
        asked.append(clip)
        return stream(clip)

    monkeypatch.setattr(run, "stream", interrupted)
    with pytest.raises(KeyboardInterrupt):
        cache.fill(clips)
    assert len(entries(tmp_path)) == 3
    monkeypatch.setattr(run, "stream", lambda clip: asked.append(clip) or stream(clip))
    done = []
    cache.fill(clips, done.append)
    assert asked[5:] == clips[3:]
    assert sum(done) == len(clips) == len(entries(tmp_path))


def test_windows_are_parts_of_what_the_encoder_gives(make_run):
    run = make_run()
    clips, _ = parts(run)
    encoder = frozen(run).get_layer("encoder")
    cache = FeaturesCache(run, encoder)
    batches = FeatureBatches(run, clips, cache)
    codes = [encoder.predict_on_batch(run.preprocessor.real(run.stream(clip))) for clip in clips]
    seen = 0
    for windows, truth in batches.epoch(1):
        for window, label in zip(windows, truth, strict=True):
            places = [
                (clip.label, start)
                for clip, code in zip(clips, codes, strict=True)
                for start in range(len(code) - WINDOW + 1)
                if np.allclose(code[start : start + WINDOW], window, atol=1e-5)
            ]
            assert LABELS[label.argmax()] in {place for place, _ in places}
            seen += 1
    assert seen == len(clips)
    first, again = (np.concatenate([w for w, _ in batches.epoch(1)]) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, np.concatenate([w for w, _ in batches.epoch(2)]))


def test_a_control_of_one_frame_learns_from_the_same_features(make_run, tmp_path):
    run, ordered = make_run(frame_order="single"), make_run()
    clips, _ = parts(run)
    encoder = frozen(run).get_layer("encoder")
    FeaturesCache(ordered, encoder).fill(clips)
    there = entries(tmp_path)
    for windows, _ in FeatureBatches(run, clips, FeaturesCache(run, encoder)).epoch(1):
        assert (windows == windows[:, :1]).all()
    assert entries(tmp_path) == there


def test_other_weights_and_settings_are_other_entries(make_run, tmp_path):
    run = make_run()
    clips = parts(run)[1][:1]
    FeaturesCache(run, frozen(run).get_layer("encoder")).fill(clips)
    FeaturesCache(run, frozen(run).get_layer("encoder")).fill(clips)
    assert len(entries(tmp_path)) == 1
    FeaturesCache(run, frozen(run, seed=1).get_layer("encoder")).fill(clips)
    assert len(entries(tmp_path)) == 2
    faster = Run(run.path, replace(run.config, network=replace(run.config.network, rate_hz=25.0)))
    FeaturesCache(faster, frozen(run).get_layer("encoder")).fill(clips)
    assert len(entries(tmp_path)) == 3
    finer = Run(run.path, replace(run.config, network=replace(run.config.network, input="motion", motion_range=32)))
    coarser = Run(run.path, replace(run.config, network=replace(run.config.network, input="motion")))
    for other in (finer, coarser):
        FeaturesCache(other, frozen(run).get_layer("encoder")).fill(clips)
    assert len(entries(tmp_path)) == 5


def test_a_damaged_entry_is_computed_again(make_run, tmp_path, caplog):
    run = make_run()
    (clip, *_), _ = parts(run)
    encoder = frozen(run).get_layer("encoder")
    before = np.array(FeaturesCache(run, encoder).load(clip))
    (path,) = entries(tmp_path)
    content = bytearray(path.read_bytes())
    content[200] ^= 255
    path.write_bytes(content)
    np.testing.assert_array_equal(FeaturesCache(run, encoder).load(clip), before)
    assert "is damaged" in caplog.text


def test_only_frozen_encoders_without_augmentation_keep_features(make_run):
    assert features_of(make_run(), frozen(make_run())) is not None
    assert features_of(make_run(augment=True), frozen(make_run())) is None
    assert features_of(make_run(), build(make_run().config.network, 2)) is None
    # Its encoder has no weights; what would be kept are the frames themselves.
    convlstm = make_run(model="convlstm", size=31)
    assert features_of(convlstm, build(convlstm.config.network, 2)) is None
