"""Labels beside clips and inbox items: written whole, read back, withdrawn, refused if damaged."""

import stat

import pytest

from edgehar.errors import ConfigError
from edgehar.teaching.labels import Label, check_label, judged, label_path, read_label, remove_label, write_label


def test_a_label_is_read_back_and_withdrawn(tmp_path):
    base = tmp_path / "021500Z-fight-0.1"
    assert read_label(base) is None
    label = judged("wrong", "fight", by="page")
    write_label(base, label)
    assert label_path(base).name == "021500Z-fight-0.1.label.json"
    assert read_label(base) == label
    assert stat.S_IMODE(label_path(base).stat().st_mode) == 0o600
    remove_label(base)
    remove_label(base)
    assert read_label(base) is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("verdict", "other", "label"), [("right", None, "fight"), ("wrong", None, "ordinary"), ("other", "hug", "hug")]
)
def test_a_verdict_says_what_it_was(verdict, other, label):
    found = judged(verdict, "fight", label=other)
    assert (found.label, found.answer, found.verdict) == (label, "fight", verdict)


def test_an_answer_of_ordinary_that_is_right_is_right():
    assert Label("ordinary", "ordinary").verdict == "right"


@pytest.mark.parametrize("label", ["", " hug", "a,b", "a/b", "a\nb", "x" * 81])
def test_a_label_that_cannot_be_a_class_is_refused(label):
    with pytest.raises(ConfigError, match=r"label|needs"):
        judged("other", "fight", label=label)


def test_names_of_any_script_are_labels():
    check_label("Umarmung 2")
    check_label("握手")


@pytest.mark.parametrize("content", [b"", b"{", b'{"label": 3}', b'{"label": "a", "more": 1}', b"\xff\xfe", b"[]"])
def test_a_damaged_label_is_named(tmp_path, content):
    label_path(tmp_path / "a").write_bytes(content)
    with pytest.raises(ConfigError, match=r"a\.label\.json: not a label"):
        read_label(tmp_path / "a")


def test_a_full_disk_leaves_the_earlier_label(tmp_path, monkeypatch):
    write_label(tmp_path / "a", Label("fight"))

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("edgehar.teaching.labels.os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_label(tmp_path / "a", Label("hug"))
    assert read_label(tmp_path / "a") == Label("fight")
    assert len(list(tmp_path.iterdir())) == 1
