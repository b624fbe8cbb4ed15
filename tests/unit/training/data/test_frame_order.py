"""Controls of order and motion: the same in every evaluation, and nothing else changed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgehar_training.data.frame_order import ORDERED, FrameOrder
from edgehar_training.scoring.clips import score_features

places = {"window": st.integers(1, 40), "start": st.integers(0, 60), "seed": st.integers(0, 99)}


@given(**places)
def test_ordered_frames_stay_and_draw_nothing(window, start, seed):
    rng = np.random.default_rng(seed)
    assert ORDERED.training(window, rng).tolist() == ORDERED.evaluation(window, start).tolist() == [*range(window)]
    assert rng.integers(1 << 40) == np.random.default_rng(seed).integers(1 << 40)


@given(**places)
def test_shuffled_windows_have_the_same_frames(window, start, seed):
    order = FrameOrder("shuffled", seed)
    for chosen in (order.training(window, np.random.default_rng(start)), order.evaluation(window, start)):
        assert sorted(chosen.tolist()) == [*range(window)]


@given(**places)
def test_a_single_frame_is_in_all_places(window, start, seed):
    order = FrameOrder("single", seed)
    (drawn,) = set(order.training(window, np.random.default_rng(start)).tolist())
    assert 0 <= drawn < window
    assert order.evaluation(window, start).tolist() == [window // 2] * window


def test_evaluation_repeats_and_its_windows_differ():
    orders = [FrameOrder("shuffled", 3).evaluation(20, start).tolist() for start in range(5)]
    assert orders == [FrameOrder("shuffled", 3).evaluation(20, start).tolist() for start in range(5)]
    assert len({tuple(order) for order in orders}) == 5
    assert FrameOrder("shuffled", 4).evaluation(20, 0).tolist() != orders[0]


def test_training_draws_every_frame_and_other_orders():
    rng = np.random.default_rng(0)
    assert {int(FrameOrder("single").training(5, rng)[0]) for _ in range(100)} == {*range(5)}
    assert len({tuple(FrameOrder("shuffled").training(20, rng)) for _ in range(10)}) == 10


class Places:
    """A head that tells which frames stood where."""

    def predict_on_batch(self, windows):
        return windows[..., 0]


@pytest.mark.parametrize("kind", ["ordered", "shuffled", "single"])
def test_windows_are_scored_in_that_order(kind):
    streams = [np.arange(9, dtype=np.float32)[:, None], np.arange(4, dtype=np.float32)[:, None]]
    order = FrameOrder(kind, 1)
    scores = score_features(Places(), streams, 4, 2, order)
    assert [len(of_clip) for of_clip in scores] == [3, 1]
    for of_clip in scores:
        for number, window in enumerate(of_clip):
            assert window.tolist() == (2 * number + order.evaluation(4, 2 * number)).tolist()
