"""Official splits: those who made the data decide, and what they left open is taken by group."""

import pytest

pytest.importorskip("sklearn", reason="needs the train extra")

from edgehar.errors import ConfigError, DatasetError
from edgehar_training.data.datasets import Clip
from edgehar_training.data.datasets.kth import official_part
from edgehar_training.data.datasets.official import check_official
from edgehar_training.data.datasets.splits import describe_split, make_splits


def kth(persons=range(1, 26)):
    return [
        Clip(f"{label}/{person}", label, f"person{person:02d}", official=(official_part(person),))
        for label in ("boxing", "walking")
        for person in persons
    ]


def listed(groups=25, lists=((1, 2, 3), (4, 5))):
    return [
        Clip(
            f"{label}/{g}-{n}.avi", label, f"g{g:02d}",
            official=tuple("test" if g in tested else "train" for tested in lists),
        )
        for label in ("a", "b") for g in range(1, groups + 1) for n in range(2)
    ]  # fmt: skip


def groups_of(clips, part):
    return {clips[i].group for i in part}


def test_kth_is_split_by_its_persons_whatever_the_seed():
    clips = kth()
    (split,) = make_splits(clips, protocol="official", dataset="kth")
    assert groups_of(clips, split.train) == {f"person{p}" for p in range(11, 19)}
    assert groups_of(clips, split.val) == {f"person{p:02d}" for p in (1, 4, 19, 20, 21, 23, 24, 25)}
    assert len(split.test) == 18
    assert make_splits(clips, protocol="official", dataset="kth", seed=9) == [split]
    assert describe_split("official", None, clips, 0.2, "kth") == "official split (KTH, by person)"


def test_lists_are_one_split_each_and_validation_is_taken_by_group():
    clips = listed()
    (one,) = make_splits(clips, protocol="official", dataset="ucf101")
    assert groups_of(clips, one.test) == {"g01", "g02", "g03"}
    assert not groups_of(clips, one.val) & (groups_of(clips, one.train) | groups_of(clips, one.test))
    assert len(one.val) == 16
    first, second = make_splits(clips, protocol="official", dataset="ucf101", folds=2)
    assert first == one
    assert groups_of(clips, second.test) == {"g04", "g05"}
    assert describe_split("official", None, clips, 0.2, "ucf101") == "official split (UCF101, list 1)"
    assert describe_split("official", 2, clips, 0.2, "hmdb51") == "official splits (HMDB51, splits 1 to 2)"


def test_clips_of_no_part_are_left_out():
    clips = [*listed(), Clip("a/x.avi", "a", "g26", official=("", "train"))]
    (split,) = make_splits(clips, protocol="official", dataset="hmdb51")
    assert len(clips) - 1 not in split.train + split.val + split.test


def test_folds_leave_one_out():
    clips = [Clip(f"{label}/{g}", label, f"g{g:02d}", fold=g) for label in "ab" for g in range(1, 7)]
    splits = make_splits(clips, protocol="official", dataset="ucf50", folds=6)
    assert [groups_of(clips, split.test) for split in splits] == [{f"g{g:02d}"} for g in range(1, 7)]
    assert describe_split("official", 6, clips, 0.2, "ucf50") == "official 6-fold (UCF50, by group)"
    for folds in (None, 5):
        with pytest.raises(ConfigError, match="--folds 6"):
            make_splits(clips, protocol="official", dataset="ucf50", folds=folds)


def test_what_has_no_official_split_says_so():
    clips = [Clip(f"{n}", "ab"[n % 2], f"{n}") for n in range(20)]
    with pytest.raises(ConfigError, match="'folder' has no split of its own"):
        make_splits(clips, protocol="official", dataset="folder")
    for dataset, needed in (("ucf101", "trainlist01.txt"), ("hmdb51", "_test_split1.txt"), ("csv", "column official")):
        with pytest.raises(DatasetError, match=needed):
            make_splits(clips, protocol="official", dataset=dataset)
    with pytest.raises(ConfigError, match="omit --folds"):
        make_splits(kth(), protocol="official", dataset="kth", folds=5)
    with pytest.raises(ConfigError, match="2 official splits: use --folds 2"):
        make_splits(listed(), protocol="official", dataset="ucf101", folds=3)
    with pytest.raises(ConfigError, match="has a test part"):
        make_splits(kth(), protocol="official", dataset="kth", test_fraction=0)


def test_a_part_of_a_data_set_may_not_do():
    with pytest.raises(DatasetError, match="none of the clips is in the test part of split 1 of KTH"):
        make_splits(kth(range(11, 19)), protocol="official", dataset="kth")
    unseen = [*kth(), Clip("running/2", "running", "person02", official=("test",))]
    with pytest.raises(DatasetError, match="tests 'running', but has no training clip of it"):
        make_splits(unseen, protocol="official", dataset="kth")
    lonely = [Clip(f"{label}/{n}", label, "one", official=("train",)) for label in "ab" for n in range(3)]
    tested = [Clip(f"{label}/t", label, "two", official=("test",)) for label in "ab"]
    with pytest.raises(DatasetError, match="no validation part can be made"):
        make_splits([*lonely, *tested], protocol="official", dataset="ucf101")


def test_an_official_split_that_leaks_is_used_and_that_is_said():
    clips = [*listed(), Clip("a/x.avi", "a", "g01", official=("train", "train"))]
    assert check_official(listed(), "ucf101", None) == []
    assert check_official(clips, "ucf101", None) == [
        "official split 1 has 1 groups on both sides (leaky), the first is 'g01'"
    ]
    (split,) = make_splits(clips, protocol="official", dataset="ucf101")
    assert len(clips) - 1 in split.train + split.val
