"""Decisions by example: which label, and when an event starts, goes on and ends."""

import itertools
import uuid
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest
from support.predictions import LABELS, decide, fights, make_decider, make_prediction, scores_of, story

from edgehar.errors import ConfigError
from edgehar.events.decider import TOLERANCE_S, Decider
from edgehar.events.options import DecisionOptions
from edgehar.records import UNKNOWN
from edgehar.sinks.text import TextSink


def test_a_score_under_the_threshold_is_unknown_and_keeps_its_scores():
    scores = {"idle": 0.3, "fight": 0.4, "hug": 0.3}
    decided, events = make_decider().update(make_prediction(scores, 1.0))
    assert (decided.label, decided.score, decided.scores) == (UNKNOWN, 0.4, scores)
    assert decided.raw.shape == (3,)
    assert events == []


def test_one_event_spans_a_run_and_keeps_its_peak():
    _, events = decide(make_decider(), fights(0.1, 0.6, 0.9, 0.7, 0.1))
    start, end = events
    assert story(events) == [("start", "fight", 1.0, None), ("end", "fight", 1.0, 3.0)]
    assert (start.id, start.revision, end.id, end.revision) == ("id 0", 0, "id 0", 1)
    assert (start.time, end.time) == ("time 1.0", "time 4.0")
    assert (start.peak_score, end.peak_score) == (0.6, 0.9)


def test_an_id_is_a_time_ordered_uuid_unless_told_otherwise():
    _, events = decide(Decider(LABELS, DecisionOptions()), fights(0.9, 0.0, 0.9))
    texts = [event.id for event in events if event.phase == "start"]
    ids = [uuid.UUID(text) for text in texts]
    assert [str(known) for known in ids] == texts
    assert {(known.version, known.variant) for known in ids} == {(7, uuid.RFC_4122)}
    assert len(set(ids)) == len(ids) == 3
    assert [known.int >> 80 for known in ids] == sorted(known.int >> 80 for known in ids)


def test_an_id_is_the_time_in_milliseconds_and_random_bits(monkeypatch):
    monkeypatch.setattr("time.time_ns", lambda: 1_645_557_742_001_999_999)
    monkeypatch.setattr("os.urandom", lambda count: b"\xff" * count)
    _, (start, _) = decide(Decider(LABELS, DecisionOptions()), fights(0.9))
    # A millisecond after the example in RFC 9562, appendix A.6.
    assert start.id == "017f22e2-79b1-7fff-bfff-ffffffffffff"


def test_an_event_open_at_the_end_is_ended():
    _, events = decide(make_decider(), fights(0.6))
    assert [event.phase for event in events] == ["start", "end"]
    assert events[1].time == "the end"


def test_the_models_threshold_holds_until_another_is_given():
    for decider, label in (
        (make_decider(0.7), UNKNOWN),
        (make_decider(0.7, threshold=0.6), "fight"),
        (make_decider(0.5, thresholds={"fight": 0.7}), UNKNOWN),
        (make_decider(0.9, thresholds={"fight": 0.6}), "fight"),
    ):
        assert decide(decider, fights(0.65))[0] == [label]


def test_a_class_over_its_threshold_wins_against_a_higher_score_that_is_under_its_own():
    decider = make_decider(thresholds={"fight": 0.4, "idle": 0.6})
    decided, events = decider.update(make_prediction({"idle": 0.55, "fight": 0.45, "hug": 0.0}, 1.0))
    assert (decided.label, decided.score) == ("fight", 0.45)
    assert events[0].peak_score == 0.45


def test_hysteresis_keeps_an_action_that_dips():
    scores = fights(0.7, 0.55, 0.6, 0.49, 0.55)
    assert decide(make_decider(0.6, hysteresis=0.1), scores)[0] == ["fight"] * 3 + [UNKNOWN] * 2
    assert decide(make_decider(0.6), scores)[0] == ["fight", UNKNOWN, "fight", UNKNOWN, UNKNOWN]


def test_hysteresis_also_holds_against_a_rival():
    scores = [(0.0, {"idle": 0.3, "fight": 0.7, "hug": 0.0}), (1.0, {"idle": 0.54, "fight": 0.46, "hug": 0.0}),
              (2.0, {"idle": 0.58, "fight": 0.42, "hug": 0.0})]  # fmt: skip
    assert decide(make_decider(0.0, hysteresis=0.1), scores)[0] == ["fight", "fight", "idle"]
    assert decide(make_decider(0.0), scores)[0] == ["fight", "idle", "idle"]


def test_a_short_action_is_held_for_its_least_duration():
    _, events = decide(make_decider(min_duration_s=2.5), fights(0.9, 0, 0, 0, 0))
    assert story(events) == [("start", "fight", 0.0, None), ("end", "fight", 0.0, 2.5)]
    assert events[1].time == "time 3.0"


def test_an_action_that_comes_back_while_its_event_is_held_goes_on():
    _, events = decide(make_decider(min_duration_s=2.5), fights(0.9, 0, 0.9, 0.9, 0))
    assert story(events) == [("start", "fight", 0.0, None), ("end", "fight", 0.0, 3.0)]


