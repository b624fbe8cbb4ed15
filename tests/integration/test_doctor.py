"""`edgehar doctor` as a user runs it, where all is well and where it is not."""

import json
import os
import socket
import zipfile
from pathlib import Path

import pytest
from support.helpers import environment, flat_frames, run_command, write_video

from edgehar.doctor import cameras, software
from edgehar.doctor.finding import Finding, from_error
from edgehar.errors import SourceError


@pytest.fixture
def home(tmp_path):
    """A home without a configuration, in which files may be written."""
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def config(home, text):
    path = home / "config.toml"
    path.write_text(text)
    return path


def examine(home, *arguments, **changes):
    """Exit code and findings by check."""
    env = environment(HOME=str(home), XDG_CONFIG_HOME=None, XDG_STATE_HOME=None, STATE_DIRECTORY=None, **changes)
    done = run_command("edgehar", "doctor", "--json", *arguments, env=env)
    assert "Traceback" not in done.stderr
    document = json.loads(done.stdout)
    assert done.returncode == (0 if document["ok"] else 1), done.stdout
    assert document["ok"] == all(finding["level"] != "fail" for finding in document["checks"])
    assert all(finding["fix"] for finding in document["checks"] if finding["level"] != "ok"), done.stdout
    return done.returncode, {finding["check"]: finding for finding in document["checks"]}


def test_a_healthy_device_passes(home, tiny_bundle):
    clip = write_video(home / "clip.avi", flat_frames(range(5)))
    code, found = examine(home, "--source", clip, "--model", tiny_bundle)
    assert code == 0, found
    for check in ("Python", "runtime", "kernel", f"model {tiny_bundle}", "speed of tiny", f"camera {clip}"):
        assert found[check]["level"] == "ok", found[check]
    assert "ms per frame" in found["speed of tiny"]["says"]
    assert found["source video"]["level"] == "ok"
    assert found["disk for events"]["level"] in ("ok", "warn")


def test_lines_for_people_say_how_to_mend_it(home, tiny_bundle):
    env = environment(HOME=str(home), XDG_CONFIG_HOME=None)
    done = run_command("edgehar", "doctor", "--source", home / "gone.mp4", "--model", tiny_bundle, env=env)
    assert done.returncode == 1
    assert f"fail  camera {home}/gone.mp4: {home}/gone.mp4: no such file or folder\n      fix: " in done.stdout
    assert "checks: 1 failed" in done.stdout.splitlines()[-1]


def test_an_altered_model_fails(home, tiny_bundle):
    altered = home / "altered.edgehar"
    with zipfile.ZipFile(tiny_bundle) as before, zipfile.ZipFile(altered, "w") as after:
        for name in before.namelist():
            content = before.read(name)
            after.writestr(name, content[:-1] + bytes([content[-1] ^ 1]) if name == "head.tflite" else content)
    code, found = examine(home, "--model", altered)
    assert code == 1
    finding = found[f"model {altered}"]
    assert (finding["level"], finding["fix"]) == ("fail", "copy it again")
    assert "head.tflite is altered" in finding["says"]


def test_an_unknown_model_fails(home):
    code, found = examine(home, "--model", "no-such-model")
    assert code == 1
    assert "unknown model" in found["model no-such-model"]["says"] + found["model no-such-model"]["fix"]


def test_the_old_runtime_with_a_new_numpy_fails(home, tiny_bundle, tmp_path):
    """What is installed is asked, not the documents: a stand-in for tflite-runtime beside the real numpy 2."""
    import numpy

    if int(numpy.__version__.split(".")[0]) < 2:
        pytest.skip("needs numpy 2")
    package = tmp_path / "packages" / "tflite_runtime"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "interpreter.py").write_text("class Interpreter:\n    pass\n")
    code, found = examine(
        home, "--model", tiny_bundle, EDGEHAR_RUNTIME="tflite-runtime", PYTHONPATH=str(tmp_path / "packages")
    )
    assert code == 1
    assert found["runtime"] == {
        "check": "runtime",
        "level": "fail",
        "says": "tflite-runtime does not work with numpy 2",
        "fix": "pip install 'numpy<2' (or: pip install ai-edge-litert)",
    }
    # The others are made all the same.
    assert found["kernel"]["level"] == "ok"


