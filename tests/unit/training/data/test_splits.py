"""Splits never share a group, keep all classes, and survive being written down."""

import dataclasses
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("sklearn", reason="needs the train extra")

from edgehar.errors import ConfigError, DatasetError
from edgehar_training.data.datasets import Clip
from edgehar_training.data.datasets.splits import (
    Split,
    check_disjoint,
    describe_split,
    inner_splits,
    make_splits,
    read_splits,
    write_splits,
)


def make_clips(groups=12, per_group=2, labels=("fight", "calm")):
    return [
        Clip(f"{label}/{group}-{n}.mp4", label, f"cam{group}")
        for label in labels
        for group in range(groups)
        for n in range(per_group)
    ]


@settings(max_examples=25)
@given(
    groups=st.lists(st.integers(0, 14), min_size=40, max_size=80).filter(lambda g: len(set(g)) >= 12),
    seed=st.integers(0, 1000),
    folds=st.sampled_from([None, 3, 5]),
)
def test_no_group_is_in_two_parts_and_every_clip_is_tested_once(groups, seed, folds):
    clips = [Clip(f"{n}.mp4", "ab"[n % 2], f"cam{group}") for n, group in enumerate(groups)]
    splits = make_splits(clips, folds=folds, seed=seed)
    for split in splits:
        parts = [{clips[i].group for i in part} for part in (split.train, split.val, split.test)]
        assert sum(map(len, parts)) == len(set().union(*parts))
        assert sorted(split.train + split.val + split.test) == list(range(len(clips)))
        assert split.train
        assert split.val
        assert split.test
    if folds:
        assert sorted(i for split in splits for i in split.test) == list(range(len(clips)))


@settings(max_examples=30)
@given(groups=st.integers(9, 20), seed=st.integers(0, 100), folds=st.sampled_from([None, 3, "groups"]))
def test_clips_for_learning_are_never_scored_and_change_no_fold(groups, seed, folds):
    scored = make_clips(groups)
    # Copies of all clips, and clips of a camera that nothing else is of.
    copies = [dataclasses.replace(clip, path=f"copy of {clip.path}", learn_only=True) for clip in scored]
    clips = [*copies, *scored, Clip("far.mp4", "calm", "elsewhere", learn_only=True)]
    options = {"seed": seed, "folds": groups if folds == "groups" else folds}
    for split, plain in zip(make_splits(clips, **options), make_splits(scored, **options), strict=True):
        assert [[clips[i] for i in part] for part in (split.val, split.test)] == [
            [scored[i] for i in part] for part in (plain.val, plain.test)
        ]
        learned = {clips[i].path for i in split.train}
        plain_names = {scored[i].path for i in plain.train}
        assert learned == plain_names | {f"copy of {name}" for name in plain_names} | {"far.mp4"}


def test_inner_folds_score_no_clip_that_is_for_learning():
    scored = make_clips(9)
    copies = [dataclasses.replace(clip, path=f"copy of {clip.path}", learn_only=True) for clip in scored]
    plain = inner_splits(scored, random=False, folds=3, seed=1)
    for split, fold in zip(inner_splits([*scored, *copies], random=False, folds=3, seed=1), plain, strict=True):
        assert split.val == fold.val
        assert len(split.train) == 2 * len(fold.train)


def test_as_many_folds_as_groups_leave_exactly_one_out():
    clips = make_clips(groups=6)
    splits = make_splits(clips, folds=6)
    assert sorted({clips[i].group for i in split.test} for split in splits) == sorted({f"cam{g}"} for g in range(6))
    assert all(len({clips[i].group for i in split.test}) == 1 for split in splits)


def test_sizes_and_classes_are_as_asked():
    clips = make_clips(groups=25)
    (split,) = make_splits(clips, test_fraction=0.2, val_fraction=0.16)
    assert (len(split.test), len(split.val), len(split.train)) == (20, 16, 64)
    for part in (split.train, split.val, split.test):
        fights = sum(clips[i].label == "fight" for i in part)
        assert 2 * fights == len(part)


def test_the_seed_decides():
    clips = make_clips()
    assert make_splits(clips, seed=3) == make_splits(clips, seed=3)
    assert make_splits(clips, seed=3) != make_splits(clips, seed=4)


def test_without_a_test_part_all_clips_serve_the_model():
    clips = make_clips()
    (split,) = make_splits(clips, test_fraction=0)
    assert split.test == []
    assert len(split.train) + len(split.val) == len(clips)