def test_another_action_waits_while_an_event_is_held():
    scores = zip(itertools.count(), scores_of([("fight", 0.9), ("hug", 0.9), ("hug", 0.9), ("hug", 0.9)]))
    labels, events = decide(make_decider(min_duration_s=2), scores)
    assert labels == ["fight", "hug", "hug", "hug"]
    assert story(events) == [
        ("start", "fight", 0, None), ("end", "fight", 0, 2),
        ("start", "hug", 2, None), ("end", "hug", 2, 3),
    ]  # fmt: skip


def test_an_interrupted_event_ends_where_the_stream_did():
    _, events = decide(make_decider(min_duration_s=60), fights(0.9, 0))
    assert story(events)[-1] == ("end", "fight", 0.0, 1.0)


def test_the_same_action_rests_and_then_starts_if_it_still_goes_on():
    _, events = decide(make_decider(refractory_s=3), fights(0.9, 0, 0.9, 0.9, 0.9), finish=False)
    assert [(event.phase, event.start_s) for event in events] == [("start", 0), ("end", 0), ("start", 3)]


def test_another_action_need_not_rest():
    scores = zip(itertools.count(), scores_of([("fight", 0.9), ("hug", 0.9), ("fight", 0.9)]))
    _, events = decide(make_decider(refractory_s=30), scores)
    assert [(event.phase, event.label) for event in events] == [
        (phase, label) for label in ("fight", "hug") for phase in ("start", "end")
    ]


def test_an_event_that_goes_on_is_told_again():
    scores = fights(*[0.6, 0.9, 0.7, 0.7, 0.7, 0.7, 0.7, 0], every_s=0.4)
    _, events = decide(make_decider(update_every_s=1.2), scores)
    assert [(event.phase, event.revision, event.time) for event in events] == [
        ("start", 0, "time 0.0"), ("update", 1, f"time {3 * 0.4}"), ("update", 2, f"time {6 * 0.4}"),
        ("end", 3, f"time {7 * 0.4}"),
    ]  # fmt: skip
    assert [event.peak_score for event in events] == [0.6, 0.9, 0.9, 0.9]
    assert [event.end_s for event in events[:3]] == [None] * 3


def test_every_phase_has_a_line_for_people():
    lines = []
    # The clock is far from the times of the clip, so it is not taken for a live source.
    sink = TextSink(SimpleNamespace(write=lines.append), clock=lambda: 1e6)
    for event in decide(make_decider(update_every_s=1), fights(0.9, 0.9, 0))[1]:
        sink.write(event)
    assert [line.decode().rpartition("  ")[0] for line in lines] == [
        "event: fight started at 0.00 s, peak 0.90",
        "event: fight continues since 0.00 s, peak 0.90",
        "event: fight ended at 1.00 s, peak 0.90",
    ]


def test_the_moving_average_decides_and_is_told():
    decider = make_decider(smoothing="ema", ema_seconds=1.0)
    labels, events = decide(decider, fights(0.0, 0.9, 0.9, 0.9), finish=False)
    assert labels == ["idle", "fight", "fight", "fight"]
    decider = make_decider(smoothing="ema", ema_seconds=2.0)
    labels, events = decide(decider, fights(0.0, 0.9, 0.9, 0.9), finish=False)
    assert labels == ["idle", UNKNOWN, "fight", "fight"]
    decided, _ = decider.update(make_prediction({"idle": 0.1, "fight": 0.9, "hug": 0.0}, 4.0))
    assert decided.score == decided.scores["fight"] == pytest.approx(0.9 * (1 - np.exp(-2)))
    assert events[0].peak_score == pytest.approx(0.9 * (1 - np.exp(-1)))


@pytest.mark.parametrize(("background", "share"), [(("idle",), 1.0), (("idle", "hug"), 0.5)])
def test_an_average_from_quiet_starts_with_the_background_alone(background, share):
    decider = make_decider(background=background, smoothing="ema", start_from="quiet", ema_seconds=100.0)
    decided, _ = decider.update(make_prediction(next(scores_of([("fight", 1.0)])), 0.0))
    assert decided.scores == {label: share if label in background else 0.0 for label in LABELS}


def test_background_labels_share_what_the_evidence_leaves_as_their_scores_do():
    decider = make_decider(background=("idle", "hug"), smoothing="cusum")
    decided, _ = decider.update(make_prediction({"idle": 0.6, "fight": 0.2, "hug": 0.2}, 0.0))
    assert decided.scores == pytest.approx({"idle": 0.75, "fight": 0.0, "hug": 0.25})
    decided, _ = decider.update(make_prediction({"idle": 0.0, "fight": 1.0, "hug": 0.0}, 1.0))
    assert decided.scores == pytest.approx({"idle": 0.25, "fight": 0.5, "hug": 0.25})


