"""`edgehar fleet` with a real broker, its access rules, and real devices."""

import contextlib
import hashlib
import json
import re
import signal
import subprocess
import sys

import pytest
from support.helpers import (
    assert_one_line_error,
    environment,
    flat_frames,
    run_command,
    start_command,
    wait_until,
    write_video,
)
from support.paths import ROOT
from support.tiny_bundle import write_tiny_bundle

from edgehar.model.signature import Trust, make_key, sign

pytestmark = pytest.mark.broker
LIVE = "synthetic:walking?realtime=1&duration_s=60&width=64&height=48"


def address(broker, user, topic="edgehar"):
    return f"mqtt://{user}@127.0.0.1:{broker.port}/{topic}"


@pytest.fixture
def fleet_broker(make_broker, tmp_path):
    """A broker with the access rules of the documentation: the operator `ops`, the devices `hall` and `porch`."""
    rules = re.search(r"```\n(user ops\n.*?)```", (ROOT / "docs" / "fleet.md").read_text(), re.DOTALL)[1]
    (tmp_path / "acl").write_text(rules)
    broker = make_broker(f"acl_file {tmp_path / 'acl'}")
    for user in ("ops", "hall", "porch"):
        broker.let_in(user)
    return broker.start()


@pytest.fixture
def env(fleet_broker):
    return environment(EDGEHAR_MQTT_PASSWORD=fleet_broker.PASSWORD, EDGEHAR_FLEET_URL=address(fleet_broker, "ops"))


def device_command(broker, name, model, source):
    return (
        "--model",
        model,
        "--source",
        source,
        "--output",
        "none",
        "--mqtt",
        address(broker, name, f"edgehar/{name}"),
    )


@contextlib.contextmanager
def running(env, *arguments):
    """A device that runs until the end of the block."""
    with start_command("edgehar-run", *arguments, env=env) as process:
        try:
            yield
        finally:
            process.send_signal(signal.SIGINT)


def listed(env, *arguments):
    done = run_command("edgehar", "fleet", "list", "--json", *arguments, env=env)
    if "no device has published here" in done.stderr:
        return {}
    assert done.returncode == 0, done.stderr
    return {device["name"]: device for device in json.loads(done.stdout)}


def test_devices_are_listed(fleet_broker, env, tiny_bundle, tmp_path):
    clip = write_video(tmp_path / "clip.mp4", flat_frames([235] * 50 + [20] * 50))
    done = run_command("edgehar-run", *device_command(fleet_broker, "hall", tiny_bundle, clip), env=env)
    assert done.returncode == 0, done.stderr
    with running(env, *device_command(fleet_broker, "porch", tiny_bundle, LIVE)):
        wait_until(lambda: listed(env).get("porch", {}).get("problems") == [])
        devices = listed(env)
        assert list(devices) == ["hall", "porch"]
        assert (devices["hall"]["online"], devices["hall"]["problems"]) == (False, ["offline"])
        assert devices["hall"]["device"]["alarms"] == 2
        (model,) = devices["porch"]["device"]["models"]
        assert model["name"] == "tiny"
        assert devices["porch"]["statuses"][""]["state"] == "running"
        assert list(listed(env, "--problems")) == ["hall"]
        table = run_command("edgehar", "fleet", "list", env=env).stdout.splitlines()
        assert table[0].split() == ["DEVICE", "FPS", "TEMP", "ALARMS/DAY", "EDGEHAR", "MODEL", "HEALTH"]
        assert f"tiny@{model['sha256'][:8]}" in table[2]
        assert table[1].endswith("offline")
        assert table[-1] == "2 devices: 1 online, 1 offline, 1 need attention"


def test_changes_and_alarms_are_watched(fleet_broker, env, tiny_bundle, tmp_path):
    clip = write_video(tmp_path / "clip.mp4", flat_frames([235] * 50 + [20] * 50))
    command = device_command(fleet_broker, "hall", tiny_bundle, clip)
    assert run_command("edgehar-run", *command, env=env).returncode == 0
    with start_command("edgehar", "fleet", "watch", "--json", env=env) as watch:
        assert "1 devices: 0 online" in watch.stderr.readline()
        assert run_command("edgehar-run", *command, env=env).returncode == 0
        seen = []
        while "offline" not in seen:
            change = json.loads(watch.stdout.readline())
            assert change["device"] == "hall"
            seen.append(change["what"])
        watch.send_signal(signal.SIGINT)
        errors = watch.stderr.read()
    assert watch.returncode == 130
    assert "Traceback" not in errors
    assert seen[0] == "online"
    assert [what.partition(",")[0] for what in seen if " of " in what] == [
        *("start of bright", "end of bright", "start of dark", "end of dark"),
    ]


