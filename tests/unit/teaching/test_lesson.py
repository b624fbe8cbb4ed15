"""How clips are held out, and what is learned from them."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgehar.events.smoothing import MovingAverage
from edgehar.teaching.head import FAR, squared_distances
from edgehar.teaching.lesson import CENTRES, ClipData, Lesson, Method, middles, window_shares


def clip(label, group, centre, labels=3, windows=4, seed=0):
    rng = np.random.default_rng(seed)
    pooled = (centre + rng.normal(0, 0.3, (windows, 6))).astype(np.float32)
    old = np.zeros((windows, labels))
    old[:, 0] = 2.0
    return ClipData(label, group, old, pooled)


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
    clips = three_kinds(groups=10)
    lesson = Lesson(clips, 3)
    assert {lesson.predicted(i, None) for i in range(len(clips))} == {0}
    right = 0
    for train, held_out in lesson.folds(range(len(clips))):
        correction = lesson.fit(train, lesson.best_method(train))
        right += sum(lesson.predicted(i, correction) == clips[i].label for i in held_out)
    # A tenth of the windows of held-out groups lies outside the radius.
    assert right >= 27


def test_a_label_without_a_clip_keeps_its_logit():
    clips = [one for one in three_kinds() if one.label != 1]
    correction = Lesson(clips, 3).fit(range(len(clips)), Method(0.001))
    assert not correction.weights[:, 1].any()
    assert correction.biases[1] == 0


def test_the_same_clips_give_the_same_head():
    clips = three_kinds()
    first, second = (Lesson(clips, 3).fit(range(len(clips)), Method(0.001)) for _ in range(2))
    assert np.array_equal(first.weights, second.weights)


def test_far_from_what_was_taught_the_old_head_answers():
    clips = three_kinds()
    correction = Lesson(clips, 3).fit(range(len(clips)), Method(0.001))
    old, far = np.array([[0.3, 1.2, -0.5]]), np.full((1, 6), -9.0)
    np.testing.assert_array_equal(correction.logits(old, far), old)
    # The old head says 0: those clips need no correction, the others do.
    shares = {
        label: [correction.gate.share(one.old, one.pooled).mean() for one in clips if one.label == label]
        for label in (0, 1)
    }
    assert max(shares[0]) == 0
    assert min(shares[1]) > 0.9


def test_without_a_mistake_nothing_is_corrected():
    clips = [one for one in three_kinds() if one.label == 0]
    correction = Lesson(clips, 3).fit(range(len(clips)), Method(0.001))
    for one in clips:
        np.testing.assert_array_equal(correction.logits(one.old, one.pooled), one.old)


def test_a_new_label_cannot_win_far_from_its_clips():
    clips = [ClipData(one.label, one.group, one.old[:, :2], one.pooled) for one in three_kinds()]
    correction = Lesson(clips, 3).fit(range(len(clips)), Method(0.001))
    old, far = np.array([[0.3, 1.2]]), np.full((1, 6), -9.0)
    assert correction.logits(old, far)[0, 2] == old.max() - FAR
    assert Lesson(clips, 3).predicted(2, correction) == 2


def test_a_lesson_of_one_label_changes_only_its_scene():
    """False alarms alone, labeled as ordinary, must not silence the model elsewhere."""
    clips = [one for one in three_kinds() if one.label == 2]
    correction = Lesson(clips, 3).fit(range(len(clips)), Method(0.0001))
    own = np.concatenate([correction.logits(one.old, one.pooled) for one in clips])
    assert (own.argmax(axis=1) == 2).all()
    elsewhere = np.array([[0.0, 4.0, 0.0, 0.0, 0.0, 0.0]])
    old = np.array([[2.0, 0.0, 0.0]])
    np.testing.assert_array_equal(correction.logits(old, elsewhere), old)


def test_a_shifted_old_head_teaches_the_same():
    """A softmax does not know the sum of its logits, so neither may what is taught."""
    clips = three_kinds()
    shifted = [ClipData(one.label, one.group, one.old[:, :2] + 30.0, one.pooled) for one in clips]
    plain = [ClipData(one.label, one.group, one.old[:, :2], one.pooled) for one in clips]
    first, second = (Lesson(these, 3).fit(range(len(these)), Method(0.001)) for these in (plain, shifted))
    np.testing.assert_allclose(first.weights, second.weights, atol=1e-5)


def test_a_new_label_does_not_take_the_place_of_an_action():
    """The old head is sure of its action in some windows of the same scene: those keep it."""
    clips = [ClipData(one.label, one.group, one.old[:, :2], one.pooled) for one in three_kinds()]
    correction = Lesson(clips, 3, actions=[1]).fit(range(len(clips)), Method(0.001))
    taught = next(one for one in clips if one.label == 2)
    assert (correction.logits(taught.old, taught.pooled).argmax(axis=1) == 2).all()
    action = np.tile([0.0, 3.0], (len(taught.pooled), 1))
    near = taught.pooled + np.float32(0.25)
    assert (correction.logits(action, near).argmax(axis=1) == 1).all()
    assert (correction.logits(taught.old, near).argmax(axis=1) == 2).all()


def test_what_a_clip_is_called_is_what_a_run_gives_in_the_mean():
    scores = np.random.default_rng(0).dirichlet(np.ones(3), 9)
    average = MovingAverage(2.0)
    smoothed = [average.add(dict(enumerate(row.tolist())), 0.4 * number) for number, row in enumerate(scores)]
    expected = np.mean([list(row.values()) for row in smoothed], axis=0)
    np.testing.assert_allclose(window_shares(9, 2.0 / 0.4) @ scores, expected)
    np.testing.assert_allclose(window_shares(9, 0.0) @ scores, scores.mean(axis=0))


def test_the_look_that_tells_the_labels_apart_is_used_alone():
    """Looks of two features each: the first tells the labels, the second only the group."""
    rng = np.random.default_rng(0)
    clips = []
    for number in range(24):
        label, group = number % 2, number // 4
        whole = np.full((4, 2), 2.0 * label)
        crop = np.tile(rng.normal(0, 4, 2), (4, 1))
        rows = np.concatenate([whole, crop] * 3, axis=1) + rng.normal(0, 0.3, (4, 12))
        clips.append(ClipData(label, f"group {group}", np.zeros((4, 2)), rows.astype(np.float32)))
    lesson = Lesson(clips, 2, looks=2)
    method = lesson.best_method(range(len(clips)))
    assert method.look == 0
    weights = lesson.fit(range(len(clips)), method).weights.reshape(3, 2, 2, 2)
    assert not weights[:, 1].any()
    assert weights[:, 0].any()


@pytest.mark.parametrize("count", [1, 5, 32, 33, 300])
def test_middles_cover_the_rows(count):
    rows = np.random.default_rng(count).normal(size=(count, 4)).astype(np.float32)
    centres = middles(rows)
    assert len(centres) == min(count, CENTRES)
    spread = squared_distances(rows, rows.mean(axis=0, keepdims=True)).mean()
    assert squared_distances(rows, centres).min(axis=1).mean() <= spread
