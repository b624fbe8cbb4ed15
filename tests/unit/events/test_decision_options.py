"""Rules of decision: what the configuration says over what the model says, and both in words."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.predictions import LABELS, decide, fights, make_prediction, option_sets, streams

from edgehar.errors import ConfigError
from edgehar.events.decider import Decider
from edgehar.events.options import DecisionOptions, describe, resolve, thresholds_as_scores
from edgehar.model.manifest import Decision

QUIET = Decision(
    threshold=0.75, thresholds={"fight": 0.75}, background=["idle"], smoothing="ema", ema_seconds=2.0, refractory_s=8.0
)


def test_options_and_the_models_rules_have_the_same_keys_and_bounds():
    own = {field.name: field.type for field in msgspec.structs.fields(Decision)}
    options = {field.name: field.type for field in msgspec.structs.fields(DecisionOptions)}
    assert set(own) - set(options) == {"background"}
    for name in options:
        kinds = [msgspec.inspect.type_info(given[name]) for given in (own, options)]
        assert bare(kinds[0]) == bare(kinds[1]), name


def bare(kind):
    """A type without description and None."""
    while isinstance(kind, msgspec.inspect.Metadata):
        kind = kind.type
    if isinstance(kind, msgspec.inspect.UnionType):
        return bare(next(one for one in kind.types if not isinstance(one, msgspec.inspect.NoneType)))
    return kind


def test_every_option_overrides_its_rule_and_none_leaves_it():
    assert resolve(DecisionOptions(), QUIET) == QUIET
    changed = resolve(DecisionOptions(ema_seconds=3.0, thresholds={"hug": 0.5}), QUIET)
    assert changed == msgspec.structs.replace(QUIET, ema_seconds=3.0, thresholds={**QUIET.thresholds, "hug": 0.5})
    assert resolve(DecisionOptions(refractory_s=0.0), QUIET).refractory_s == 0
    # One threshold for all replaces those of the model; single ones of the options hold.
    alone = resolve(DecisionOptions(threshold=0.3, thresholds={"hug": 0.5}), QUIET)
    assert (alone.threshold, alone.thresholds) == (0.3, {"hug": 0.5})


def test_an_option_that_contradicts_the_model_is_an_error():
    with pytest.raises(ConfigError, match="k is 4, it must not be above n, which is 2; the model sets"):
        resolve(DecisionOptions(k=4), Decision(k=1, n=2))


@given(streams(), option_sets())
def test_rules_decide_alike_wherever_they_stand(stream, options):
    """In the bundle or in the configuration: the same answers and events."""
    ids = iter(range(10**6))
    given = resolve(options, Decision(threshold=0.5, background=["idle"]))

    def story(*how):
        decider = Decider(LABELS, *how, new_id=lambda: str(next(ids)), utc=lambda: "")
        labels, events = decide(decider, stream)
        return labels, [(event.phase, event.label, event.start_s, event.end_s, event.peak_score) for event in events]

    assert story(options, Decision(threshold=0.5, background=["idle"])) == story(DecisionOptions(), given)


def test_a_model_that_is_quiet_by_default_needs_no_option():
    burst = fights(0.1, 0.95, 0.95, 0.1, 0.1, every_s=0.5)
    lasting = fights(*[0.95] * 8, every_s=0.5)
    for stream, starts in ((burst, 0), (lasting, 1)):
        decider = Decider(LABELS, DecisionOptions(), msgspec.structs.replace(QUIET, start_from="quiet"))
        _, events = decide(decider, stream)
        assert sum(event.phase == "start" for event in events) == starts


def test_starting_quiet_the_first_windows_raise_nothing():
    loud = fights(0.9, 0.9, 0.9, 0.9, 0.9)
    first = {}
    for start in ("score", "quiet"):
        rules = Decision(threshold=0.6, background=["idle"], smoothing="ema", ema_seconds=2.0, start_from=start)
        labels, _ = decide(Decider(LABELS, DecisionOptions(), rules), loud)
        first[start] = labels.index("fight")
    assert first == {"score": 0, "quiet": 3}


def test_evidence_needs_time_and_leaves_the_rest_to_the_background():
    rules = Decision(threshold=0.5, background=["idle"], smoothing="cusum", cusum_reference=0.5, cusum_seconds=1.0)
    decider = Decider(LABELS, DecisionOptions(), rules)
    evidence = []
    for end_s, scores in fights(0.9, 0.9, 0.9, 0.1, 0.1):
        decided, _ = decider.update(make_prediction(scores, end_s))
        evidence.append(decided.scores)
        assert decided.scores["idle"] == pytest.approx(1 - decided.scores["fight"])
        assert list(decided.scores) == list(LABELS)
    assert [scores["fight"] for scores in evidence] == pytest.approx([0.0, 0.4, 0.8, 0.4, 0.0])


def test_scores_are_compared_as_evidence_and_the_background_has_the_rest():
    rules = Decision(threshold=0.5, background=["idle"], evidence_from=0.5, evidence_to=0.9)
    decider, found = Decider(LABELS, DecisionOptions(), rules), []
    for end_s, scores in fights(0.2, 0.5, 0.75, 0.9, 0.99):
        decided, _ = decider.update(make_prediction(scores, end_s))
        found.append((decided.label, decided.score))
        assert decided.scores == scores
    # From odds of 1 to odds of 9, odds of 3 are half of the way.
    assert [label for label, _ in found] == ["idle", "idle", "fight", "fight", "fight"]
    assert [score for _, score in found] == pytest.approx([1.0, 1.0, 0.5, 1.0, 1.0])


def test_predictions_carry_averages_of_scores_where_evidence_is_averaged():
    common = {"background": ["idle"], "smoothing": "ema", "ema_seconds": 2.0}
    stream = fights(0.2, 0.9, 0.6, 0.95)
    told = []
    for rules in (Decision(**common), Decision(**common, evidence_from=0.5, evidence_to=0.9)):
        decider = Decider(LABELS, DecisionOptions(), rules)
        decided = [decider.update(make_prediction(scores, end_s)) for end_s, scores in stream]
        told.append([prediction.scores for prediction, _ in decided])
    assert told[0] == told[1]


def test_the_peak_of_an_event_is_of_evidence():
    rules = Decision(thresholds={"fight": 0.25}, background=["idle"], evidence_from=0.5, evidence_to=0.9)
    _, events = decide(Decider(LABELS, DecisionOptions(), rules), fights(0.75, 0.9, 0.75, 0.1))
    assert [event.peak_score for event in events] == pytest.approx([0.5, 1.0])


def test_an_action_with_enough_evidence_comes_before_the_background():
    rules = Decision(thresholds={"fight": 0.25}, background=["idle"], evidence_from=0.5, evidence_to=0.9)
    assert decide(Decider(LABELS, DecisionOptions(), rules), fights(0.6, 0.65, 0.75))[0] == ["idle", "fight", "fight"]
    assert decide(Decider(LABELS, DecisionOptions(threshold=0.4), rules), fights(0.65, 0.75))[0] == ["idle", "fight"]


def test_the_average_of_evidence_rises_sooner_from_quiet_than_that_of_scores():
    common = {"threshold": 0.9, "background": ["idle"], "smoothing": "ema", "ema_seconds": 2.0}
    plain = Decision(**common)
    evidence = Decision(**common | {"threshold": 0.5}, evidence_from=0.5, evidence_to=0.9)
    scores = fights(*[0.1] * 5, *[0.95] * 20, every_s=0.5)
    first = [decide(Decider(LABELS, DecisionOptions(), rules), scores)[1][0].start_s for rules in (plain, evidence)]
    assert first[0] > first[1] + 3.0


@pytest.mark.parametrize(("low", "high"), [(0.5, 1.0), (0.0, 0.9), (0.6, 0.4), (0.5, 0.5)])
def test_evidence_needs_two_limits_in_order(low, high):
    with pytest.raises(ConfigError, match=r"evidence_from is .* evidence_to is .*; they must be between 0 and 1"):
        resolve(DecisionOptions(evidence_from=low, evidence_to=high), Decision())


@pytest.mark.parametrize("smoothing", ["cusum", "ema"])
def test_no_evidence_is_no_event_even_at_a_threshold_of_none(smoothing):
    rules = Decision(smoothing=smoothing, start_from="quiet")
    labels, events = decide(Decider(LABELS, DecisionOptions(), rules), fights(0.4, 0.4))
    assert labels[0] == "unknown"
    assert [event.start_s for event in events if event.phase == "start"] == ([1.0] if smoothing == "ema" else [])


def test_the_baseline_outlives_a_reconnection_and_not_a_step_back():
    rules = Decision(threshold=0.5, background=["idle"], baseline_share=1.0, baseline_most=0.5, baseline_warm_up_s=10.0)
    decider = Decider(LABELS, DecisionOptions(), rules)
    busy = fights(*[0.6] * 20)
    assert "fight" in decide(decider, busy)[0]
    assert "fight" not in decide(decider, [(second + 30.0, scores) for second, scores in busy])[0]
    assert "fight" in decide(decider, busy)[0]


@given(option_sets())
def test_the_words_of_rules_are_their_settings(options):
    rules = resolve(options, Decision())
    words = dict(word.split("=") for word in describe(rules).split(" "))
    for name, value in words.items():
        own = rules.thresholds[name.partition(".")[2]] if "." in name else getattr(rules, name)
        assert value == (f"{own:g}" if isinstance(own, float) else str(own))
    assert ("ema_seconds" in words) == (rules.smoothing == "ema")
    assert ("baseline_seconds" in words) <= (rules.baseline_share > 0)


@given(st.floats(0, 1))
def test_plain_rules_are_their_threshold(threshold):
    assert describe(Decision(threshold=threshold)) == f"threshold={threshold:g}"


def test_a_threshold_of_evidence_is_told_as_a_score():
    rules = Decision(thresholds={"fight": 0.5, "idle": 0.7}, background=["idle"], evidence_from=0.5, evidence_to=0.9)
    told = thresholds_as_scores(rules, LABELS)
    assert told == {"idle": 0.7, "fight": pytest.approx(0.75), "hug": 0.0}
    assert thresholds_as_scores(Decision(threshold=0.4), ["fight"]) == {"fight": 0.4}


def test_every_setting_of_a_rule_that_is_on_is_told():
    assert describe(Decision(smoothing="k-of-n", background=["idle"])) == "threshold=0 smoothing=k-of-n k=3 n=5"
    rules = Decision(evidence_from=0.63, evidence_to=0.96, smoothing="ema", hysteresis=0.1)
    words = "evidence_from=0.63 evidence_to=0.96 smoothing=ema start_from=score ema_seconds=1 hysteresis=0.1"
    assert describe(rules) == f"threshold=0 {words}"
