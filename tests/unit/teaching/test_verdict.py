"""When a new head is refused: no better on held-out clips, or louder in ordinary time."""

import numpy as np
import pytest

from edgehar.model.manifest import Decision
from edgehar.teaching.head import Correction, everywhere
from edgehar.teaching.lesson import Method
from edgehar.teaching.teach import _judge_ordinary
from edgehar.teaching.verdict import LabelResult, OrdinaryResult, Verdict


@pytest.mark.parametrize(
    ("right", "ordinary", "words"),
    [
        ((5, 8), OrdinaryResult(), None),
        ((5, 8), OrdinaryResult(50, 3, 3), None),
        ((5, 8), OrdinaryResult(50, 3, 0), None),
        ((5, 5), OrdinaryResult(), "50% of held-out clips right, the old one 50%"),
        ((5, 4), OrdinaryResult(50, 9, 0), "the old one 50%"),
        ((10, 10), OrdinaryResult(), "already gets all held-out clips right; add clips"),
        ((10, 9), OrdinaryResult(), "90% of held-out clips right, the old one 100%"),
        ((5, 8), OrdinaryResult(50, 3, 4), "4 of 50 random moments as an action, the old one 3"),
    ],
)
def test_what_is_refused(right, ordinary, words):
    verdict = Verdict({"fall": LabelResult(10, *right)}, "5 folds", Method(0.001), ordinary=ordinary)
    if words is None:
        assert verdict.problem is None
    else:
        assert words in verdict.problem


def test_random_moments_are_counted_by_the_rules_of_the_model():
    """Three moments: none, near the threshold, and a new label that wins."""
    labels, decision = ["fight", "none", "fall"], Decision(threshold=0.7, background=["none"])
    old = np.array([[0.0, 5.0], [1.0, 0.5], [0.0, 4.0]])
    weights = np.zeros((3, 3), np.float32)
    weights[2, 2] = 12.0
    correction = Correction(weights, np.zeros(3, np.float32), everywhere(3))
    moments = [(row[None], np.eye(3, dtype=np.float32)[[number]]) for number, row in enumerate(old)]
    assert _judge_ordinary(moments, correction, labels, decision) == OrdinaryResult(3, 0, 1)
    loose = Decision(threshold=0.2, background=["none"])
    assert _judge_ordinary(moments, correction, labels, loose).before == 1
