"""`edgehar batch`, as a user calls it: one table, every file once, whatever happens on the way."""

import os
import re
import signal
import sys
import time

import duckdb
import numpy as np
import pandas as pd
import psutil
import pyarrow.parquet as pq
import pytest
from support.helpers import (
    assert_one_line_error,
    environment,
    records,
    run_command,
    start_command,
    write_video,
)

RATE_HZ = 10
FILES = 8

# Runs a batch with a part for every file, so that a kill soon has something to leave behind.
SMALL_PARTS = """
import sys
from pathlib import Path
from edgehar.batch.listing import list_files
from edgehar.batch.parts import PartLimits
from edgehar.batch.processes import Processes
from edgehar.batch.run_batch import BatchOptions, run_batch

if __name__ == "__main__":
    model, out, *files = sys.argv[1:]
    run_batch(list_files(files), BatchOptions(model, Path(out), 2, limits=PartLimits(files=1)), Processes)
"""

# Logs each file that is opened, and ends the process at one whose name says so. Python imports it at its start.
SITE_CUSTOMIZE = """
import os, signal, sys

if "multiprocessing" in str(sys.argv) or "--multiprocessing-fork" in sys.orig_argv:
    import edgehar.batch.clip_worker as clip_worker
    open_source = clip_worker.open_source

    def opened(address):
        with open(os.environ["OPENED_LOG"], "a") as log:
            log.write(os.path.basename(address) + "\\n")
        if "killer" in address:
            os.kill(os.getpid(), signal.SIGSEGV)
        return open_source(address)

    clip_worker.open_source = opened
"""


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """A folder of videos that are bright, then dark."""
    folder = tmp_path_factory.mktemp("archive")
    for number in range(FILES):
        levels = [230 - number] * (6 + number) + [20 + number] * 8
        path = folder / ("night" if number % 2 else "day") / f"{number}.mp4"
        path.parent.mkdir(exist_ok=True)
        write_video(path, [np.full((32, 32, 3), level, np.uint8) for level in levels], rate_hz=RATE_HZ)
    return folder


