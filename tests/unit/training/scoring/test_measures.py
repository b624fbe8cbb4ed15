"""Measures and intervals, with scikit-learn and SciPy as the oracles."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgehar_training.scoring import intervals, measures

metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is the oracle")


@st.composite
def answers(draw, coarse=False):
    """Truth and scores of some rows; `coarse` scores are often equal."""
    classes, rows = draw(st.integers(2, 6)), draw(st.integers(1, 60))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    truth = rng.integers(classes, size=rows)
    scores = rng.random((rows, classes)) + 0.5 * np.eye(classes)[truth]
    scores /= scores.sum(axis=1, keepdims=True)
    return truth, np.round(scores, 1) if coarse else scores


@given(answers())
def test_averages_and_the_confusion_matrix_are_those_of_scikit_learn(rows):
    truth, scores = rows
    predicted, classes = scores.argmax(axis=1), scores.shape[1]
    confusion = measures.confusion_matrix(truth, predicted, classes)
    assert (confusion == metrics.confusion_matrix(truth, predicted, labels=range(classes))).all()
    for kind, found in measures.averages(confusion).items():
        told = metrics.precision_recall_fscore_support(truth, predicted, average=kind, zero_division=0)[:3]
        assert tuple(found.values()) == pytest.approx(told)
    told = metrics.precision_recall_fscore_support(truth, predicted, labels=range(classes), zero_division=0)
    assert np.allclose(list(measures.class_measures(confusion).values()), told)
    assert measures.macro_f1(truth, predicted, classes) == pytest.approx(
        metrics.f1_score(truth, predicted, average="macro", zero_division=0)
    )
    recalls = [np.mean(predicted[truth == c] == c) for c in np.unique(truth)]
    assert measures.balanced_accuracy(confusion) == pytest.approx(np.mean(recalls))


@given(answers(), st.integers(1, 5))
def test_top_k_is_that_of_scikit_learn(rows, k):
    truth, scores = rows
    classes = scores.shape[1]
    if classes > 2 and k < classes:
        told = metrics.top_k_accuracy_score(truth, scores, k=k, labels=range(classes))
        assert measures.top_k(truth, scores, k) == pytest.approx(told)
    assert measures.top_k(truth, scores, classes) == 1.0
    assert measures.top_k(truth, np.round(scores, 1), 1) == np.mean(np.round(scores, 1).argmax(axis=1) == truth)


@given(answers(coarse=True) | answers())
def test_curves_and_areas_are_those_of_scikit_learn(rows):
    truth, scores = rows
    positive, score = truth == 0, scores[:, 0]
    if positive.all() or not positive.any():
        assert measures.roc_auc(positive, score) is None
        assert (measures.average_precision(positive, score) is None) == (not positive.any())
        return
    false, true, _ = metrics.roc_curve(positive, score, drop_intermediate=False)
    assert np.allclose(measures.roc_curve(positive, score), [false, true])
    assert measures.roc_auc(positive, score) == pytest.approx(metrics.roc_auc_score(positive, score))
    precision, recall, _ = metrics.precision_recall_curve(positive, score)
    assert np.allclose(measures.precision_recall_curve(positive, score), [recall[::-1], precision[::-1]])
    told = metrics.average_precision_score(positive, score)
    assert measures.average_precision(positive, score) == pytest.approx(told)


@given(answers())
def test_losses_are_those_of_scikit_learn(rows):
    truth, scores = rows
    labels = range(scores.shape[1])
    told = metrics.log_loss(truth, scores, labels=labels)
    assert measures.cross_entropy(truth, scores) == pytest.approx(told, abs=1e-4)
    assert measures.brier(truth, scores) == pytest.approx(
        sum(np.mean((scores[:, c] - (truth == c)) ** 2) for c in labels)
    )


@given(answers(), st.integers(1, 20))
def test_the_calibration_error_is_the_weighted_gap_of_the_bins(rows, bins):
    truth, scores = rows
    table = measures.reliability(truth, scores, bins)
    assert sum(row["count"] for row in table) == len(truth)
    assert all(row["low"] < row["confidence"] <= row["high"] + 1e-12 for row in table)
    gap = sum(row["count"] * abs(row["accuracy"] - row["confidence"]) for row in table) / len(truth)
    assert measures.calibration_error(truth, scores, bins) == pytest.approx(gap)


def test_a_bin_holds_its_upper_edge():
    scores = np.array([[0.6, 0.4], [0.61, 0.39], [1.0, 0.0]])
    table = measures.reliability(np.zeros(3, int), scores, bins=5)
    assert [(row["low"], row["count"]) for row in table] == [(0.4, 1), (0.6, 1), (0.8, 1)]
    assert measures.calibration_error(np.zeros(3, int), scores, bins=5) == pytest.approx((0.4 + 0.39) / 3)


def test_confused_pairs_are_the_wrong_cells_by_count():
    confusion = np.array([[5, 2, 0], [3, 1, 0], [0, 0, 4]])
    pairs = measures.confused_pairs(confusion, ["a", "b", "c"])
    assert [(p["label"], p["predicted"], p["count"], p["share"]) for p in pairs] == [
        ("b", "a", 3, 0.75),
        ("a", "b", 2, pytest.approx(2 / 7)),
    ]
    assert measures.confused_pairs(np.diag([1, 2]), ["a", "b"]) == []


@given(st.integers(0, 300), st.integers(0, 300))
def test_mcnemar_is_the_exact_binomial_test(first, second):
    stats = pytest.importorskip("scipy.stats")
    told = stats.binomtest(first, first + second, 0.5).pvalue if first + second else 1.0
    assert intervals.mcnemar(first, second) == pytest.approx(told)


@settings(max_examples=20)
@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=40))
def test_draws_hold_whole_groups(rows):
    groups = [str(group) for group, _ in rows]
    sizes = {group: groups.count(group) for group in groups}
    for drawn in intervals.group_draws(groups, 5, seed=3):
        counts = np.bincount(drawn, minlength=len(groups))
        for group in sizes:
            assert len({counts[i] for i in range(len(groups)) if groups[i] == group}) == 1
        assert sum(counts[groups.index(group)] for group in sizes) == len(sizes)


def test_the_interval_of_any_statistic_is_that_of_the_mean_where_it_is_the_mean():
    rng = np.random.default_rng(0)
    right, groups = (rng.random(200) < 0.7).astype(float), rng.integers(20, size=200).astype(str).tolist()
    low, high = intervals.interval(lambda rows: right[rows].mean(), groups)
    assert (low, high) == pytest.approx(intervals.group_bootstrap(right, groups))
    assert low < right.mean() < high


def test_a_paired_difference_is_found_and_none_is_not():
    rng = np.random.default_rng(1)
    first = (rng.random(300) < 0.6).astype(float)
    groups = [str(i // 10) for i in range(300)]
    better = np.maximum(first, rng.random(300) < 0.3)
    found = intervals.paired_difference(first, better, groups)
    assert found.mean == pytest.approx((better - first).mean())
    assert found.interval_95[0] > 0
    assert found.p < 0.01
    worse = intervals.paired_difference(better, first, groups)
    assert worse.mean == -found.mean
    assert worse.p == pytest.approx(found.p, abs=0.005)
    assert intervals.paired_difference(first, first, groups).p == 1.0


def test_p_values_of_equal_networks_are_about_even():
    """Under no difference, p under 0.05 comes about once in twenty."""
    rng, low = np.random.default_rng(2), 0
    groups = [str(i // 4) for i in range(160)]
    for _ in range(100):
        first, second = (rng.random((2, 160)) < 0.7).astype(float)
        low += intervals.paired_difference(first, second, groups, resamples=300).p < 0.05
    assert 0 <= low <= 14