@pytest.mark.parametrize(("library", "check"), [("msgspec", "Python"), ("numpy", "kernel"), ("av", "source video")])
def test_a_missing_library_is_named_and_the_rest_is_examined(home, tiny_bundle, tmp_path, library, check):
    broken = tmp_path / "packages"
    broken.mkdir()
    (broken / f"{library}.py").write_text(
        f"raise ModuleNotFoundError(\"No module named '{library}'\", name='{library}')"
    )
    done = run_command(
        *("edgehar", "doctor", "--json", "--source", "clip.mp4", "--model", tiny_bundle),
        env=environment(HOME=str(home), XDG_CONFIG_HOME=None, PYTHONPATH=str(broken)),
    )
    assert "Traceback" not in done.stderr, done.stderr
    found = {finding["check"]: finding for finding in json.loads(done.stdout)["checks"]}
    assert done.returncode == 1
    assert found[check]["level"] == "fail"
    assert library in found[check]["says"] + found[check]["fix"]


def test_a_wrong_configuration_is_told_and_the_rest_examined(home, tiny_bundle):
    path = config(home, "modle = 3\nhop = -1\n")
    env = environment(HOME=str(home), XDG_CONFIG_HOME=None)
    done = run_command("edgehar", "doctor", "--json", "--config", path, "--model", tiny_bundle, env=env)
    findings = json.loads(done.stdout)["checks"]
    told = [finding["says"] for finding in findings if finding["check"] == "configuration"]
    assert done.returncode == 1
    assert len(told) == 2
    assert "modle" in told[0]
    assert "hop" in told[1]
    assert any(finding["check"] == "kernel" for finding in findings)


def test_a_camera_that_is_not_there_fails(home, tiny_bundle):
    code, found = examine(home, "--source", "camera:97", "--model", tiny_bundle)
    assert code == 1
    assert found["camera camera:97"]["says"].startswith("/dev/video97 does not exist")


def test_a_network_camera_is_called_and_its_password_not_told(home, tiny_bundle):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"rtsp://user:hunter2@127.0.0.1:{listener.getsockname()[1]}/stream"
        _, found = examine(home, "--source", address, "--model", tiny_bundle)
        (finding,) = [finding for check, finding in found.items() if check.startswith("camera ")]
        assert finding["level"] == "ok"
    code, found = examine(home, "--source", address, "--model", tiny_bundle)
    assert code == 1
    assert "hunter2" not in json.dumps(found)
    assert "Connection refused" in json.dumps(found)


def test_disks_that_take_nothing(home, tiny_bundle):
    (home / "file").touch()
    path = config(
        home,
        f'[mqtt]\nurl = "mqtt://127.0.0.1:1/edgehar/test"\n[spool]\ndirectory = "{home}/file/spool"\n'
        f'[file]\npath = "{home}/gone/results.jsonl"\n',
    )
    code, found = examine(home, "--config", path, "--model", tiny_bundle)
    assert code == 1
    assert found["disk for events"]["level"] == "fail"
    assert found["disk for results"] == {
        "check": "disk for results",
        "level": "fail",
        "says": f"{home}/gone: does not exist",
        "fix": f"mkdir -p {home}/gone",
    }


def test_room_that_may_not_last_is_a_warning(home, tiny_bundle):
    path = config(home, f'[spool]\nmax_mb = 99999.0\ndirectory = "{home}"\n')
    _, found = examine(home, "--config", path, "--model", tiny_bundle)
    free_mb = os.statvfs(home).f_bavail * os.statvfs(home).f_frsize / 1e6
    assert found["disk for events"]["level"] == ("warn" if free_mb < 199_998 else "ok")


# ---- the broker


def broker_config(home, broker, extra="", password=None):
    scheme, host = ("mqtts", "localhost") if broker.certificates else ("mqtt", "127.0.0.1")
    (home / "password").write_text(broker.PASSWORD if password is None else password)
    return config(
        home,
        f'[mqtt]\nurl = "{scheme}://{broker.USER}@{host}:{broker.port}/edgehar/test"\n'
        f'password_file = "{home}/password"\n{extra}',
    )


def of_broker(home, tiny_bundle, path):
    code, found = examine(home, "--config", path, "--model", tiny_bundle, "--source", "synthetic:walking")
    assert "s3cret" not in json.dumps(found)
    return code, found["broker"]


