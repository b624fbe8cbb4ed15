"""Decisions by rule: what holds for every stream of predictions and every set of options."""

import itertools

import msgspec
from hypothesis import given
from support.predictions import (
    decide,
    decider_with,
    eighths,
    make_decider,
    make_prediction,
    option_sets,
    shares,
    streams,
)

from edgehar.records import UNKNOWN


@given(streams(), option_sets())
def test_every_start_has_one_end_and_revisions_count_up(stream, options):
    _, events = decide(decider_with(options), stream)
    for _, records in itertools.groupby(events, key=lambda event: event.id):
        records = list(records)
        assert [record.phase for record in records] == ["start", *["update"] * (len(records) - 2), "end"]
        assert [record.revision for record in records] == list(range(len(records)))
        assert len({(record.label, record.start_s, record.source, record.model) for record in records}) == 1
        assert [record.end_s for record in records[:-1]] == [None] * (len(records) - 1)
        peaks = [record.peak_score for record in records]
        assert peaks == sorted(peaks)
    # No id comes again after another, and background opens nothing.
    assert len({event.id for event in events}) == sum(event.phase == "start" for event in events)
    assert not {event.label for event in events} & {"idle", UNKNOWN}


@given(streams(), option_sets())
def test_nothing_ends_before_its_least_duration(stream, options):
    decider = decider_with(options)
    for end_s, scores in stream:
        for event in decider.update(make_prediction(scores, end_s))[1]:
            if event.phase == "end":
                assert event.end_s - event.start_s >= options.min_duration_s
                assert end_s - event.start_s >= options.min_duration_s
                assert event.end_s <= end_s
    for event in decider.finish():
        assert event.start_s <= event.end_s <= stream[-1][0]


@given(streams(), option_sets())
def test_nothing_starts_within_its_refractory_time(stream, options):
    ended_s = {}
    for event in decide(decider_with(options), stream)[1]:
        if event.phase == "start":
            assert event.start_s - ended_s.get(event.label, float("-inf")) >= options.refractory_s
        elif event.phase == "end":
            ended_s[event.label] = event.end_s


@given(streams(), option_sets())
def test_an_action_is_never_missed_without_a_reason(stream, options):
    decider, opened, ended_s = decider_with(options), None, {}
    for end_s, scores in stream:
        decided, events = decider.update(make_prediction(scores, end_s))
        for event in events:
            if event.phase == "end":
                ended_s[event.label] = event.end_s
            opened = None if event.phase == "end" else event
        if opened is not None and opened.label != decided.label:
            # Held.
            assert end_s - opened.start_s < options.min_duration_s
        elif opened is None and decided.label not in ("idle", UNKNOWN):
            assert end_s - ended_s[decided.label] < options.refractory_s


@given(streams(), option_sets())
def test_unknown_is_said_when_no_class_is_sure_and_only_then(stream, options):
    options = msgspec.structs.replace(
        options, smoothing="none", hysteresis=0.0, baseline_share=0.0, evidence_from=0.0, evidence_to=1.0
    )
    for (_, scores), label in zip(stream, decide(decider_with(options), stream)[0], strict=True):
        threshold = 0.5 if options.threshold is None else options.threshold
        sure = {
            known: score
            for known, score in scores.items()
            if score >= options.thresholds.get(known, threshold) and score > 0
        }
        assert (label == UNKNOWN) == (not sure)
        assert label == UNKNOWN or scores[label] == max(sure.values())


@given(streams(), option_sets())
def test_smoothing_decides_as_its_parts_do(stream, options):
    """Thresholds on averaged scores, and votes of decisions on raw ones."""
    plain = msgspec.structs.replace(
        options, smoothing="none", hysteresis=0.0, baseline_share=0.0, evidence_from=0.0, evidence_to=1.0
    )
    raw = decide(decider_with(plain), stream)[0]
    votes = decide(decider_with(msgspec.structs.replace(plain, smoothing="k-of-n")), stream)[0]
    for number, label in enumerate(votes, start=1):
        last = raw[max(0, number - options.n) : number]
        known = {one for one in last if one != UNKNOWN and last.count(one) >= options.k}
        assert label in known if known else label == UNKNOWN
    decider = decider_with(msgspec.structs.replace(plain, smoothing="ema"))
    for end_s, scores in stream:
        decided = decider.update(make_prediction(scores, end_s))[0]
        again = decide(decider_with(plain), [(end_s, decided.scores)])[0]
        assert again == [decided.label]


@given(streams(), option_sets(), eighths)
def test_starts_and_ends_do_not_depend_on_updates(stream, options, other_s):
    def without_updates(update_every_s):
        decider = decider_with(msgspec.structs.replace(options, update_every_s=update_every_s))
        labels, events = decide(decider, stream)
        return labels, [msgspec.structs.replace(event, revision=0) for event in events if event.phase != "update"]

    assert without_updates(options.update_every_s) == without_updates(other_s) == without_updates(0.0)


@given(streams(), option_sets())
def test_updates_come_as_often_as_asked_and_no_more(stream, options):
    told_s, decider = None, decider_with(options)
    for end_s, scores in stream:
        events = decider.update(make_prediction(scores, end_s))[1]
        for event in events:
            if event.phase == "update":
                assert 0 < options.update_every_s <= end_s - told_s
            told_s = None if event.phase == "end" else end_s
        if told_s is not None and options.update_every_s:
            assert end_s - told_s < options.update_every_s


@given(streams(), option_sets())
def test_only_differences_of_time_matter(stream, options):
    later = [(end_s + 3600.0, scores) for end_s, scores in stream]
    labels, events = decide(decider_with(options), stream)
    labels_later, events_later = decide(decider_with(options), later)
    assert labels == labels_later
    assert [(event.phase, event.id, event.peak_score, event.start_s + 3600.0) for event in events] == [
        (event.phase, event.id, event.peak_score, event.start_s) for event in events_later
    ]


@given(streams(), shares)
def test_without_options_events_are_the_runs_of_a_label(stream, threshold):
    labels, events = decide(make_decider(threshold), stream)
    runs = [label for label, _ in itertools.groupby(labels) if label not in ("idle", UNKNOWN)]
    assert [(event.phase, event.label) for event in events] == [
        (phase, label) for label in runs for phase in ("start", "end")
    ]
