"""Tables of clips: what a row may hold, what is said of one that cannot be used, and that written tables are read."""

import io
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgehar.errors import ConfigError, DatasetError
from edgehar_training.data.datasets import Clip, load_dataset
from edgehar_training.data.datasets.manifest import load_csv, write_csv
from edgehar_training.settings import DataSettings


def table(folder, text):
    path = folder / "clips.csv"
    path.write_bytes(text.encode())
    return path


def test_a_table_names_clips_from_its_own_folder_on(tmp_path):
    path = table(
        tmp_path,
        "\ufeffpath,label,group,start_s,end_s\r\na.mp4,run,p1,0.5,2.25\r\nsub/b.mp4,walk,p2,,\r\n/abs/c.mp4,walk,,1,\r\n"
        "synthetic:walking?take=1,run,p3,,\r\n",
    )
    assert load_dataset(DataSettings(dataset="csv", folder=str(path))) == [
        Clip(f"{tmp_path}/a.mp4", "run", "p1", 0.5, 2.25),
        Clip(f"{tmp_path}/sub/b.mp4", "walk", "p2"),
        Clip("/abs/c.mp4", "walk", "/abs/c.mp4", 1.0),
        Clip("synthetic:walking?take=1", "run", "p3"),
    ]


text = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zs")), min_size=1)
# A path is kept as pathlib writes it: without "//" and "/." in it.
file_names = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zs"), exclude_characters="/"), min_size=1
).filter(lambda name: name not in (".", ".."))
seconds = st.floats(0, 1e6, allow_nan=False)
parts = st.sampled_from(["train", "val", "test", ""])


@given(
    st.lists(
        st.tuples(
            file_names, text, seconds, st.floats(0.001, 100), st.none() | st.integers(0, 99), st.tuples(parts, parts)
        ),
        min_size=1,
    )
)
def test_a_written_table_comes_back(tmp_path_factory, rows):
    clips = [Clip("/v/first.mp4", "\u00e4 first", "g", official=("train", "test"))]
    for name, label, start_s, length_s, fold, official in rows:
        clips.append(Clip(f"/v/{name}", label, name, start_s, start_s + length_s, fold, official))
    clips.append(Clip("/v/last.mp4", "z, last", 'g"2', official=("", "val")))
    out = io.StringIO()
    write_csv(clips, out)
    path = tmp_path_factory.mktemp("csv") / "clips.csv"
    path.write_text(out.getvalue(), encoding="utf-8", newline="")
    assert load_csv(path) == clips


def test_clips_of_no_part_of_a_single_split_come_back(tmp_path):
    clips = [Clip("/a", "run", "g", official=("",)), Clip("/b", "walk", "g", official=("train",))]
    with (tmp_path / "clips.csv").open("w") as file:
        write_csv(clips, file)
    assert load_csv(tmp_path / "clips.csv") == clips


@pytest.mark.parametrize(
    ("content", "fragment"),
    [
        ("", "expected the header path,label,group,start_s,end_s; found nothing"),
        ("clip,label\na,b\n", "found clip,label"),
        ("path,label,who\na,b,c\n", "found path,label,who"),
        ("path,label\na,run\n,walk\n", "line 3: a clip needs a path and a label"),
        ("path,label\na,run\nb\n", "line 3: a clip needs a path and a label"),
        ("path,label\na,run,x\n", "line 2: more values than columns"),
        ("path,label\na,run\nb,run\n", "at least two labels"),
        ("path,label,start_s\na,run,soon\n", "start_s is 'soon'"),
        ("path,label,start_s\na,run,-1\n", "start_s is '-1'"),
        ("path,label,end_s\na,run,nan\n", "end_s is 'nan'"),
        ("path,label,start_s,end_s\na,run,3,2\n", "ends at 2 s"),
        ("path,label,fold\na,run,x\n", "fold is 'x'"),
        ("path,label,official\na,run,learn\n", "official is 'learn'"),
        ("path,label,official\na,run,train\nb,walk,train;test\n", "as many parts in every row"),
    ],
)
def test_a_row_that_cannot_be_used_is_shown(tmp_path, content, fragment):
    with pytest.raises(DatasetError) as caught:
        load_csv(table(tmp_path, content))
    assert fragment in str(caught.value)


def test_what_is_no_table_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="is a folder"):
        load_csv(tmp_path)
    with pytest.raises(DatasetError, match="no such file"):
        load_csv(tmp_path / "none.csv")
    (tmp_path / "video.csv").write_bytes(bytes(range(256)))
    with pytest.raises(DatasetError, match="not a CSV table in UTF-8"):
        load_csv(Path(tmp_path / "video.csv"))
    with pytest.raises(ConfigError, match="the table of the clips"):
        load_dataset(DataSettings(dataset="csv"))


def test_a_file_name_that_is_not_utf8_is_kept(tmp_path):
    """The bytes of the name come back when the table is read, and its group is printable."""
    name = os.fsencode(tmp_path) + b"/lat\xe9.mp4"
    Path(os.fsdecode(name)).write_bytes(b"")
    (tmp_path / "clips.csv").write_bytes(b"path,label\nlat\xe9.mp4,run\nother.mp4,walk\n")
    clips = load_csv(tmp_path / "clips.csv")
    assert os.fsencode(clips[0].path) == name
    assert clips[0].group.endswith(r"lat\xe9.mp4")
    with (tmp_path / "again.csv").open("w", encoding="utf-8", errors="surrogateescape") as file:
        write_csv(clips, file)
    assert load_csv(tmp_path / "again.csv") == clips
    (tmp_path / "clips.csv").write_bytes(b"path,label\na.mp4,r\xe9n\nb.mp4,walk\n")
    with pytest.raises(DatasetError, match="line 2: label is not UTF-8"):
        load_csv(tmp_path / "clips.csv")


def test_a_fifo_is_refused(tmp_path):
    os.mkfifo(tmp_path / "b.mp4")
    with pytest.raises(DatasetError, match=r"line 3: .*b\.mp4 is a FIFO"):
        load_csv(table(tmp_path, "path,label\na.mp4,run\nb.mp4,walk\n"))


def test_evaluation_takes_clips_of_one_label(tmp_path):
    clips = table(tmp_path, "path,label\na.mp4,run\n")
    assert [clip.label for clip in load_csv(clips, training=False)] == ["run"]
