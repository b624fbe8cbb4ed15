"""Which run watches what: by a network that is blind to the camera, every recording once for each seed."""

from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from edgehar_training.alarms.folds import other_folds, shares_of
from edgehar_training.alarms.recordings import Recording
from edgehar_training.data.datasets import Clip


def run_of(seed, fold, **parts):
    """A run of the data set `own` with its cameras by part."""
    clips = {part: [Clip(f"/own/{camera}.mp4", "x", camera) for camera in cameras] for part, cameras in parts.items()}
    config = SimpleNamespace(split=SimpleNamespace(seed=seed), fold=fold, data=SimpleNamespace(folder="/own"))
    return SimpleNamespace(config=config, clips=lambda part: clips.get(part, []), path=f"{seed}/{fold}")


def recording(camera, ordinary=True):
    return Recording(f"/elsewhere/{camera}.mp4", camera, camera, (), ordinary)


CAMERAS = "abcdef"


def runs_of(seeds):
    """Three folds of six cameras, two to test in each, two to choose on."""
    return [
        run_of(
            seed, fold, test=CAMERAS[2 * fold : 2 * fold + 2], val=CAMERAS[2 * fold - 2 : 2 * fold or None],
            train=[camera for camera in CAMERAS if CAMERAS.index(camera) // 2 not in (fold, (fold - 1) % 3)],
        )
        for seed in range(seeds)
        for fold in range(3)
    ]  # fmt: skip


@given(
    st.integers(1, 3), st.lists(st.sampled_from([f"own:{c}" for c in CAMERAS] + ["new:x", "new:y", "a"]), unique=True)
)
def test_every_recording_is_tested_once_by_each_seed_and_blindly(seeds, cameras):
    runs, recordings = runs_of(seeds), [recording(camera) for camera in cameras]
    shares, left_out = shares_of(runs, recordings)
    assert left_out == []
    for seed in range(seeds):
        tested = [one for share in shares if share.run.config.split.seed == seed for one in share.test]
        assert sorted(one.camera for one in tested) == sorted(cameras)
    for share in shares:
        trained = {f"own:{clip.group}" for clip in share.run.clips("train")}
        assert not trained & {one.camera for one in [*share.test, *share.choice]}
        assert not {one.camera for one in share.test} & {one.camera for one in share.choice}


def test_a_threshold_is_chosen_on_the_validation_part_or_on_what_others_test():
    own = [recording(f"own:{camera}") for camera in CAMERAS]
    shares, _ = shares_of(runs_of(1), own)
    assert [[one.camera for one in share.choice] for share in shares] == [
        ["own:e", "own:f"], ["own:a", "own:b"], ["own:c", "own:d"]
    ]  # fmt: skip
    new = [recording(f"new:{number}") for number in range(20)]
    shares, _ = shares_of(runs_of(1), new)
    for share in shares:
        assert {one.camera for one in [*share.test, *share.choice]} == {one.camera for one in new}
        assert share.test
        assert share.choice


def test_incidents_choose_no_threshold():
    shares, _ = shares_of(runs_of(1), [recording("own:a"), recording("own:b", ordinary=False)])
    assert all(one.ordinary for share in shares for one in share.choice)


def test_what_was_only_trained_on_is_left_out():
    runs = [run_of(0, 0, train="ab", test="c"), run_of(0, 1, train="ac", test="b")]
    shares, left_out = shares_of(runs, [recording("own:a"), recording("own:b")])
    assert [one.camera for one in left_out] == ["own:a"]
    assert [[one.camera for one in share.test] for share in shares] == [[], ["own:b"]]


def test_a_recording_of_the_run_itself_is_known_by_its_file_and_has_its_camera():
    run = run_of(0, 0, test="a", train="b")
    named = [Recording(f"/own/{camera}.mp4", camera, "another name", (), True) for camera in "ab"]
    (share,), left_out = shares_of([run], named)
    assert [(one.path, one.camera) for one in share.test] == [("/own/a.mp4", "own:a")]
    assert [one.path for one in left_out] == ["/own/b.mp4"]


def test_other_folds_are_those_of_the_same_seed_that_judge_ordinary_recordings():
    recordings = [*(recording(f"own:{camera}") for camera in "ab"), recording("own:c", ordinary=False)]
    shares, _ = shares_of(runs_of(2), recordings)
    for share in shares:
        others = other_folds(share, shares)
        assert share not in others
        assert all(other.run.config.split.seed == share.run.config.split.seed for other in others)
        assert all(any(one.ordinary for one in other.test) for other in others)
    judging = [share for share in shares if any(one.ordinary for one in share.test)]
    assert {len(other_folds(share, shares)) for share in judging} == {len(judging) // 2 - 1}
    assert other_folds(shares[0], shares[:1]) == []