def test_a_broker_that_lets_us_in(home, tiny_bundle, broker, listen):
    listener = listen(broker)
    code, finding = of_broker(home, tiny_bundle, broker_config(home, broker))
    assert (code, finding["level"]) == (0, "ok"), finding
    assert finding["says"].startswith(f"mqtt://127.0.0.1:{broker.port} accepts the login as edge; unencrypted")
    assert listener.messages == []


def test_a_broker_that_refuses(home, tiny_bundle, broker):
    code, finding = of_broker(home, tiny_bundle, broker_config(home, broker, password="wrong"))
    assert (code, finding["level"]) == (1, "fail")
    assert "Not authorized" in finding["says"]
    assert "password" in finding["fix"]


def test_a_broker_that_is_away_or_frozen(home, tiny_bundle, broker):
    path = broker_config(home, broker)
    broker.freeze()
    code, finding = of_broker(home, tiny_bundle, path)
    assert (code, finding["says"].partition(": ")[2]) == (1, "does not answer within 5 s")
    broker.thaw()
    broker.stop()
    code, finding = of_broker(home, tiny_bundle, path)
    assert (code, finding["says"].partition(": ")[2]) == (1, "cannot be reached: Connection refused")


def test_a_broker_with_tls(home, tiny_bundle, make_broker, certificates):
    broker = make_broker(certificates=certificates).start()
    trusted = f'ca_file = "{certificates.authority}"\n'
    code, finding = of_broker(home, tiny_bundle, broker_config(home, broker, trusted))
    assert (code, finding["says"]) == (0, f"mqtts://localhost:{broker.port} accepts the login as edge")
    code, finding = of_broker(home, tiny_bundle, broker_config(home, broker))
    assert code == 1
    assert "TLS: " in finding["says"]


def test_a_name_that_nobody_has(home, tiny_bundle):
    path = config(home, '[mqtt]\nurl = "mqtt://no-such-broker.invalid/edgehar/test"\n')
    code, finding = of_broker(home, tiny_bundle, path)
    assert code == 1
    assert "its name cannot be found" in finding["says"]


# ---- what this machine cannot show


def test_a_missing_group_is_named(monkeypatch, tmp_path):
    class Group:
        gr_name, gr_mem = "video", []

    device = tmp_path / "video0"
    device.touch()
    monkeypatch.setattr(cameras.grp, "getgrgid", lambda _: Group)
    monkeypatch.setattr(cameras.getpass, "getuser", lambda: "ann")
    assert cameras._no_access("camera", device).fix == "sudo usermod -aG video ann; then log out and in again"
    Group.gr_mem = ["ann"]
    assert cameras._no_access("camera", device).fix == "log out and in again, or restart"


def test_a_virtual_environment_that_hides_picamera2_gets_the_line_that_mends_it(monkeypatch, tmp_path):
    (tmp_path / "picamera2").mkdir()
    monkeypatch.setattr(software, "_SYSTEM_PACKAGES", tmp_path)
    monkeypatch.setattr(software, "in_virtual_environment", lambda: True)
    (finding,) = software._picamera2("source picamera2", "this source needs picamera2; install it", True)
    assert finding.level == "fail"
    assert finding.fix.startswith(f"python3 -m venv --system-site-packages {Path(software.sys.prefix)}")


def test_our_errors_become_findings():
    error = SourceError("this source needs av; run: pip install av")
    assert from_error("x", error) == Finding("x", "fail", "this source needs av", "pip install av")
    assert from_error("x", SourceError("broken")).says == "broken"


def test_it_says_how_events_are_recorded(home, tiny_bundle):
    clip = write_video(home / "clip.avi", flat_frames(range(5)))
    text = f'model = "{tiny_bundle}"\n[[camera]]\nsource = "{clip}"\n[record]\nmin_free_mb = 0\n'
    code, found = examine(home, "--config", config(home, f'{text}directory = "{home / "clips"}"\n'))
    assert code == 0, found
    assert any(codec in found["recording"]["says"] for codec in ("libx264", "h264_v4l2m2m", "mjpeg"))
    assert found["disk for clips"]["level"] == "ok"
    code, found = examine(home, "--config", config(home, f'{text}directory = "{clip}/clips"\n'))
    assert code == 1
    assert "cannot be written" in found["disk for clips"]["says"]
    _, found = examine(home, "--source", clip, "--model", tiny_bundle)
    assert "recording" not in found
