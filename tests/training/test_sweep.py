"""A trial of `edgehar sweep`: it sees no test clip."""

import importlib.util
import itertools
import shutil

import numpy as np
import pytest
from support.helpers import assert_one_line_error, run_command, write_video
from support.moving import write_moving_bars

pytest.importorskip("keras", reason="needs the train extra")

from edgehar_training.data.datasets.splits import read_splits
from edgehar_training.runs.run import RunConfig
from edgehar_training.settings import AugmentSettings, DataSettings, FitSettings, NetworkSettings
from edgehar_training.sweep.options import SweepOptions, TuneOptions
from edgehar_training.sweep.run_sweep import make_job
from edgehar_training.sweep.space import Choice, Parameter, Space
from edgehar_training.sweep.trial import run_trial
from edgehar_training.training import experiment
from edgehar_training.training.options import ExperimentOptions

pytestmark = pytest.mark.training

SPACE = Space((Parameter("fit.learning_rate", Choice((0.01,))),))
VALUES = {"fit.learning_rate": 0.01}


def config(data, cache):
    return RunConfig(
        data=DataSettings(folder=str(data), cache=str(cache)),
        network=NetworkSettings(window=4),
        fit=FitSettings(epochs=2, batch_size=4, deterministic=True),
        augment=AugmentSettings(on=False),
    )


def job_of(data, folder):
    options = SweepOptions(out=folder, tuning=TuneOptions(trials=1), inner_folds=2)
    return make_job(config(data, folder / "cache"), SPACE, options)


def held_out_clips(data, cache):
    """The clips that edgehar-train tests with the same settings."""
    prepared, clips = experiment.prepare_clips(config(data, cache), resume=False)
    (job,) = experiment._jobs(prepared, ExperimentOptions(out=cache, seeds=[0]), clips)
    return [clips[i] for i in job.split.test]


@pytest.fixture(scope="module")
def bars(tmp_path_factory):
    return write_moving_bars(tmp_path_factory.mktemp("data") / "bars", clips_per_label=6, groups=6, frames=8)


@pytest.fixture(scope="module")
def scores(bars, tmp_path_factory):
    """The scores of a trial, and its folder."""
    folder, scores = tmp_path_factory.mktemp("sweep"), []
    run_trial(job_of(bars, folder), folder / "trial", VALUES, scores.append)
    return scores, folder / "trial"


def test_no_trial_has_a_test_clip(bars, scores, tmp_path):
    tested = {clip.path for clip in held_out_clips(bars, tmp_path / "cache")}
    assert tested
    seen = []
    for fold in sorted(scores[1].iterdir()):
        parts = read_splits(fold / "splits.csv", bars)
        assert not parts["test"]
        assert parts["val"]
        seen += [clip.path for clip in itertools.chain(*parts.values())]
    assert len(set(seen)) == 12 - len(tested)
    assert not tested & set(seen)


def test_test_clips_change_nothing_in_a_trial(bars, scores, tmp_path):
    changed = shutil.copytree(bars, tmp_path / "bars")
    for clip in held_out_clips(changed, tmp_path / "cache"):
        noise = np.random.default_rng(1).integers(0, 256, (8, 64, 64, 3), np.uint8)
        write_video(clip.path, noise, rate_hz=25)
    others = []
    run_trial(job_of(changed, tmp_path), tmp_path / "trial", VALUES, others.append)
    assert others == scores[0]


def test_the_score_is_reported_after_each_epoch(scores):
    assert [(score.epochs, score.finished, score.problem) for score in scores[0]] == [(1, False, ""), (2, True, "")]


def test_settings_that_do_not_fit_end_a_trial_with_the_reason(bars, tmp_path):
    job = job_of(bars, tmp_path)
    space = Space((Parameter("network.scaling", Choice(("mean",))),))
    job = type(job)(job.setup, job.out, job.config, job.clips, job.splits, space)
    scores = []
    run_trial(job, tmp_path / "trial", {"network.scaling": "mean"}, scores.append)
    assert [(score.accuracy, score.finished) for score in scores] == [(0.0, True)]
    assert "scaling mean is for colors" in scores[0].problem


@pytest.mark.skipif(importlib.util.find_spec("ray") is not None, reason="Ray is installed")
def test_without_ray_the_extra_is_named(tmp_path):
    done = run_command("edgehar", "sweep", "kth_lrcn", "--space", "no.toml", "--trials", 1, "--out", tmp_path / "out")
    assert_one_line_error(done, 2, "sweep needs ray and optuna; run: pip install 'edgehar[cluster]'")
    assert not (tmp_path / "out").exists()