def device_config(folder, broker, name):
    """A configuration of a device that follows orders; its camera shows the same second again and again."""
    folder.mkdir()
    clip = write_video(folder / "clip.mp4", flat_frames([90] * 25))
    write_tiny_bundle(folder / "base.edgehar", name="base", hop=1)
    config = folder / "edgehar.toml"
    config.write_text(
        f'model = "base.edgehar"\noutput = "none"\n[[camera]]\nsource = "{clip}"\nloop = true\nrealtime = true\n'
        f'[health]\nstatus_every_s = 1\n[spool]\ndirectory = "{folder / "spool"}"\n'
        f'[mqtt]\nurl = "{address(broker, name, f"edgehar/{name}")}"\nfleet = true\n'
        f'[models]\nswap = true\ntrusted_keys = "{folder.parent / "trusted"}"\n'
        # Each repetition is an event.
        "rollback_alarms_per_hour = 0\n"
    )
    return config


@pytest.fixture
def pushed(tmp_path):
    """A signed bundle with another head, and the key that devices trust."""
    Trust(tmp_path / "trusted").add(make_key(tmp_path / "key", "operator"))
    bundle = write_tiny_bundle(tmp_path / "new.edgehar", name="new", gain=8.0, hop=1)
    sign(bundle, tmp_path / "key")
    return bundle


def push(env, bundle, *arguments):
    return run_command("edgehar", "fleet", "push", bundle, *arguments, env=env, timeout_s=200)


def model_names(env):
    return {name: device["device"]["models"][0]["name"] for name, device in listed(env).items()}


def test_a_model_is_pushed_runs_and_is_rolled_back(fleet_broker, env, pushed, tmp_path):
    hall = device_config(tmp_path / "hall", fleet_broker, "hall")
    porch = device_config(tmp_path / "porch", fleet_broker, "porch")
    with running(env, "--config", hall):
        wait_until(lambda: listed(env).get("hall", {}).get("problems") == [])
        # The second device was there once, and is off now.
        with running(env, "--config", porch):
            wait_until(lambda: listed(env).get("porch", {}).get("online"))
        wait_until(lambda: not listed(env)["porch"]["online"])
        done = push(env, pushed, "*", "--watch", 1, "--timeout", 60)
        assert done.returncode == 0, done.stderr
        assert "1 devices run it, 0 failed; 1 are off or silent" in done.stdout
        assert model_names(env) == {"hall": "new", "porch": "base"}
        with running(env, "--config", porch):
            wait_until(lambda: model_names(env)["porch"] == "new")
            back = run_command("edgehar", "fleet", "rollback", "*", env=env)
            assert back.returncode == 0, back.stderr
            assert "2 devices rolled back, 0 failed" in back.stdout
            wait_until(lambda: set(model_names(env).values()) == {"base"})


def test_a_push_that_a_device_refuses_stops(fleet_broker, env, pushed, tmp_path):
    Trust(tmp_path / "trusted").remove("operator")
    config = device_config(tmp_path / "hall", fleet_broker, "hall")
    with running(env, "--config", config):
        wait_until(lambda: listed(env).get("hall", {}).get("problems") == [])
        done = push(env, pushed, "hall", "--watch", 1)
        assert_one_line_error(done, 1, "stopped and rolled back: 1 devices failed")
        assert "is not trusted" in done.stderr
        assert model_names(env) == {"hall": "base"}


def test_settings_are_pushed_and_rolled_back(fleet_broker, env, pushed, tmp_path):
    config = device_config(tmp_path / "hall", fleet_broker, "hall")
    before, file = config.read_text(), tmp_path / "night.toml"
    file.write_text("[decision]\nthreshold = 0.875\n")
    command = ["edgehar", "fleet", "config", file, "hall", "--key", tmp_path / "key", "--watch", 1, "--timeout", 60]
    with running(env, "--config", config):
        wait_until(lambda: listed(env).get("hall", {}).get("problems") == [])
        done = run_command(*command, env=env, timeout_s=200)
        assert done.returncode == 0, done.stderr
        assert done.stdout == "1 devices have them, 0 failed\n"
        assert "threshold = 0.875" in config.read_text()
        back = run_command("edgehar", "fleet", "rollback", "hall", env=env)
        assert back.returncode == 0, back.stderr
        assert config.read_text() == before
        # Valid, but not for the labels of this model: the device says so, and the push stops.
        file.write_text("[decision.thresholds]\nnoSuchLabel = 0.5\n")
        done = run_command(*command, env=env, timeout_s=200)
        assert_one_line_error(done, 1, "stopped and rolled back: 1 devices failed")
        assert "noSuchLabel" in done.stderr
        assert config.read_text() == before


