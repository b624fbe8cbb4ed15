"""Part files: order, resuming, limits and damage."""

import os

import msgspec
import pytest

pytest.importorskip("pyarrow", reason="needs the batch extra")

import pyarrow.parquet as pq

from edgehar.batch import run_batch
from edgehar.batch.clip_worker import Outcome, Reply
from edgehar.batch.listing import BatchFile
from edgehar.batch.parts import PartLimits, Parts
from edgehar.batch.table import RowWriter
from edgehar.errors import ConfigError, SinkError
from edgehar.records import Event

LABELS = ["fight", "ordinary"]
SETTINGS = {"model": "fight", "every_s": 0.0}


def reply(name, rows):
    writer = RowWriter(LABELS)
    for number in range(rows):
        writer.add_event(Event("end", f"{name}-{number}", 1, "", name, "fight", "fight", 0.5, number, number + 1.0))
    data, count = writer.finish()
    return Reply(Outcome(source=name, events=count, rows=count), data)


def opened(folder, settings=SETTINGS, **options):
    return Parts(folder, settings, LABELS, **options)


def test_rows_are_in_the_order_of_the_files_whatever_was_done_first(tmp_path):
    with opened(tmp_path / "parts", limits=PartLimits(files=2)) as parts:
        for name, rows in [("c", 3), ("a", 1), ("d", 0), ("b", 2), ("e", 5000)]:
            parts.add(reply(name, rows))
        assert parts.write_table(tmp_path / "t.parquet", list("abcde"), {"note": "x"}) == 5006
    table = pq.read_table(tmp_path / "t.parquet")
    assert table.schema.metadata[b"note"] == b"x"
    wanted = [f"{name}-{i}" for name, n in zip("abce", (1, 2, 3, 5000), strict=True) for i in range(n)]
    assert table["id"].to_pylist() == wanted


def test_what_is_committed_is_still_there_and_what_is_not_is_repeated(tmp_path):
    with opened(tmp_path / "parts") as parts:
        parts.add(reply("a", 2))
        parts.commit()
        parts.add(reply("b", 2))
        # A kill: nothing more is written.
        parts._waiting = []
    (tmp_path / "parts" / "part-000001.tmp9.parquet").write_bytes(b"half")
    with opened(tmp_path / "parts") as parts:
        assert list(parts.done) == ["a"]
        parts.add(reply("b", 1))
        assert parts.write_table(tmp_path / "t.parquet", ["b", "a"], {}) == 3
    assert not list((tmp_path / "parts").glob("*.tmp*"))


def test_leaving_commits(tmp_path):
    with opened(tmp_path / "parts") as parts:
        parts.add(reply("a", 2))
        assert not list((tmp_path / "parts").glob("part-*"))
    with opened(tmp_path / "parts") as parts:
        assert parts.done["a"].rows == 2


@pytest.mark.parametrize(
    ("limits", "count"), [(PartLimits(files=3), 3), (PartLimits(size=1), 1), (PartLimits(seconds=5), 2)]
)
def test_each_limit_makes_a_part(tmp_path, limits, count):
    times = iter(range(100))
    # Three seconds pass with each file.
    with opened(tmp_path, limits=limits, clock=lambda: 3.0 * next(times)) as parts:
        for number in range(count):
            assert not list(tmp_path.glob("part-*"))
            parts.add(reply(str(number), 1))
        assert len(list(tmp_path.glob("part-*"))) == 1


def test_other_settings_and_a_second_batch_are_refused(tmp_path):
    with opened(tmp_path / "parts"), pytest.raises(ConfigError, match="in use by another batch"):
        opened(tmp_path / "parts")
    with pytest.raises(ConfigError, match=r"every_s 0\.0, not 10"):
        opened(tmp_path / "parts", {**SETTINGS, "every_s": 10})


@pytest.mark.parametrize("damage", [b"", b"PAR1 nothing PAR1"])
def test_a_damaged_part_is_named(tmp_path, damage):
    with opened(tmp_path / "parts") as parts:
        parts.add(reply("a", 2))
    (tmp_path / "parts" / "part-000000.parquet").write_bytes(damage)
    with pytest.raises(SinkError, match=r"part-000000.parquet: damaged .*; delete it"):
        opened(tmp_path / "parts")


def test_the_outcome_survives_its_json():
    outcome = Outcome(source="a", labels={"fight": 3}, rows=3)
    assert msgspec.json.decode(msgspec.json.encode(outcome), type=Outcome) == outcome


@pytest.mark.parametrize("content", [None, b"", b"[]"])
def test_parts_without_their_settings_are_not_used(tmp_path, content):
    with opened(tmp_path / "parts") as parts:
        parts.add(reply("a", 2))
    settings = tmp_path / "parts" / "settings.json"
    settings.unlink()
    if content is not None:
        settings.write_bytes(content)
    with pytest.raises(SinkError, match=r"settings.json: missing or damaged; remove the folder"):
        opened(tmp_path / "parts", {**SETTINGS, "every_s": 10})


def test_a_stamp_tells_a_file_that_has_changed(tmp_path):
    path = tmp_path / "a.mp4"
    file = BatchFile("a.mp4", str(path))
    assert file.stamp == BatchFile("a", "synthetic:1").stamp == ""
    path.write_bytes(b"one")
    os.utime(path, ns=(1, 5))
    assert file.stamp == "3 5"


def test_a_file_that_changed_since_is_classified_again(tmp_path, monkeypatch):
    files = [BatchFile(name, str(tmp_path / name)) for name in ("a", "b", "c")]
    for file in files:
        (tmp_path / file.name).write_bytes(b"one")
    given = []

    def run(_, missing):
        given.append([file.name for file in missing])
        yield from (reply(file.name, len(given)) for file in missing)

    monkeypatch.setattr(run_batch.Dispatch, "run", run)
    options = run_batch.BatchOptions("fight", tmp_path / "t.parquet", 1)
    with opened(tmp_path / "parts") as parts:
        run_batch._classify(files[:2], parts, options, lambda: None)
    (tmp_path / "a").write_bytes(b"another")
    (tmp_path / "b").unlink()
    with opened(tmp_path / "parts") as parts:
        run_batch._classify(files, parts, options, lambda: None)
        assert parts.write_table(tmp_path / "t.parquet", ["a", "b", "c"], {}) == 5
    assert given == [["a", "b"], ["a", "c"]]
