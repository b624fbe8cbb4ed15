"""`edgehar-run` as a user runs it."""

import datetime
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from support.helpers import (
    COMMANDS,
    assert_one_line_error,
    environment,
    fill_pipe,
    flat_frames,
    predictions,
    records,
    run_command,
    start_command,
    write_video,
)

import edgehar

SCHEMA = json.loads((Path(edgehar.__file__).parent / "schemas" / "record.schema.json").read_text())


@pytest.fixture
def clip(tmp_path):
    """Four seconds of video at 25 Hz: two bright, two dark."""
    return write_video(tmp_path / "clip.mp4", flat_frames([235] * 50 + [20] * 50))


@pytest.fixture
def run(tiny_bundle):
    def run(*arguments, **options):
        return run_command("edgehar-run", "--model", tiny_bundle, *arguments, **options)

    return run


def test_stdout_is_json_lines_that_fit_the_schema_and_nothing_else(run, clip):
    done = run("--source", clip, "--hop", 1)
    assert done.returncode == 0, done.stderr
    lines = records(done.stdout)
    validator = jsonschema.Draft202012Validator(SCHEMA)
    for line in lines:
        validator.validate(line)
    answers = predictions(done.stdout)
    # Of 100 frames at 25 Hz, 40 lie on the grid of 10 Hz; the first three fill the window.
    assert len(answers) == 37
    assert [answer["seq"] for answer in answers] == list(range(37))
    assert {answer["source"] for answer in answers} == {str(clip)}
    assert all(sum(answer["scores"].values()) == pytest.approx(1, abs=0.02) for answer in answers)
    assert all(answer["rate_ok"] and not answer["dropped"] for answer in answers)
    assert [answer["label"] for answer in answers[:17] + answers[-17:]] == ["bright"] * 17 + ["dark"] * 17
    events = [(line["phase"], line["label"]) for line in lines if line["type"] == "event"]
    assert events == [("start", "bright"), ("end", "bright"), ("start", "dark"), ("end", "dark")]


def test_a_file_gives_the_same_answers_every_time(run, clip):
    def answers():
        return [(a["seq"], a["scores"], a["window"]) for a in predictions(run("--source", clip).stdout)]

    assert answers() == answers()


def test_text_is_for_people(run, clip):
    done = run("--source", clip, "--output", "text")
    lines = done.stdout.splitlines()
    assert done.returncode == 0
    assert lines[0].split() == ["0.00", "to", "0.28", "s", str(clip), "bright", "1.00"]
    assert lines[1].startswith("event: bright started at 0.28 s, peak 1.00")
    assert lines[-1].startswith("event: dark ended at ")


def test_text_of_a_live_source_has_the_time_of_day(tiny_bundle):
    source = "synthetic:walking?realtime=1&duration_s=60"
    arguments = ["--model", tiny_bundle, "--source", source, "--output", "text", "--max-predictions", 2]
    done = run_command("edgehar-run", *arguments, env=environment(TZ="UTC"))
    today = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d ")
    assert all(line.startswith((today, "event: ")) for line in done.stdout.splitlines()), done.stdout
    assert f"started at {today}" in done.stdout


def test_no_output(run, clip):
    done = run("--source", clip, "--output", "none")
    assert (done.returncode, done.stdout) == (0, "")


def test_a_threshold_makes_unknown_of_what_is_unsure(run, tmp_path):
    grey = write_video(tmp_path / "grey.mp4", flat_frames([128] * 25))
    done = run("--source", grey, "--threshold", "0.9")
    assert {answer["label"] for answer in predictions(done.stdout)} == {"unknown"}
    assert [record["type"] for record in records(done.stdout)] == ["prediction"] * len(records(done.stdout))


def test_a_region_of_the_picture(run, tmp_path):
    frames = [np.hstack([frame, 255 - frame]) for frame in flat_frames([20] * 25)]
    halves = write_video(tmp_path / "halves.mp4", frames)
    for region, label in (("0,0,0.5,1", "dark"), ("0.5,0,0.5,1", "bright")):
        assert {answer["label"] for answer in predictions(run("--source", halves, "--region", region).stdout)} == {
            label
        }


@pytest.mark.parametrize("count", [1, 4])
def test_max_predictions_is_exact(run, clip, count):
    done = run("--source", clip, "--max-predictions", count)
    assert done.returncode == 0
    assert len(predictions(done.stdout)) == count


def test_duration_is_that_of_the_video(run, clip):
    assert predictions(run("--source", clip, "--duration", 2).stdout)[-1]["window"]["end_s"] <= 2.0


def test_a_clip_shorter_than_a_window_is_answered_once(run, tmp_path):
    short = write_video(tmp_path / "short.mp4", flat_frames([235] * 3))
    (answer,) = predictions(run("--source", short).stdout)
    assert answer["label"] == "bright"
    assert answer["window"]["frames"] == 2


def test_images_with_a_rate(run, tmp_path):
    import cv2

    for number, frame in enumerate(flat_frames([235] * 10)):
        cv2.imwrite(str(tmp_path / f"shot{number}.png"), frame)
    for source in (tmp_path, tmp_path / "shot*.png"):
        answers = predictions(run("--source", source, "--rate-hz", 10, "--hop", 1).stdout)
        assert len(answers) == 7
        assert answers[-1]["window"]["end_s"] == pytest.approx(0.9)