@contextlib.contextmanager
def simulated(env, *arguments):
    """Twenty simulated devices, which are online."""
    script = ROOT / "scripts" / "fleet" / "simulate.py"
    command = [sys.executable, script, env["EDGEHAR_FLEET_URL"], "--devices", "20", "--seconds", "600", *arguments]
    with subprocess.Popen(command, env=env) as process:
        try:
            wait_until(lambda: sum(device["online"] for device in listed(env).values()) == 20)
            yield
        finally:
            process.kill()


def active(env):
    reports = [device["order"] for device in listed(env).values()]
    return sum(report is not None and report["state"] == "active" for report in reports)


def test_a_push_outlives_a_broker_that_forgets_everything(fleet_broker, env, pushed):
    with simulated(env):
        arguments = ("fleet", "push", pushed, "*", "--canary", "2", "--watch", "3")
        with start_command("edgehar", *arguments, env=env) as process:
            wait_until(lambda: active(env) >= 1)
            fleet_broker.stop()
            fleet_broker.start()
            output, errors = process.communicate(timeout=200)
        assert process.returncode == 0, errors
        assert "20 devices run it, 0 failed" in output
        assert active(env) == 20


def test_a_push_stops_when_devices_leave_the_model_again(fleet_broker, env, pushed):
    with simulated(env, "--failing", "0.5"):
        done = push(env, pushed, "*", "--canary", 1, "--watch", 4, "--max-failures", 0.1)
        assert_one_line_error(done, 1, "stopped and rolled back")
        assert "12 events started within an hour" in done.stderr
        models = [device["device"]["models"][0]["sha256"] for device in listed(env).values()]
        assert len(models) == 20
        assert hashlib.sha256(pushed.read_bytes()).hexdigest() not in models


def test_pushes_that_cannot_begin(fleet_broker, env, pushed, tiny_bundle, tmp_path):
    def fails(bundle, device, *fragments, **changes):
        done = push({**env, **changes}, bundle, device)
        assert_one_line_error(done, 1, *fragments)

    command = device_command(fleet_broker, "porch", tiny_bundle, LIVE)
    with running(env, *command):
        wait_until(lambda: listed(env).get("porch", {}).get("online"))
        fails(pushed, "hall*", "no device matches 'hall*'")
        fails(pushed, "porch", "none of these devices follows orders", "mqtt.fleet")
    config = device_config(tmp_path / "hall", fleet_broker, "hall")
    with running(env, "--config", config):
        wait_until(lambda: listed(env).get("hall", {}).get("online"))
        fails(tiny_bundle, "hall", "is not signed")
        (tmp_path / "cut.edgehar").write_bytes(pushed.read_bytes()[:-100])
        fails(tmp_path / "cut.edgehar", "hall", "cut.edgehar")
        with start_command("edgehar", "fleet", "push", pushed, "hall", "--watch", 3000, env=env) as first:
            try:
                wait_until(lambda: listed(env)["hall"]["order"])
                fails(pushed, "hall", "is pushing; wait")
            finally:
                first.send_signal(signal.SIGINT)
            errors = first.stderr.read()
        assert first.returncode == 130, errors


def test_no_device_can_command_or_imitate_another(fleet_broker, listen, env):
    rogue, ops = (
        listen(fleet_broker, topics=("edgehar/porch/snapshot",), user="porch"),
        listen(fleet_broker, topics=("edgehar/#", "edgehar-fleet/#"), user="ops"),
    )
    for topic in ("edgehar/hall/set/enabled", "edgehar/hall/availability", "edgehar/hall/snapshot"):
        rogue.publish(topic, "OFF")
    for topic in ("edgehar-fleet/orders/hall", "edgehar-fleet/push", f"edgehar-fleet/files/{'0' * 64}/0"):
        rogue.publish(topic, "x", retain=True)
    rogue.publish("edgehar/porch/availability", "online", retain=True)
    ops.publish("edgehar/porch/set/enabled", "ON")
    ops.wait(lambda: len(ops.messages) == 2)
    assert sorted(topic for topic, _, _ in ops.messages) == ["edgehar/porch/availability", "edgehar/porch/set/enabled"]


def test_what_goes_wrong_is_said(fleet_broker, env):
    def fails(code, *fragments, url=None, **changes):
        arguments = ["--mqtt", url] if url else []
        done = run_command("edgehar", "fleet", "list", *arguments, "--wait", 3, env={**env, **changes})
        assert_one_line_error(done, code, *fragments)

    fails(1, "no device has published here")
    fails(1, "refuses the connection", "check user and password", EDGEHAR_MQTT_PASSWORD="wrong")
    fails(1, "cannot be reached", url="mqtt://ops@127.0.0.1:1/edgehar")
    fails(2, "must begin with mqtt://", url="http://127.0.0.1")
    fails(2, "EDGEHAR_FLEET_URL", EDGEHAR_FLEET_URL="")
