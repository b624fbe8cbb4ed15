"""`edgehar-run` by a configuration: several cameras, what it does when one fails, reloads, commands and signals."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest
from support.brokers import BASE
from support.helpers import (
    assert_one_line_error,
    flat_frames,
    predictions,
    records,
    run_command,
    start_command,
    wait_until,
    write_video,
)

from edgehar.cli.signals import SAME_REQUEST_S

LIVE = "synthetic:all?realtime=1&duration_s=60"


@pytest.fixture
def configured(tmp_path, tiny_bundle):
    """Writes a configuration with the bright-or-dark model; returns its path."""

    def write(text, **values):
        path = tmp_path / "edgehar.toml"
        path.write_text(f'model = "{tiny_bundle}"\n' + text.format(folder=tmp_path, **values))
        path.chmod(0o600)
        return path

    return write


def lines_of(path):
    return records(path.read_text()) if path.exists() else []


def answers_in(path):
    return [line for line in lines_of(path) if line["type"] == "prediction"]


def test_several_cameras_share_one_run(configured, tmp_path):
    write_video(tmp_path / "bright.mp4", flat_frames([235] * 50))
    write_video(tmp_path / "dark.mp4", flat_frames([20] * 25))
    path = configured("""
        [[camera]]
        name = "hall"
        source = "bright.mp4"
        hop = 1
        [[camera]]
        name = "yard"
        source = "dark.mp4"
        """)
    done = run_command("edgehar-run", "--config", path)
    assert done.returncode == 0, done.stderr
    answers = predictions(done.stdout)
    assert {(answer["source"], answer["label"]) for answer in answers} == {("hall", "bright"), ("yard", "dark")}
    by_camera = {name: [a["seq"] for a in answers if a["source"] == name] for name in ("hall", "yard")}
    assert by_camera == {"hall": list(range(17)), "yard": list(range(4))}


def test_a_camera_that_fails_leaves_the_others_alone(configured, tmp_path):
    write_video(tmp_path / "dark.mp4", flat_frames([20] * 25))
    path = configured("""
        [[camera]]
        name = "gone"
        source = "missing.mp4"
        [[camera]]
        name = "yard"
        source = "dark.mp4"
        """)
    done = run_command("edgehar-run", "--config", path)
    assert_one_line_error(done, 1, "gone: failed during the run:", "no such file; check the path")
    assert "no such file; check the path; the other cameras continue" in done.stderr
    assert {answer["source"] for answer in predictions(done.stdout)} == {"yard"}


def test_when_all_cameras_fail_so_does_the_run(configured):
    path = configured("""
        [[camera]]
        name = "one"
        source = "missing.mp4"
        [[camera]]
        name = "two"
        source = "missing too.mp4"
        """)
    done = run_command("edgehar-run", "--config", path)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


def test_the_command_line_goes_over_the_file(configured, tmp_path):
    write_video(tmp_path / "dark.mp4", flat_frames([20] * 25))
    path = configured('hop = 1\noutput = "text"\n[[camera]]\nsource = "dark.mp4"\n')
    done = run_command("edgehar-run", "--config", path, "--output", "jsonl", "--hop", 4)
    assert len(predictions(done.stdout)) == 2


def test_a_wrong_configuration_is_one_line(configured):
    path = configured("treshold = 1\n")
    assert_one_line_error(run_command("edgehar-run", "--config", path), 2, "treshold")


RELOADABLE = """
output = "none"
hop = 1
[[camera]]
source = "{live}"
[decision]
threshold = {threshold}
[file]
path = "{folder}/{file}.jsonl"
predictions = true
"""


def test_a_reload_changes_thresholds_and_sinks_and_loses_nothing(configured, tmp_path):
    def configure(threshold, file):
        return configured(RELOADABLE, live=LIVE, threshold=threshold, file=file)

    path, log = configure(0.0, "first"), tmp_path / "log"
    with log.open("w") as stderr, start_command("edgehar-run", "--config", path, stderr=stderr) as process:
        wait_until(lambda: len(answers_in(tmp_path / "first.jsonl")) >= 3)
        configure(1.0, "second")
        process.send_signal(signal.SIGHUP)
        wait_until(lambda: len(answers_in(tmp_path / "second.jsonl")) >= 3)
        (tmp_path / "edgehar.toml").write_text("nonsense = 1\n")
        process.send_signal(signal.SIGHUP)
        wait_until(lambda: "configuration unchanged" in log.read_text())
        before = len(answers_in(tmp_path / "second.jsonl"))
        wait_until(lambda: len(answers_in(tmp_path / "second.jsonl")) >= before + 3)
        process.terminate()
    assert process.returncode == 0
    assert "changed: decision, file" in log.read_text()
    first, second = answers_in(tmp_path / "first.jsonl"), answers_in(tmp_path / "second.jsonl")
    assert [answer["seq"] for answer in first + second] == list(range(len(first + second)))
    assert {answer["label"] for answer in second[2:]} == {"unknown"}


def test_what_needs_a_new_start_is_said(configured, tmp_path):
    path, log = configured(RELOADABLE, live=LIVE, threshold=0.0, file="first"), tmp_path / "log"
    with log.open("w") as stderr, start_command("edgehar-run", "--config", path, stderr=stderr) as process:
        wait_until(lambda: answers_in(tmp_path / "first.jsonl"))
        configured(RELOADABLE.replace("hop = 1", "hop = 2"), live=LIVE, threshold=0.0, file="first")
        process.send_signal(signal.SIGHUP)
        wait_until(lambda: "restart to apply changes in hop" in log.read_text())
        process.terminate()


def test_commands_over_mqtt(broker, listen, configured):
    path = configured(
        """
        output = "none"
        hop = 1
        [[camera]]
        source = "{live}"
        [mqtt]
        url = "mqtt://127.0.0.1:{port}/{base}"
        username = "{user}"
        password = "{password}"
        commands = true
        update_every_s = 0
        """,
        live=LIVE,
        port=broker.port,
        base=BASE,
        user=broker.USER,
        password=broker.PASSWORD,
    )
    listener = listen(broker)
    with start_command("edgehar-run", "--config", path) as process:
        listener.wait(lambda: len(listener.of("prediction")) > 3)
        listener.publish(f"{BASE}/set/threshold", "1")
        listener.wait(lambda: json.loads(listener.of("prediction")[-1])["label"] == "unknown")
        listener.publish(f"{BASE}/set/enabled", "OFF")
        listener.wait(lambda: json.loads(listener.of("settings")[-1])["enabled"] is False)
        # The command after it is answered by the same thread, so no prediction may come between the two.
        stopped_at = len(listener.of("prediction"))
        pictures = len(listener.of("picture"))
        listener.publish(f"{BASE}/snapshot", "PRESS")
        listener.wait(lambda: len(listener.of("picture")) > pictures)
        assert len(listener.of("prediction")) <= stopped_at + 1
        listener.publish(f"{BASE}/set/enabled", "ON")
        listener.wait(lambda: len(listener.of("prediction")) > stopped_at + 3)
        process.terminate()
        assert process.wait(300) == 0


def test_two_signals_at_once_are_one(configured, tmp_path):
    """`timeout` and some terminals send two; the event that is open must still get its end."""
    path = configured(RELOADABLE, live=LIVE, threshold=0.0, file="first")
    with start_command("edgehar-run", "--config", path) as process:
        wait_until(lambda: answers_in(tmp_path / "first.jsonl"))
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGTERM)
        assert process.wait(300) == 0
    phases = [line["phase"] for line in lines_of(tmp_path / "first.jsonl") if line["type"] == "event"]
    assert phases[-1] == "end"


def test_a_second_signal_later_ends_it_at_once(configured, tmp_path):
    path = configured(RELOADABLE.replace("none", "jsonl"), live=LIVE, threshold=0.0, file="first")
    # Nobody reads the output, whose pipe is full already: a clean end has to wait for its deadline.
    unread, output = os.pipe()
    fcntl.fcntl(output, fcntl.F_SETPIPE_SZ, 4096)
    os.write(output, bytes(4096))
    with start_command("edgehar-run", "--config", path, stdout=output) as process:
        wait_until(lambda: answers_in(tmp_path / "first.jsonl"))
        process.send_signal(signal.SIGTERM)
        time.sleep(SAME_REQUEST_S + 0.5)
        process.send_signal(signal.SIGTERM)
        assert process.wait(300) == -signal.SIGTERM
    os.close(unread)
    os.close(output)


def test_a_hangup_in_the_first_moment_does_not_end_it(configured, tmp_path):
    path = configured(RELOADABLE, live=LIVE, threshold=0.0, file="first")
    code = "import os, signal, sys; from edgehar.cli import entry\n"
    code += "signal.signal(signal.SIGHUP, signal.SIG_DFL); install = entry.Signals.install\n"
    # The signal comes between the installed handlers and the slow imports.
    code += "def now(self): install(self); os.kill(os.getpid(), signal.SIGHUP)\n"
    code += "entry.Signals.install = now; sys.argv[0] = 'edgehar-run'; entry.run()\n"
    with subprocess.Popen([sys.executable, "-c", code, "--config", str(path)]) as process:
        wait_until(lambda: answers_in(tmp_path / "first.jsonl"))
        process.terminate()
        assert process.wait(300) == 0


def test_duration_ends_the_wait_for_a_camera(tiny_bundle):
    done = run_command("edgehar-run", "--model", tiny_bundle, "--camera", 77, "--wait", "--duration", 1)
    assert done.returncode == 0, done.stderr
    assert "no camera 77" in done.stderr


def test_waiting_for_a_camera_that_is_not_there(tiny_bundle, tmp_path):
    log = tmp_path / "log"
    arguments = ["--model", tiny_bundle, "--camera", 77, "--wait"]
    with log.open("w") as stderr, start_command("edgehar-run", *arguments, stderr=stderr) as process:
        wait_until(lambda: "no camera 77" in log.read_text())
        assert process.poll() is None
        process.terminate()
    assert process.returncode == 0


def test_a_snapshot_is_a_picture_of_now(broker, listen, configured):
    url = f"mqtt://127.0.0.1:{broker.port}/{BASE}"
    camera, login = f'[[camera]]\nsource = "{LIVE}"', f'username = "{broker.USER}"\npassword = "{broker.PASSWORD}"'
    path = configured(f'output = "none"\n{camera}\n[mqtt]\nurl = "{url}"\ncommands = true\n{login}\n')
    listener = listen(broker)
    with start_command("edgehar-run", "--config", path) as process:
        listener.wait(lambda: listener.of("prediction"))
        listener.publish(f"{BASE}/snapshot", "PRESS")
        listener.wait(lambda: listener.of("picture"))
        process.terminate()
        assert process.wait(300) == 0
    jpeg = listener.of("picture")[0].encode(errors="surrogateescape")
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (120, 160, 3)
