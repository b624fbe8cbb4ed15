"""`edgehar batch --ray`: the same table as on one machine, also if a node is lost."""

import os
import re
import time

import numpy as np
import pandas as pd
import psutil
import pytest
from support.helpers import environment, run_command, start_command, write_video

pytest.importorskip("ray", reason="needs Ray: pip install 'edgehar[cluster]'")

FILES = 6


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    folder = tmp_path_factory.mktemp("archive")
    for number in range(FILES):
        levels = [230 - number] * 150 + [20 + number] * 150
        frames = [np.full((240, 320, 3), level, np.uint8) for level in levels]
        write_video(folder / f"{number}.mp4", frames, rate_hz=10)
    return folder


@pytest.fixture(scope="module")
def table(tiny_bundle, archive, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "r.parquet"
    assert batch(tiny_bundle, archive, out).returncode == 0
    return out.read_bytes()


def batch(bundle, archive, out, *arguments, **options):
    command = ("edgehar", "batch", archive, "--model", bundle, "--out", out, *arguments)
    return run_command(*command, timeout_s=240, **options)


def test_a_cluster_of_this_machine(tiny_bundle, archive, table, tmp_path):
    # Ray keeps a token in the home folder.
    env = environment(HOME=str(tmp_path), RAY_AUTH_MODE=None, RAY_AUTH_TOKEN=None)
    # Workers must not import what lies in the folder in which the command runs.
    (tmp_path / "edgehar").mkdir()
    (tmp_path / "edgehar" / "__init__.py").write_text("raise ImportError('not the installed package')")
    done = batch(tiny_bundle, archive, "r.parquet", "--ray", "--jobs", 1, env=env, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "r.parquet").read_bytes() == table


@pytest.mark.usefixtures("source_tree")
def test_a_cluster_that_loses_a_node(tiny_bundle, archive, table, cluster, tmp_path):
    node = cluster.add_node()
    out = tmp_path / "r.parquet"
    arguments = ["batch", archive, "--model", tiny_bundle, "--out", out, "--ray", cluster.address]
    with start_command("edgehar", *arguments) as process:
        lines = []
        for line in process.stderr:
            lines.append(line)
            if "classifying: " in line:
                node.kill()
        output = process.stdout.read()
    assert process.returncode == 0, lines
    # What Ray prints about the lost node goes elsewhere.
    assert re.fullmatch(r"6 files, .*\nwrote .*\n", output), output
    assert out.read_bytes() == table
    assert not (tmp_path / "r.parquet.parts").exists()


@pytest.mark.usefixtures("source_tree")
def test_a_damaged_file_and_a_missing_one(tiny_bundle, cluster, tmp_path):
    (tmp_path / "text.mp4").write_text("not a video")
    (tmp_path / "list.txt").write_text(f"{tmp_path / 'text.mp4'}\n{tmp_path / 'absent.mp4'}\n")
    done = batch(tiny_bundle, f"@{tmp_path / 'list.txt'}", tmp_path / "r.parquet", "--ray", cluster.address)
    assert done.returncode == 1
    assert list(pd.read_parquet(tmp_path / "r.sources.parquet")["status"]) == ["damaged", "damaged"]


def test_a_file_that_kills_its_actor_is_named(tiny_bundle, archive, cluster, tmp_path):
    out, killed = tmp_path / "r.parquet", set()
    # An actor that reads it waits, and does nothing else.
    os.mkfifo(tmp_path / "hangs.mp4")
    arguments = ["batch", tmp_path / "hangs.mp4", archive / "1.mp4", "--model", tiny_bundle, "--out", out, "--jobs", 1]
    with start_command("edgehar", *arguments, "--ray", cluster.address) as process:
        while len(killed) < 2:
            assert process.poll() is None
            # Ray gives a process the name of the method that it runs.
            for actor in psutil.process_iter(["cmdline", "pid"]):
                if "ClipActor.classify" in " ".join(actor.info["cmdline"] or []):
                    actor.kill()
                    killed.add(actor.info["pid"])
            time.sleep(0.1)
        errors = process.communicate()[1]
    assert process.returncode == 1, errors
    assert re.search(r"crashed: .*hangs\.mp4: ended its actor, 2 times", errors)
    assert list(pd.read_parquet(tmp_path / "r.sources.parquet")["status"]) == ["crashed", "done"]
