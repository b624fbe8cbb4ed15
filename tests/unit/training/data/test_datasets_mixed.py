"""Several folders as one data set: labels, groups that sources share, and files that cannot be used."""

import pytest

from edgehar.errors import DatasetError
from edgehar_training.data.datasets import load_dataset
from edgehar_training.data.datasets.mixed import load_mixed
from edgehar_training.settings import DataSettings


@pytest.fixture
def folder(tmp_path):
    for name in ("set/run/p1_1.mp4", "set/walk/p2_1.mp4", "set/sit/p2_2.mp4", "more/deep/9_p1.avi", "more/3_p7.avi"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"video")
    (tmp_path / "set/groups.csv").write_text("clip,group\nrun/p1_1.mp4,p1\nwalk/p2_1.mp4,p2\nsit/p2_2.mp4,hall:3\n")
    return tmp_path


def table(folder, text):
    path = folder / "mix.toml"
    path.write_text(text)
    return path


def short(clips, folder):
    return [(clip.path.removeprefix(f"{folder}/"), clip.label, clip.group) for clip in clips]


def test_labels_are_renamed_and_groups_are_of_their_source(folder):
    path = table(
        folder,
        """
        [[source]]
        folder = "set"
        labels = { run = "fast", "*" = "slow" }
        [[source]]
        folder = "more"
        dataset = "files"
        label = "slow"
        namespace = "set"
        group = '_p(\\d)'
        group_as = "p{0}"
        """,
    )
    assert short(load_dataset(DataSettings(dataset="mixed", folder=str(path))), folder) == [
        ("set/run/p1_1.mp4", "fast", "set:p1"),
        ("set/sit/p2_2.mp4", "slow", "hall:3"),
        ("set/walk/p2_1.mp4", "slow", "set:p2"),
        ("more/3_p7.avi", "slow", "set:p7"),
        ("more/deep/9_p1.avi", "slow", "set:p1"),
    ]


def test_labels_that_are_not_named_are_left_out(folder):
    path = table(folder, '[[source]]\nfolder = "set"\nlabels = { run = "run", walk = "walk" }\n')
    assert [clip.label for clip in load_mixed(path)] == ["run", "walk"]


def test_clips_are_left_out_by_name(folder):
    path = table(folder, '[[source]]\nfolder = "set"\nleave_out = ["sit/p2_2.mp4"]\n')
    assert [clip.label for clip in load_mixed(path)] == ["run", "walk"]


def test_clips_of_a_label_get_its_weight(folder):
    path = table(folder, '[[source]]\nfolder = "set"\nlabels = { run = "a", "*" = "b" }\nweights = { b = 0.25 }\n')
    assert [(clip.label, clip.weight) for clip in load_mixed(path)] == [("a", 1.0), ("b", 0.25), ("b", 0.25)]


def test_clips_of_a_source_may_be_for_learning_only(folder):
    rest = 'dataset = "files"\nlabel = "walk"\nnamespace = "set"\nlearn_only = true\n'
    path = table(folder, f'[[source]]\nfolder = "set"\n[[source]]\nfolder = "more"\n{rest}')
    assert [clip.learn_only for clip in load_mixed(path)] == [False, False, False, True, True]


def test_groups_that_are_one_get_one_name(folder):
    path = table(folder, 'same = [["set:p1", "set:p2"], ["set:p2", "hall:3"]]\n[[source]]\nfolder = "set"\n')
    assert {clip.group for clip in load_mixed(path)} == {"set:p1"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "missing required field `source`"),
        ("[[source]]\nfolder = 3\n", "Expected `str`"),
        ('[[source]]\nfolder = "set"\nkind = "folder"\n', "unknown field `kind`"),
        ("[[source", "mix.toml"),
        ('[[source]]\nfolder = "set"\nweights = { fly = 2.0 }\n', "weights names 'fly', and no clip of .*set has"),
        ('[[source]]\nfolder = "set"\nweights = { run = 0 }\n', "Expected `float` > 0"),
        ('[[source]]\nfolder = "set"\nlabels = { fly = "fly" }\n', "no clip of .*set is left; its labels are run, sit"),
        ('[[source]]\nfolder = "more"\ndataset = "files"\n', "needs a label"),
        ('[[source]]\nfolder = "none"\ndataset = "files"\nlabel = "a"\n', "no such folder"),
        ('[[source]]\nfolder = "more"\ndataset = "files"\nlabel = "a"\ngroup = "("\n', "is not a regular expression"),
        ('[[source]]\nfolder = "more"\ndataset = "files"\nlabel = "a"\ngroup = "x"\n', "has no group by the pattern"),
        (
            '[[source]]\nfolder = "more"\ndataset = "files"\nlabel = "a"\ngroup = "_(p)"\ngroup_as = "{1}"\n',
            "does not fit",
        ),
        ('same = [["set:p9"]]\n[[source]]\nfolder = "set"\n', "same names 'set:p9'"),
        (
            'same = [["set:p1"], ["hall:3"], ["hall:3", "set:p1"]]\n[[source]]\nfolder = "set"\n',
            "is in two rows of same",
        ),
        ('[[source]]\nfolder = "set"\nleave_out = ["run/x.mp4"]\n', "leave_out names 'run/x.mp4'"),
    ],
)
def test_a_file_that_does_not_fit_is_explained(folder, text, message):
    with pytest.raises(DatasetError, match=message):
        load_mixed(table(folder, text))


def test_a_missing_file_is_explained(tmp_path):
    with pytest.raises(DatasetError, match="cannot be read"):
        load_mixed(tmp_path / "mix.toml")
