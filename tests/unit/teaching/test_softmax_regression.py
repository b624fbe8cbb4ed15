"""The regression against scipy's minimizer, and its rules."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgehar.teaching.softmax_regression import Examples, fit, log_softmax, minimize


def examples(seed, count=40, features=5, classes=3):
    rng = np.random.default_rng(seed)
    weights = rng.uniform(0.5, 1.5, count)
    return Examples(
        rng.normal(size=(count, features)),
        rng.normal(size=(count, classes)),
        rng.integers(0, classes, count),
        weights / weights.sum(),
    )


def loss_of(data, table, l2):
    scores = log_softmax(data.offsets + data.features @ table[:-1] + table[-1])
    return -data.weights @ scores[np.arange(len(scores)), data.targets] + l2 / 2 * (table[:-1] ** 2).sum()


@settings(max_examples=20)
@given(st.integers(0, 2**31), st.sampled_from([0.001, 0.01, 0.1]))
def test_it_reaches_the_minimum_that_scipy_finds(seed, l2):
    optimize = pytest.importorskip("scipy.optimize", reason="scipy is the oracle (the train extra)")
    data = examples(seed)
    weights, biases = fit(data, l2=l2, free=np.ones(3, bool))
    found = loss_of(data, np.vstack([weights, biases]), l2)
    best = optimize.minimize(lambda flat: loss_of(data, flat.reshape(6, 3), l2), np.zeros(18), method="BFGS").fun
    assert found == pytest.approx(best, abs=1e-5)


def test_a_class_that_is_not_free_keeps_its_offset():
    weights, biases = fit(examples(0), l2=0.01, free=np.array([True, False, True]))
    assert not weights[:, 1].any()
    assert biases[1] == 0
    assert weights[:, 0].any()


def test_a_quadratic_is_minimized():
    scales = np.array([1.0, 10.0, 100.0])

    def quadratic(point):
        return float((scales * (point - 3) ** 2).sum()), 2 * scales * (point - 3)

    assert minimize(quadratic, np.zeros(3)) == pytest.approx([3, 3, 3], abs=1e-3)


def test_log_softmax_of_large_logits_is_finite():
    assert np.exp(log_softmax(np.array([[1000.0, 1000.0], [-1000.0, 0.0]]))) == pytest.approx(
        np.array([[0.5, 0.5], [0.0, 1.0]])
    )
