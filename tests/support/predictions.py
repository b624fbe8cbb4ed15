"""Streams of predictions to decide on, for the tests of decisions."""

import itertools

import msgspec
import numpy as np
from hypothesis import strategies as st

from edgehar.events.decider import Decider
from edgehar.events.options import DecisionOptions
from edgehar.model.manifest import Decision
from edgehar.records import Prediction, TimingMs, Window

LABELS = ("idle", "fight", "hug")


def make_prediction(scores, end_s, number=0):
    label = max(scores, key=scores.get)
    return Prediction(
        seq=number, time=f"time {end_s}", source="test", model="m", label=label, score=scores[label], scores=scores,
        window=Window(20, end_s - 1.6, end_s), frame_age_ms=1.0, timing_ms=TimingMs(0, 0, 0), dropped=0, rate_ok=True,
    ).with_raw(np.zeros(3, np.int8))  # fmt: skip


def make_decider(model_threshold=0.5, /, background=("idle",), **options):
    ids = (f"id {number}" for number in itertools.count())
    return Decider(
        LABELS, DecisionOptions(**options), Decision(threshold=model_threshold, background=list(background)),
        new_id=lambda: next(ids), utc=lambda: "the end",
    )  # fmt: skip


def scores_of(pairs):
    """All scores of (label, its score) pairs; the others share the rest."""
    for label, score in pairs:
        rest = (1 - score) / (len(LABELS) - 1)
        yield {known: score if known == label else rest for known in LABELS}


def decide(decider, timed_scores, finish=True):
    """Labels, and all events, of (time, scores) pairs."""
    labels, events = [], []
    for number, (end_s, scores) in enumerate(timed_scores):
        decided, new = decider.update(make_prediction(scores, end_s, number))
        labels.append(decided.label)
        events += new
    return labels, events + (decider.finish() if finish else [])


def story(events):
    return [(event.phase, event.label, event.start_s, event.end_s) for event in events]


def fights(*scores, every_s=1.0):
    return [(number * every_s, next(scores_of([("fight", score)]))) for number, score in enumerate(scores)]


# Times and durations in eighths of a second and scores in 1/256, as models give them, are exact as floats.
eighths = st.integers(0, 40).map(lambda number: number / 8)
shares = st.integers(0, 256).map(lambda level: level / 256)


@st.composite
def score_dicts(draw):
    first, second = sorted((draw(shares), draw(shares)))
    return dict(zip(LABELS, draw(st.permutations([first, second - first, 1 - second])), strict=True))


@st.composite
def streams(draw):
    now_s, stream = draw(st.integers(0, 10**6)), []
    for pause_s, scores in draw(st.lists(st.tuples(eighths, score_dicts()), max_size=50)):
        now_s += pause_s
        stream.append((now_s, scores))
    return stream


@st.composite
def option_sets(draw):
    k = draw(st.integers(1, 4))
    evidence = draw(st.sampled_from([(0.0, 1.0), (0.25, 0.75), (0.5, 0.984375)]))
    return DecisionOptions(
        threshold=draw(st.none() | shares),
        thresholds=draw(st.dictionaries(st.sampled_from(LABELS), shares)),
        evidence_from=evidence[0], evidence_to=evidence[1],
        smoothing=draw(st.sampled_from(["none", "ema", "k-of-n", "cusum"])),
        start_from=draw(st.sampled_from(["score", "quiet"])),
        ema_seconds=draw(st.floats(0.1, 10)), k=k, n=k + draw(st.integers(0, 3)),
        cusum_reference=draw(shares), cusum_seconds=draw(st.floats(0.1, 10)),
        baseline_share=draw(st.sampled_from([0.0, 0.5, 1.0])), baseline_seconds=draw(st.floats(1, 100)),
        baseline_reference=draw(shares), baseline_most=draw(shares), baseline_warm_up_s=draw(eighths),
        hysteresis=draw(st.sampled_from([0.0, 0.125, 0.5])), min_duration_s=draw(eighths), refractory_s=draw(eighths),
        update_every_s=draw(eighths),
    )  # fmt: skip


def decider_with(options, background=("idle",)):
    return make_decider(background=background, **msgspec.structs.asdict(options))