def test_without_actions_there_is_background_only():
    decided, events = make_decider(background=LABELS, smoothing="cusum").update(
        make_prediction({"idle": 0.5, "fight": 0.25, "hug": 0.25}, 0.0)
    )
    assert decided.scores == pytest.approx({"idle": 0.5, "fight": 0.25, "hug": 0.25})
    assert events == []


def test_k_of_n_wants_the_same_answer_several_times():
    labels, events = decide(make_decider(smoothing="k-of-n", k=2, n=3), fights(0.9, 0, 0.9, 0, 0, 0.9))
    assert labels == [UNKNOWN, UNKNOWN, "fight", "idle", "idle", "idle"]
    assert story(events) == [("start", "fight", 2.0, None), ("end", "fight", 2.0, 2.0)]


def test_after_an_interruption_nothing_is_averaged_with_what_was_before():
    for smoothing in ({"smoothing": "ema", "ema_seconds": 100}, {"smoothing": "k-of-n", "k": 2, "n": 2}):
        decider = make_decider(**smoothing)
        decide(decider, fights(0.9, 0.9))
        assert decide(decider, [(9.0, {"idle": 0.9, "fight": 0.1, "hug": 0.0})])[0][0] != "fight"


def test_a_step_back_in_time_begins_anew():
    scores = fights(0.9, 0, 0.9)
    _, events = decide(make_decider(refractory_s=100, min_duration_s=50), scores + scores)
    assert story(events) == [("start", "fight", 0.0, None), ("end", "fight", 0.0, 2.0)] * 2


def test_after_a_step_back_an_event_ends_in_its_own_time():
    scores = next(scores_of([("fight", 0.9)]))
    _, events = decide(make_decider(), [(5.0, scores), (6.0, scores), (0.0, scores)])
    assert [event.end_s for event in events if event.phase == "end"] == [6.0, 0.0]


def test_other_options_hold_from_the_next_prediction_on_and_leave_the_event_open():
    decider = make_decider()
    _, events = decide(decider, fights(0.9), finish=False)
    with pytest.raises(ConfigError, match="fihgt"):
        decider.reconfigure(DecisionOptions(thresholds={"fihgt": 0.1}))
    assert decider.options == DecisionOptions()
    decider.reconfigure(DecisionOptions(threshold=0.7))
    decided, events = decider.update(make_prediction({"idle": 0.0, "fight": 0.75, "hug": 0.25}, 1.0))
    assert (decided.label, events) == ("fight", [])
    decided, events = decider.update(make_prediction({"idle": 0.0, "fight": 0.65, "hug": 0.35}, 2.0))
    assert decided.label == UNKNOWN
    assert story(events) == [("end", "fight", 0.0, 1.0)]


def test_the_average_lasts_when_other_options_change_and_begins_anew_when_it_changes_itself():
    for change, label in (({"threshold": 0.55}, "fight"), ({"ema_seconds": 90.0}, "idle")):
        decider = make_decider(smoothing="ema", ema_seconds=100.0)
        decide(decider, fights(0.9), finish=False)
        decider.reconfigure(msgspec.structs.replace(decider.options, **change))
        assert decide(decider, [(1.0, {"idle": 1.0, "fight": 0.0, "hug": 0.0})])[0] == [label]


def test_the_baseline_lasts_when_other_options_change_and_begins_anew_when_it_changes_itself():
    rules = {"baseline_share": 1.0, "baseline_seconds": 100.0, "baseline_most": 1.0, "baseline_warm_up_s": 0.0}
    for change, label in (({"threshold": 0.55}, UNKNOWN), ({"baseline_seconds": 90.0}, "fight")):
        decider = make_decider(baseline_reference=0.0, **rules)
        decide(decider, fights(0.9, 0.9), finish=False)
        decider.reconfigure(msgspec.structs.replace(decider.options, **change))
        assert decide(decider, [(2.0, next(scores_of([("fight", 0.9)])))])[0] == [label]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 6, "n": 5}, "k is 6, it must not be above n, which is 5"),
        ({"threshold": 1.5}, r"<= 1.0 - at `\$.threshold`"),
        ({"thresholds": {"fight": -0.1}}, ">= 0.0"),
        ({"min_duration_s": float("nan")}, "min_duration_s"),
        ({"smoothing": "median"}, "median"),
        ({"treshold": 0.5}, "treshold"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(msgspec.ValidationError, match=message):
        msgspec.convert(options, DecisionOptions)


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ("figth", "the model has no label 'figth'; did you mean 'fight'"),
        ("x", "its labels are idle, fight, hug"),
    ],
)
def test_a_threshold_of_no_label_is_refused(label, message):
    with pytest.raises(ConfigError, match=message):
        make_decider(thresholds={label: 0.5})


def test_times_a_rounding_error_apart_are_the_same():
    stream = [(number * 0.1, scores) for number, (_, scores) in enumerate(fights(0.9, 0, 0, 0))]
    _, events = decide(make_decider(min_duration_s=0.3 + TOLERANCE_S / 2), stream, finish=False)
    assert [event.phase for event in events] == ["start", "end"]
