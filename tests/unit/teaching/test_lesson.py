"""How clips are held out, and what is learned from them."""

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from edgehar.teaching.lesson import ClipData, Lesson


def clip(label, group, centre, labels=3, windows=4, seed=0):
    rng = np.random.default_rng(seed)
    pooled = centre + rng.normal(0, 0.3, (windows, 6))
    offsets = np.zeros((windows, labels))
    offsets[:, 0] = 2.0
    return ClipData(label, group, offsets, pooled)


def three_kinds(groups=5):
    centres = np.eye(6)[:3] * 4
    return [
        clip(label, f"camera {group}", centres[label], seed=10 * group + label)
        for group in range(groups)
        for label in range(3)
    ]


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 6)), min_size=2, max_size=40))
def test_folds_share_no_group_and_hold_out_every_clip_once(members):
    clips = [clip(label, f"group {group}", np.zeros(6)) for label, group in members]
    lesson = Lesson(clips, 3)
    folds = lesson.folds(range(len(clips)))
    for train, held_out in folds:
        assert not {clips[i].group for i in train} & {clips[i].group for i in held_out}
        assert sorted([*train, *held_out]) == list(range(len(clips)))
    if len({group for _, group in members}) > 1:
        assert Counter(i for _, held_out in folds for i in held_out) == Counter(range(len(clips)))


def test_kinds_that_differ_are_learned_for_unseen_groups():
    clips = three_kinds()
    lesson = Lesson(clips, 3)
    assert {lesson.predicted(i, None) for i in range(len(clips))} == {0}
    for train, held_out in lesson.folds(range(len(clips))):
        correction = lesson.fit(train, lesson.best_penalty(train))
        assert [lesson.predicted(i, correction) for i in held_out] == [clips[i].label for i in held_out]


def test_a_label_without_a_clip_keeps_its_logit():
    clips = [one for one in three_kinds() if one.label != 1]
    correction = Lesson(clips, 3).fit(range(len(clips)), 0.001)
    assert not correction.weights[:, 1].any()
    assert correction.biases[1] == 0


def test_the_same_clips_give_the_same_head():
    clips = three_kinds()
    first, second = (Lesson(clips, 3).fit(range(len(clips)), 0.001) for _ in range(2))
    assert np.array_equal(first.weights, second.weights)