@pytest.fixture
def logged(tmp_path):
    """Environment in which workers log the files that they open, and the log."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(SITE_CUSTOMIZE)
    log = tmp_path / "opened.log"
    log.touch()
    return environment(PYTHONPATH=str(tmp_path / "site"), OPENED_LOG=str(log)), log


def batch(model, out, *arguments, **options):
    return run_command("edgehar", "batch", *arguments, "--model", model, "--out", out, **options)


@pytest.fixture(scope="module")
def table(tiny_bundle, archive, tmp_path_factory):
    """The table of an undisturbed batch with two processes."""
    out = tmp_path_factory.mktemp("out") / "results.parquet"
    done = batch(tiny_bundle, out, archive, "--jobs", 2)
    assert done.returncode == 0, done.stderr
    assert f"{FILES} files" in done.stdout
    assert sorted(path.name for path in out.parent.iterdir()) == ["results.parquet", "results.sources.parquet"]
    return out


def test_the_rows_are_what_a_run_answers(tiny_bundle, archive, table):
    rows = pq.read_table(table).to_pylist()
    video = archive / "night" / "3.mp4"
    answers = records(run_command("edgehar-run", "--source", video, "--model", tiny_bundle).stdout)
    wanted = [answer for answer in answers if answer["type"] == "prediction"]
    found = [row for row in rows if row["source"] == str(video) and row["type"] == "prediction"]
    assert len(wanted) > 3
    assert [(row["seq"], row["label"], row["end_s"]) for row in found] == [
        (answer["seq"], answer["label"], answer["window"]["end_s"]) for answer in wanted
    ]
    assert [row["scores"] for row in found] == [pytest.approx(answer["scores"]) for answer in wanted]
    ended = [(a["label"], a["start_s"], a["end_s"]) for a in answers if a["type"] == "event" and a["phase"] == "end"]
    events = [row for row in rows if row["source"] == str(video) and row["type"] == "event"]
    assert [(row["label"], row["start_s"], row["end_s"]) for row in events] == ended
    assert len(ended) == 2


def test_pandas_and_duckdb_read_it(table, archive):
    frame = pd.read_parquet(table)
    assert set(frame["type"]) == {"prediction", "event"}
    sources = pd.read_parquet(table.with_name("results.sources.parquet"))
    assert list(sources["status"]) == ["done"] * FILES
    assert list(sources["frames"]) == [6 + n + 8 for n in (0, 2, 4, 6, 1, 3, 5, 7)]
    assert sources["predictions"].sum() == (frame["type"] == "prediction").sum()
    assert sources["events"].sum() == (frame["type"] == "event").sum()
    query = f"select distinct source from '{table}' where type = 'prediction' and scores.bright > 0.5"
    found = sorted(source for (source,) in duckdb.sql(query).fetchall())
    assert found == sorted(str(path) for path in archive.rglob("*.mp4"))


def test_one_process_gives_the_same_table(tiny_bundle, archive, table, tmp_path):
    out = tmp_path / "one.parquet"
    assert batch(tiny_bundle, out, archive, "--jobs", 1).returncode == 0
    assert out.read_bytes() == table.read_bytes()


def test_fewer_rows(tiny_bundle, archive, table, tmp_path):
    video = archive / "night" / "7.mp4"
    every, events = tmp_path / "every.parquet", tmp_path / "events.parquet"
    assert batch(tiny_bundle, every, video, "--every", 1).returncode == 0
    assert batch(tiny_bundle, events, video, "--events-only").returncode == 0
    rows = [row for row in pq.read_table(table).to_pylist() if row["source"] == str(video)]
    assert pq.read_table(events).to_pylist() == [row for row in rows if row["type"] == "event"]
    times = [row["end_s"] for row in pq.read_table(every).to_pylist() if row["type"] == "prediction"]
    assert len(times) == 2
    assert np.diff(times) == pytest.approx(1.0)


def test_damaged_files_are_listed_and_the_rest_is_done(tiny_bundle, archive, tmp_path):
    folder, out = tmp_path / "mixed", tmp_path / "r.parquet"
    folder.mkdir()
    whole = (archive / "day" / "0.mp4").read_bytes()
    (folder / "good.mp4").write_bytes(whole)
    (folder / "nothing.mp4").write_bytes(b"")
    (folder / "text.avi").write_bytes(b"not a video")
    (folder / "list.txt").write_text(f"# videos\n{folder}\n{folder / 'absent.mp4'}\n{folder / 'good.mp4'}\n")
    done = batch(tiny_bundle, out, f"@{folder / 'list.txt'}")
    assert done.returncode == 1
    assert "4 files, " in done.stdout
    assert "3 files failed" in done.stdout
    for name in ("nothing.mp4", "text.avi", "absent.mp4"):
        assert name in done.stderr
    sources = pd.read_parquet(tmp_path / "r.sources.parquet")
    assert list(sources["status"]) == ["done", "damaged", "damaged", "damaged"]
    assert len(pd.read_parquet(out)) > 0


def test_a_file_that_ends_the_process_is_named_after_two_tries(tiny_bundle, archive, logged, tmp_path):
    env, log = logged
    folder, out = tmp_path / "videos", tmp_path / "r.parquet"
    folder.mkdir()
    for name in ("a.mp4", "killer.mp4", "z.mp4"):
        (folder / name).write_bytes((archive / "day" / "0.mp4").read_bytes())
    done = batch(tiny_bundle, out, folder, "--jobs", 1, env=env)
    assert done.returncode == 1, done.stderr
    assert re.search(r"crashed: .*killer\.mp4: ended its process by SIGSEGV, 2 times", done.stderr)
    assert log.read_text().split() == ["a.mp4", "killer.mp4", "killer.mp4", "z.mp4"]
    assert list(pd.read_parquet(tmp_path / "r.sources.parquet")["status"]) == ["done", "crashed", "done"]


def test_a_killed_batch_continues_and_gives_the_same_table(tiny_bundle, archive, table, logged, tmp_path):
    env, log = logged
    out, script = tmp_path / "r.parquet", tmp_path / "small_parts.py"
    script.write_text(SMALL_PARTS)
    parts = tmp_path / "r.parquet.parts"
    command = [sys.executable, script, tiny_bundle, out, archive]
    for wanted in (1, 3):
        with start_command(command[0], *command[1:], env=env) as process:
            while len(list(parts.glob("part-??????.parquet"))) < wanted and process.poll() is None:
                time.sleep(0.005)
            process.kill()
    committed = len(list(parts.glob("part-??????.parquet")))
    before = log.read_text().split()
    assert not out.exists()
    done = batch(tiny_bundle, out, archive, env=env)
    assert done.returncode == 0, done.stderr
    assert f"{committed} of {FILES} files are done" in done.stderr
    assert out.read_bytes() == table.read_bytes()
    assert len(log.read_text().split()) - len(before) == FILES - committed
    assert not parts.exists()


def test_ctrl_c_keeps_what_is_done(tiny_bundle, archive, table, logged, tmp_path):
    env, log = logged
    out = tmp_path / "r.parquet"
    arguments = ("batch", archive, "--model", tiny_bundle, "--out", out, "--jobs", 1)
    with start_command("edgehar", *arguments, env=env) as process:
        while len(log.read_text().split()) < 2:
            time.sleep(0.005)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert errors.strip().endswith("interrupted")
    done = run_command("edgehar", *arguments, env=env)
    assert done.returncode == 0, done.stderr
    assert "files are done" in done.stderr
    assert out.read_bytes() == table.read_bytes()


def test_workers_end_with_a_killed_batch(tiny_bundle, archive, logged, tmp_path):
    env, _ = logged
    os.mkfifo(tmp_path / "log.fifo")
    arguments = ("batch", archive, "--model", tiny_bundle, "--out", tmp_path / "r.parquet", "--jobs", 1)
    # A worker that waits for a reader of its log is inside a file when its parent dies.
    with start_command("edgehar", *arguments, env={**env, "OPENED_LOG": str(tmp_path / "log.fifo")}) as process:
        children = []
        while not any("spawn_main" in " ".join(child.cmdline()) for child in children):
            time.sleep(0.01)
            children = psutil.Process(process.pid).children()
        process.kill()
        psutil.wait_procs(children)


@pytest.mark.parametrize(
    ("arguments", "fragments"),
    [
        (["{archive}", "--out", "r.csv"], ["r.csv", "name it NAME.parquet"]),
        (["{archive}", "--out", "{table}"], ["exists", "--out"]),
        (["{empty}", "--out", "r.parquet"], ["holds no video file"]),
        (["@{empty}/none.txt", "--out", "r.parquet"], ["none.txt", "No such file"]),
        (["@{circle}", "--out", "r.parquet"], ["circle.txt: lists itself"]),
        (["camera:0", "--out", "r.parquet"], ["camera:0", "edgehar-run"]),
        (["{archive}", "--out", "r.parquet", "--jobs", "0"], ["--jobs"]),
        (["{archive}", "--out", "r.parquet", "--ray", "127.0.0.1:1"], ["127.0.0.1:1", "no cluster answers"]),
    ],
)
def test_wrong_usage(tiny_bundle, archive, table, tmp_path, arguments, fragments):
    if "--ray" in arguments:
        pytest.importorskip("ray", reason="needs Ray: pip install 'edgehar[cluster]'")
    (tmp_path / "empty").mkdir()
    circle = table.with_name("circle.txt")
    circle.write_text(f"{archive}\n@{circle}\n")
    names = {"archive": archive, "table": table, "empty": tmp_path / "empty", "circle": circle}
    arguments = [argument.format(**names) for argument in arguments]
    before = table.read_bytes()
    done = run_command("edgehar", "batch", *arguments, "--model", tiny_bundle, cwd=tmp_path)
    assert_one_line_error(done, 2, *fragments)
    assert table.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty"]


@pytest.mark.parametrize(
    ("library", "option", "extra"), [("pyarrow", [], "edgehar[batch]"), ("ray", ["--ray"], "edgehar[cluster]")]
)
def test_a_missing_library_is_named_with_its_extra(tiny_bundle, archive, tmp_path, library, option, extra):
    (tmp_path / f"{library}.py").write_text("raise ImportError('not here', name=__name__)")
    env = environment(PYTHONPATH=str(tmp_path))
    done = batch(tiny_bundle, tmp_path / "r.parquet", archive, *option, env=env)
    assert_one_line_error(done, 2, extra)
