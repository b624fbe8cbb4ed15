"""Figures made of scores."""

import numpy as np
import pytest

from edgehar_training.evaluation.stored import runs_in
from edgehar_training.scoring.clips import Result, figures
from edgehar_training.scoring.intervals import group_bootstrap

LABELS = ["calm", "fight"]


def result():
    windows = [
        np.array([[0.9, 0.1], [0.4, 0.6]], np.float32),
        np.array([[0.2, 0.8]], np.float32),
        np.array([[0.7, 0.3], [0.4, 0.6]], np.float32),
    ]
    return Result(np.array([0, 1, 1]), windows)


def test_a_clip_is_named_by_the_sum_of_its_windows():
    table = figures(result(), LABELS)
    assert table["top1"] == pytest.approx(2 / 3)
    assert table["window_top1"] == pytest.approx(3 / 5)
    assert table["confusion"] == [[1, 0], [1, 1]]
    assert table["per_class"]["fight"] == pytest.approx({"precision": 1.0, "recall": 0.5, "f1": 2 / 3, "clips": 2})
    clip_losses = [-(np.log(0.9) + np.log(0.4)) / 2, -np.log(0.8), -(np.log(0.3) + np.log(0.6)) / 2]
    assert table["loss"] == pytest.approx(np.mean(clip_losses), rel=1e-5)


def test_a_label_that_never_occurs_gives_zeros():
    alone = Result(np.array([0]), [np.array([[1.0, 0.0]], np.float32)])
    assert figures(alone, LABELS)["per_class"]["fight"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "clips": 0}


def test_the_interval_is_about_the_mean_and_wider_for_larger_groups():
    rng = np.random.default_rng(0)
    per_group = rng.random(20) < 0.7
    clips, groups = np.repeat(per_group, 10).astype(float), np.repeat(np.arange(20), 10).astype(str)
    low, high = group_bootstrap(clips, groups, seed=1)
    assert low < clips.mean() < high
    single_low, single_high = group_bootstrap(clips, [str(i) for i in range(200)], seed=1)
    assert high - low > 2 * (single_high - single_low)
    assert group_bootstrap(clips, groups, seed=1) == (low, high)


def test_an_interval_of_what_is_always_right_is_a_point():
    assert group_bootstrap([1.0] * 5, list("abcde")) == (1.0, 1.0)


def test_what_was_trained_on_is_no_run_of_an_experiment(tmp_path):
    for place in ("seed-0/fold-0", "seed-0/fold-0/qat", "seed-0/fold-0/finetune", "seed-0/fold-1"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "config.json").write_text("{}")
    assert runs_in(tmp_path) == [tmp_path / "seed-0/fold-0", tmp_path / "seed-0/fold-1"]
    assert runs_in(tmp_path / "seed-0/fold-0/qat") == [tmp_path / "seed-0/fold-0/qat"]
