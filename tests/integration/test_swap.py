"""`edgehar models swap` and `rollback` against a running edgehar-run, and what a user does wrong."""

import contextlib
import itertools
import json
import os
import signal

import pytest
from support.helpers import assert_one_line_error, flat_frames, run_command, start_command, write_video
from support.tiny_bundle import write_tiny_bundle

RATE_HZ = 25


@pytest.fixture
def device(tmp_path):
    """A configuration with a camera that shows the same second again and again, and two bundles."""
    clip = write_video(tmp_path / "clip.mp4", flat_frames([90] * RATE_HZ))
    write_tiny_bundle(tmp_path / "base.edgehar", name="base", hop=1)
    write_tiny_bundle(tmp_path / "hall.edgehar", name="hall", gain=8.0, hop=1)
    config = tmp_path / "edgehar.toml"
    config.write_text(
        f'model = "base.edgehar"\n[[camera]]\nname = "hall"\nsource = "{clip}"\nloop = true\nrealtime = true\n'
        f'[models]\nswap = true\ndirectory = "{tmp_path / "models"}"\n'
    )
    return config


def models(device, *arguments):
    return run_command("edgehar", "models", arguments[0], "--config", device, *arguments[1:])


@contextlib.contextmanager
def running(device):
    """Yield an iterator over the predictions of a run, which is killed in the end."""
    with start_command("edgehar-run", "--config", device) as process:
        try:
            yield (record for line in process.stdout if (record := json.loads(line))["type"] == "prediction")
        finally:
            process.send_signal(signal.SIGKILL)
            process.communicate()


def until(predictions, model):
    """The predictions up to the first of a model."""
    seen = []
    for prediction in predictions:
        seen.append(prediction)
        if prediction["model"] == model:
            return seen
    raise AssertionError("the run ended")


def assert_no_window_is_missing(seen):
    assert [one["seq"] for one in seen] == list(range(seen[0]["seq"], seen[0]["seq"] + len(seen)))
    steps = [after["window"]["end_s"] - before["window"]["end_s"] for before, after in itertools.pairwise(seen)]
    # One frame of the time grid between answers: the file starts again every second, which is one more frame.
    assert max(steps, default=0) < 0.3


def test_a_model_takes_over_goes_back_and_outlives_a_kill(device):
    with running(device) as predictions:
        seen = until(predictions, "base")
        done = models(device, "swap", device.parent / "hall.edgehar", "--now")
        assert done.returncode == 0, done.stderr
        seen += until(predictions, "hall")
        assert_no_window_is_missing(seen)
        assert "hall answers" in models(device, "status").stdout
    # Killed: the next run goes on with the model that had taken over.
    with running(device) as predictions:
        assert next(predictions)["model"] == "hall"
        assert models(device, "rollback").returncode == 0
        assert_no_window_is_missing(until(predictions, "base"))
    assert "there is nothing to roll back" in models(device, "rollback").stderr


def test_after_its_time_in_shadow_a_model_takes_over(device):
    with running(device) as predictions:
        until(predictions, "base")
        assert models(device, "swap", device.parent / "hall.edgehar", "--shadow", "1s").returncode == 0
        seen = until(predictions, "hall")
    assert len(seen) >= 8
    state = json.loads(models(device, "status", "--json").stdout)
    assert state["active"]["name"] == "hall"
    assert state["comparison"]["answers"] >= 8
    assert state["note"] == "taken over after its time in shadow"


def test_a_model_that_takes_over_follows_rules_that_were_changed_meanwhile(device):
    with start_command("edgehar-run", "--config", device) as process:
        predictions = (record for line in process.stdout if (record := json.loads(line))["type"] == "prediction")
        until(predictions, "base")
        device.write_text(device.read_text() + "[decision]\nthreshold = 1.0\n")
        process.send_signal(signal.SIGHUP)
        assert any(one["label"] == "unknown" for one in predictions)
        assert models(device, "swap", device.parent / "hall.edgehar", "--now").returncode == 0
        assert until(predictions, "hall")[-1]["label"] == "unknown"
        process.send_signal(signal.SIGKILL)
        process.communicate()


@pytest.mark.parametrize("damage", ["gone", "cut", "state"])
def test_a_run_starts_with_the_model_before_if_the_taken_over_one_is_damaged(device, damage):
    assert models(device, "swap", device.parent / "hall.edgehar", "--now").returncode == 0
    (bundle,) = device.parent.glob("models/*/*.edgehar")
    if damage == "gone":
        bundle.unlink()
    elif damage == "cut":
        bundle.write_bytes(bundle.read_bytes()[:-100])
    else:
        next(device.parent.glob("models/*/state.json")).write_text("{")
    done = run_command("edgehar-run", "--config", device, "--max-predictions", "3")
    assert done.returncode == 0, done.stderr
    assert {json.loads(line).get("model") for line in done.stdout.splitlines() if '"prediction"' in line} == {"base"}
    assert "edgehar models swap" in done.stderr or "state.json: damaged" in done.stderr


def test_without_the_setting_nothing_is_taken_over_and_that_is_said(device):
    device.write_text(device.read_text().replace("swap = true", "swap = false"))
    done = models(device, "swap", device.parent / "hall.edgehar", "--now")
    assert "set swap = true under [models]" in done.stderr
    done = run_command("edgehar-run", "--config", device, "--max-predictions", "1")
    assert '"base"' in done.stdout


def test_another_encoder_is_refused(device, tmp_path):
    other = write_tiny_bundle(tmp_path / "other.edgehar", size=12)
    assert_one_line_error(models(device, "swap", other, "--now"), 1, "another encoder", "restart")


def test_an_unsigned_bundle_is_not_put_forward_where_signatures_are_required(device):
    device.write_text(device.read_text() + "require_signed = true\n")
    done = models(device, "swap", device.parent / "hall.edgehar", "--now")
    assert_one_line_error(done, 1, "is not signed")
    assert not list(device.parent.glob("models/*/*.edgehar"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("swap", "hall.edgehar", "--shadow", "soon"), "write 30m"),
        (("swap", "none.edgehar"), "no such model bundle"),
        (("rollback",), "there is nothing to roll back"),
        (("status", "--model", "x"), "no camera has the model 'x'"),
    ],
)
def test_wrong_words_are_said(device, arguments, words):
    assert_one_line_error(models(device, *arguments), 2, words)


def test_a_folder_that_cannot_be_written_is_said(device):
    if os.geteuid() == 0:
        (device.parent / "models").write_text("a file")
    else:
        (device.parent / "models").mkdir(mode=0o500)
    done = models(device, "swap", device.parent / "hall.edgehar", "--now")
    assert_one_line_error(done, 1, "models")