def test_a_random_split_deals_single_clips_and_is_called_leaky():
    clips = make_clips(groups=3, per_group=20)
    (split,) = make_splits(clips, protocol="random")
    assert {clips[i].group for i in split.train} & {clips[i].group for i in split.test}
    assert "leaky" in describe_split("random", None, clips, 0.2)
    assert "leaky" in describe_split("random", 5, clips, 0.2)
    assert describe_split("group", 10, make_clips(groups=10), 0.2) == "leave-one-group-out, 10 groups"
    assert describe_split("group", 5, make_clips(groups=10), 0.2) == "group-disjoint 5-fold"


def test_what_cannot_be_split_is_explained():
    with pytest.raises(DatasetError, match="12 folds need as many groups, and there are 3"):
        make_splits(make_clips(groups=3), folds=12)
    with pytest.raises(DatasetError, match="one group"):
        make_splits(make_clips(groups=1))
    lonely = [*make_clips(groups=6, labels=("calm",)), *make_clips(groups=1, labels=("fight",))]
    with pytest.raises(DatasetError, match="'fight' is left to train on"):
        make_splits(lonely, folds=6)
    for wrong in ({"test_fraction": 1.0}, {"val_fraction": 0.0}, {"test_fraction": 0.6, "val_fraction": 0.5}):
        with pytest.raises(ConfigError, match="fraction"):
            make_splits(make_clips(), **wrong)
    with pytest.raises(ConfigError, match="at least 2"):
        make_splits(make_clips(), folds=1)


def test_a_leak_is_found():
    with pytest.raises(DatasetError, match="leaks: group 'b'"):
        check_disjoint(Split([0, 1], [2], [3]), ["a", "b", "c", "b"])


def test_split_lists_come_back_as_written(tmp_path):
    clips = [
        Clip(str(tmp_path / "a/1.mp4"), "a", "g1", 0.5, 2.25),
        Clip("synthetic:walking?take=1", "b", "g,2"),
        Clip("/elsewhere/3.mp4", "b", "g3", None, 1.0),
    ]
    path = tmp_path / "splits.csv"
    write_splits(path, clips, Split([0], [1], [2]), tmp_path)
    assert path.read_text().splitlines()[1] == "a/1.mp4,a,g1,train,0.5,2.25"
    assert read_splits(path, tmp_path) == {"train": [clips[0]], "val": [clips[1]], "test": [clips[2]]}
    path.write_text("nonsense\n1\n")
    with pytest.raises(DatasetError, match="split list"):
        read_splits(path, tmp_path)


def test_a_split_by_group_without_groups_is_called_random():
    """Every clip is a group of its own, so the split is random by clip, whatever its setting says."""
    alone = [Clip(f"/{n}.mp4", "ab"[n % 2], f"/{n}.mp4") for n in range(20)]
    assert describe_split("group", None, alone, 0.2) == "random by clip (no groups) hold-out of 20%"
    assert describe_split("group", None, alone, 0.0) == "random by clip (no groups), no test part"
    assert describe_split("group", 5, alone, 0.2) == "random by clip (no groups) 5-fold"
    assert describe_split("group", 20, alone, 0.2) == "leave-one-clip-out, random by clip (no groups)"
    # Two clips of one video stay on one side, so this one is disjoint.
    together = [*alone, Clip("/0.mp4", "a", "/0.mp4", 1.0, 2.0)]
    assert describe_split("group", None, together, 0.2) == "group-disjoint hold-out of 20%"


def test_names_in_split_lists_may_hold_any_byte_and_a_colon(tmp_path):
    names = ["a/12:30.mp4", os.fsdecode(b"a/lat\xe9.mp4"), 'a/b, "c".mp4']
    clips = [Clip(str(tmp_path / name), "a", f"g{n}") for n, name in enumerate(names)]
    path = tmp_path / "splits.csv"
    write_splits(path, clips, Split([0], [1], [2]), tmp_path)
    assert read_splits(path, tmp_path) == {"train": [clips[0]], "val": [clips[1]], "test": [clips[2]]}


def test_a_split_list_that_cannot_be_written_leaves_no_file(tmp_path):
    clips = [Clip("/a.mp4", "a", "\ud800")]
    with pytest.raises(UnicodeEncodeError):
        write_splits(tmp_path / "splits.csv", clips, Split([0], [], []), None)
    assert list(tmp_path.iterdir()) == []
