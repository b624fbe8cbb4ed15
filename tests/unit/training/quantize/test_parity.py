"""What int8 loses label by label, and the gates that are made of it."""

import numpy as np
import pytest

from edgehar.errors import ConversionError
from edgehar_training.quantize.options import ConvertOptions
from edgehar_training.quantize.parity import Comparison
from edgehar_training.scoring.clips import Result

TRUTH = np.array([0, 0, 0, 0, 1, 1, 2])
LABELS = ["a", "b", "c", "never"]


def result(answers, score=0.9):
    """Each clip has one window, answered with the given label."""
    return Result(
        TRUTH, [np.where(np.arange(4) == a, score, (1 - score) / 3)[None].astype(np.float32) for a in answers]
    )


def comparison(int8, score=0.9):
    return Comparison(result([0, 0, 0, 1, 1, 0, 2]), result(int8, score))


def test_drops_are_of_the_clips_of_each_label():
    drops = comparison([0, 0, 1, 1, 1, 1, 2]).class_drops(LABELS)
    assert drops == {"a": pytest.approx(25), "b": pytest.approx(-50), "c": 0}


def test_loss_that_others_hide_is_refused():
    shifted = comparison([0, 0, 1, 1, 1, 1, 2])
    assert shifted.drop_points == pytest.approx(0)
    ConvertOptions(max_class_drop=25.0, max_difference=None).check_losses(shifted, LABELS)
    with pytest.raises(ConversionError, match=r"loses 25\.0 points on the validation clips of 'a', more than 10"):
        ConvertOptions(max_class_drop=10.0, max_difference=None).check_losses(shifted, LABELS)


def test_large_change_of_a_score_is_refused():
    weaker = comparison([0, 0, 0, 1, 1, 0, 2], score=0.6)
    ConvertOptions(max_class_drop=0.0, max_difference=0.31).check_losses(weaker, LABELS)
    with pytest.raises(ConversionError, match=r"changes a score by 0\.300, more than 0\.2"):
        ConvertOptions(max_class_drop=0.0, max_difference=0.2).check_losses(weaker, LABELS)
