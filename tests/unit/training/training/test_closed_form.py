"""Closed-form weights against textbook solutions, on made-up windows."""

import numpy as np
import pytest

pytest.importorskip("scipy", reason="needs the train extra")

from edgehar_training.training.closed_form import ClosedForm, Windows, solve, window_weights


def made(rng, classes=3, groups=12, size=20, each=10):
    """Windows of groups that differ from each other more than the classes do."""
    directions = rng.normal(size=(classes, size))
    features, truth, numbers = [], [], []
    for group in range(groups):
        place = rng.normal(scale=1.0, size=size)
        for label in range(classes):
            features.append(place + 2.5 * directions[label] + rng.normal(scale=0.5, size=(each, size)))
            truth += [label] * each
            numbers += [group] * each
    return Windows(np.concatenate(features).astype(np.float32), np.array(truth), np.array(numbers))


def probabilities(features, kernel, bias):
    logits = features @ kernel + bias
    logits -= logits.max(axis=1, keepdims=True)
    scores = np.exp(logits)
    return scores / scores.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("classes", [2, 3])
def test_it_tells_classes_of_unseen_groups_apart(classes):
    windows = made(np.random.default_rng(0), classes)
    seen = windows.groups < 8
    train = Windows(windows.features[seen], windows.truth[seen], windows.groups[seen])
    kernel, bias = solve(train, [np.arange(8), np.arange(8, 20)], classes, ClosedForm(8, 0.1))
    scores = probabilities(windows.features[~seen], kernel, bias)
    assert (scores.argmax(axis=1) == windows.truth[~seen]).mean() > 0.9
    assert kernel.dtype == bias.dtype == np.float32


def test_columns_of_no_part_get_no_weight():
    windows = made(np.random.default_rng(1), 2)
    kernel, _ = solve(windows, [np.arange(5)], 2, ClosedForm(5, 1.0))
    assert (kernel[5:] == 0).all()
    assert (kernel[:5] != 0).any()


def test_with_all_components_of_one_part_it_is_weighted_ridge_regression():
    rng = np.random.default_rng(2)
    windows = made(rng, 2, size=6)
    kernel, bias = solve(windows, [np.arange(6)], 2, ClosedForm(6, 0.5))
    # The same in other words: standardize, whiten by all eigenvectors, solve the normal equations with an offset.
    x = windows.features.astype(np.float64)
    x = (x - x.mean(axis=0)) / (x.std(axis=0) + 1e-3)
    values, basis = np.linalg.eigh(x.T @ x / len(x))
    wide = np.c_[x @ basis / np.sqrt(values), np.ones(len(x))]
    weights = np.diag(window_weights(windows.truth, windows.groups))
    penalty = 0.5 * np.diag([1.0] * 6 + [0.0])
    target = np.where(windows.truth == 1, 1.0, -1.0)
    expected = wide @ np.linalg.solve(wide.T @ weights @ wide + penalty, wide.T @ weights @ target)
    logits = windows.features @ kernel + bias
    found = logits[:, 1] - logits[:, 0]
    assert np.corrcoef(found, expected)[0, 1] == pytest.approx(1, abs=1e-6)


def test_scores_of_unseen_groups_are_as_often_right_as_they_say():
    rng = np.random.default_rng(3)
    windows = made(rng, 2, groups=60, each=4)
    # A label that is wrong one time in five: nothing can be surer than 0.8.
    truth = np.where(rng.random(len(windows.truth)) < 0.2, 1 - windows.truth, windows.truth)
    seen = windows.groups < 40
    train = Windows(windows.features[seen], truth[seen], windows.groups[seen])
    kernel, bias = solve(train, [np.arange(20)], 2, ClosedForm(20, 1.0))
    sure = probabilities(windows.features[~seen], kernel, bias).max(axis=1).mean()
    assert 0.65 < sure < 0.85


def test_windows_of_a_group_count_by_the_root_of_their_number_and_classes_alike():
    weights = window_weights(np.array([0, 0, 0, 0, 0, 1]), np.array([0, 0, 0, 0, 1, 1]))
    assert weights[:4].sum() == pytest.approx(2 * weights[4])
    assert weights[:5].sum() == pytest.approx(1)
    assert weights[5] == pytest.approx(1)


def test_a_clip_that_counts_less_weighs_less_within_its_class():
    truth, groups = np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1])
    weights = window_weights(truth, groups, np.array([1.0, 1.0, 0.25, 0.5]))
    assert weights[:2].sum() == pytest.approx(4 * np.sqrt(2) * weights[2])
    assert weights[:3].sum() == pytest.approx(1)
    assert weights[3] == pytest.approx(1)


def test_the_same_windows_give_the_same_weights():
    windows = made(np.random.default_rng(4), 2)
    first, second = (solve(windows, [np.arange(20)], 2, ClosedForm(8, 1.0, seed=3)) for _ in range(2))
    np.testing.assert_array_equal(first[0], second[0])


def test_a_given_slope_is_the_only_difference_to_a_fitted_one():
    windows = made(np.random.default_rng(5), 2)
    parts = [np.arange(8), np.arange(8, 20)]
    one, three, fitted = (solve(windows, parts, 2, ClosedForm(8, 1.0, slope=slope)) for slope in (1.0, 3.0, None))
    # The outputs of both parts have a deviation of 1 each, whatever the groups.
    for part in parts:
        outputs = windows.features[:, part] @ one[0][part]
        np.testing.assert_allclose(len(parts) * outputs.std(axis=0), 1, rtol=1e-4)
    for plain, steep in zip(one, three, strict=True):
        np.testing.assert_allclose(steep, 3 * plain, rtol=1e-5)
    factor = fitted[0][0, 0] / one[0][0, 0]
    assert factor > 0
    np.testing.assert_allclose(fitted[0], factor * one[0], rtol=1e-4, atol=1e-7)
