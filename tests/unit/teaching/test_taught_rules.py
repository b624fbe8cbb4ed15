"""Rules of a bundle that was taught: thresholds of new actions, and evidence given up for them."""

import pytest

from edgehar.events.smoothing import evidence_of
from edgehar.model.manifest import Decision
from edgehar.teaching.teach import PLAIN_SECONDS, taught_rules

EVIDENCE = Decision(
    thresholds={"fight": 0.3, "calm": 0.9}, background=["calm"], evidence_from=0.6, evidence_to=0.96,
    smoothing="ema", ema_seconds=4.0, hysteresis=0.1,
)  # fmt: skip


def test_new_actions_get_a_threshold_and_new_background_none():
    rules = taught_rules(Decision(thresholds={"fight": 0.8}, background=["calm"]), {"ordinary"}, ["hug", "ordinary"])
    assert rules.thresholds == {"fight": 0.8, "hug": 0.5}
    assert rules.background == ["calm", "ordinary"]


def test_with_new_actions_scores_are_compared_at_the_score_of_the_old_threshold():
    rules = taught_rules(EVIDENCE, set(), ["hug"])
    assert not rules.counts_evidence
    assert evidence_of(rules.thresholds["fight"], 0.6, 0.96) == pytest.approx(0.3, abs=0.01)
    assert (rules.thresholds["hug"], rules.thresholds["calm"], rules.threshold) == (0.5, 0.9, 0.0)
    assert (rules.ema_seconds, rules.hysteresis) == (PLAIN_SECONDS, 0.1)


def test_without_new_actions_evidence_stays():
    assert taught_rules(EVIDENCE, {"calm"}, []) == EVIDENCE
