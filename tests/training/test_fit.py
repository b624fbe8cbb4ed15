"""Training continues exactly, stops early, keeps the best, and says what is wrong."""

import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("keras", reason="needs the train extra")

sys.path.insert(0, str(Path(__file__).parent))

from support.moving import LABELS, write_moving_bars

from edgehar.errors import ConfigError, EdgeharError
from edgehar_training.data.datasets import load_dataset
from edgehar_training.data.datasets.splits import make_splits
from edgehar_training.runs.run import Run, RunConfig
from edgehar_training.settings import AugmentSettings, DataSettings, FitSettings, NetworkSettings, SplitSettings
from edgehar_training.training.batches import Batches
from edgehar_training.training.fit import Training

pytestmark = pytest.mark.training


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_moving_bars(tmp_path_factory.mktemp("bars"))


@pytest.fixture
def make_run(data, tmp_path):
    def make(name="run", labels=LABELS, augment=True, units=32, **fit):
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        config = RunConfig(
            data=DataSettings(folder=str(data), cache=str(tmp_path / "cache")),
            split=SplitSettings(val_fraction=0.2),
            network=NetworkSettings(window=4, options={"units": units}),
            fit=FitSettings(**{"epochs": 4, "batch_size": 4, "patience": 0, **fit}),
            augment=AugmentSettings(on=augment),
            labels=list(labels),
            protocol="test",
        )
        return Run(folder, config)

    return make


def parts(run):
    clips = load_dataset(run.config.data)
    (split,) = make_splits(clips, val_fraction=0.2)
    return [clips[i] for i in split.train], [clips[i] for i in split.val]


def train(run, *, resume=False, stop_after=None):
    training = Training(run, *parts(run), resume=resume)

    def after_epoch(row):
        if row["epoch"] == stop_after:
            raise KeyboardInterrupt

    if stop_after is None:
        training.fit(lambda _: None, after_epoch)
    else:
        with pytest.raises(KeyboardInterrupt):
            training.fit(lambda _: None, after_epoch)
    return training


def test_an_interrupted_training_continues_exactly(make_run):
    whole = train(make_run("whole"))
    train(make_run("parts"), stop_after=2)
    resumed = train(make_run("parts"), resume=True)
    assert resumed.progress == whole.progress
    assert len(whole.progress.history) == 4
    for one, two in zip(whole.model.get_weights(), resumed.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


def test_patience_ends_it_and_the_best_network_stays(make_run):
    # A rate this small never gets better than chance, so some early epoch is the best one.
    run = make_run(epochs=40, patience=2, learning_rate=1e-12, augment=False)
    training = train(run)
    assert len(training.progress.history) == training.progress.best_epoch + 2
    val = parts(run)[1]
    truth = np.array([LABELS.index(clip.label) for clip in val])
    again = training.score([run.stream(clip) for clip in val], truth)
    assert again.loss == pytest.approx(training.progress.best_loss, rel=1e-6)


def test_a_loss_that_is_no_number_names_the_learning_rate(make_run):
    with pytest.raises(EdgeharError, match=r"loss is NaN or infinite .* --learning-rate \(now 1e\+38\)"):
        train(make_run(learning_rate=1e38, epochs=20))


def test_a_checkpoint_of_another_network_is_refused(make_run):
    train(make_run(), stop_after=1)
    with pytest.raises(ConfigError, match="no checkpoint of this network"):
        Training(make_run(units=16), *parts(make_run()), resume=True)


def test_batches_repeat_for_a_seed_and_differ_between_epochs(make_run):
    run = make_run(windows_per_clip=2)
    batches = Batches(run, parts(run)[0])
    first, again, next_epoch = (list(batches.epoch(number)) for number in (1, 1, 2))
    assert len(first) == len(batches)
    assert sum(len(windows) for windows, _ in first) == 2 * len(parts(run)[0])
    assert all(np.array_equal(a[0], b[0]) for a, b in zip(first, again, strict=True))
    assert not all(np.array_equal(a[1], b[1]) for a, b in zip(first, next_epoch, strict=True))
    windows, truth = first[0]
    assert windows.shape[1:] == (4, 60, 60, 3)
    assert windows.dtype == np.float32
    assert (truth.sum(axis=1) == 1).all()


def test_windows_of_a_clip_are_those_of_its_stream(make_run):
    run = make_run()
    clip = parts(run)[0][0]
    stream, windows = run.stream(clip), run.quantized_windows_of(clip)
    assert len(stream) == 8
    assert [np.array_equal(window, stream[2 * i : 2 * i + 4]) for i, window in enumerate(windows)] == [True] * 3
    np.testing.assert_allclose(run.windows_of(clip), windows / np.float32(255), atol=1e-7)