def test_a_slow_source_is_told(run, tmp_path):
    slow = write_video(tmp_path / "slow.mp4", flat_frames([235] * 10), rate_hz=5)
    answers = predictions(run("--source", slow).stdout)
    assert answers
    assert not any(answer["rate_ok"] for answer in answers)


def test_a_live_source_for_a_while(run):
    done = run("--source", "synthetic:walking?realtime=1&duration_s=60&width=64&height=48", "--duration", 3)
    assert done.returncode == 0
    answers = predictions(done.stdout)
    assert 1 <= answers[-1]["window"]["end_s"] - answers[0]["window"]["start_s"] < 30


def live(tiny_bundle, *arguments):
    source = "synthetic:walking?realtime=1&duration_s=60&width=64&height=48"
    return start_command("edgehar-run", "--model", tiny_bundle, "--source", source, *arguments)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_signals_end_the_run_cleanly(tiny_bundle, number, code):
    with live(tiny_bundle) as process:
        assert json.loads(process.stdout.readline())["type"] == "prediction"
        process.send_signal(number)
        out, err = process.communicate()
    assert process.returncode == code, err
    assert "Traceback" not in err
    assert records(out)[-1]["phase"] == "end"
    assert "stopped after" in err


def test_each_line_is_there_as_soon_as_it_is_known(tiny_bundle):
    with live(tiny_bundle, "--hop", "1") as process:
        ages_s = []
        for _ in range(5):
            line = json.loads(process.stdout.readline())
            ages_s.append(time.time() - np.datetime64(line["time"][:-1]).astype("datetime64[ms]").astype(float) / 1e3)
        process.terminate()
        process.communicate(timeout=300)
    assert min(ages_s) < 0.2


def test_a_reader_that_goes_away_ends_the_run_quietly(tiny_bundle):
    with live(tiny_bundle) as process:
        process.stdout.readline()
        process.stdout.close()
        process.wait(300)
        err = process.stderr.read()
    assert process.returncode == 0, err
    assert "Traceback" not in err
    assert "rror" not in err


def test_head_takes_what_it_wants(tiny_bundle, clip):
    line = f'set -o pipefail; "{COMMANDS}/edgehar-run" --model "{tiny_bundle}" --source "{clip}" --hop 1 | head -1'
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["type"] == "prediction"
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full (Linux)")
def test_a_full_disk_is_one_line(tiny_bundle, clip):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [COMMANDS / "edgehar-run", "--model", tiny_bundle, "--source", clip],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=300,
            check=False,
        )
    assert_one_line_error(done, 1, "standard output: cannot be written: No space left on device")
    assert "Exception ignored" not in done.stderr


def test_a_closed_stdout_is_one_line(tiny_bundle, clip):
    line = f'"{COMMANDS}/edgehar-run" --model "{tiny_bundle}" --source "{clip}" >&-'
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=300, check=False)
    assert_one_line_error(done, 1, "standard output is closed")


def test_a_slow_reader_of_a_file_loses_nothing(tiny_bundle, tmp_path):
    long = write_video(tmp_path / "long.mp4", flat_frames([235] * 1200))
    with start_command("edgehar-run", "--model", tiny_bundle, "--source", long, "--hop", "1") as process:
        fill_pipe(process.stdout)
        out, _ = process.communicate()
    assert process.returncode == 0
    assert [answer["seq"] for answer in predictions(out)] == list(range(477))


def test_help_needs_no_heavy_import():
    heavy = ("numpy", "cv2", "av", "paho", "ai_edge_litert", "tensorflow", "msgspec")
    code = f"""
import sys
from edgehar.cli.run import main
try:
    main(["--help"])
except SystemExit as end:
    assert end.code == 0
sys.exit(", ".join(name for name in {heavy} if name in sys.modules) or 0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for option in (
        "--camera",
        "--source",
        "--model",
        "--hop",
        "--threshold",
        "--mqtt",
        "--max-predictions",
        "examples:",
    ):
        assert option in done.stdout


def test_a_plain_run_loads_nothing_for_recordings_and_deliveries(tiny_bundle, clip):
    unasked = ("apprise", "pyrage", "obstore", "paramiko", "edgehar.recording.recorder",
               "edgehar.recording.store", "edgehar.delivery.uploader", "edgehar.delivery.notify",
               "edgehar.sinks.webhook.sink", "edgehar.templates",
               "edgehar.sinks.mqtt.sink")  # fmt: skip
    code = f"""
import sys
from edgehar.cli.run import main
assert main(["--model", {str(tiny_bundle)!r}, "--source", {str(clip)!r}, "--output", "none"]) == 0
sys.exit(", ".join(name for name in {unasked} if name in sys.modules) or 0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_version():
    assert run_command("edgehar-run", "--version").stdout == f"edgehar-run {edgehar.__version__}\n"


@pytest.mark.skipif(os.name != "posix", reason="POSIX signals")
def test_ignored_signals_stay_ignored(tiny_bundle, clip):
    line = f'trap "" INT; "{COMMANDS}/edgehar-run" --model "{tiny_bundle}" --source "{clip}" & kill -INT $!; wait $!'
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
