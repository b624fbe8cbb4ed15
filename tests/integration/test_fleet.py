"""`edgehar fleet` with a real broker, its access rules, and real devices."""

import json
import re
import signal

import pytest
from support.brokers import wait_until
from support.helpers import assert_one_line_error, environment, flat_frames, run_command, start_command, write_video
from support.paths import ROOT

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


def listed(env, *arguments):
    done = run_command("edgehar", "fleet", "list", "--json", *arguments, env=env)
    assert done.returncode == 0, done.stderr
    return {device["name"]: device for device in json.loads(done.stdout)}


def test_devices_are_listed(fleet_broker, env, tiny_bundle, tmp_path):
    clip = write_video(tmp_path / "clip.mp4", flat_frames([235] * 50 + [20] * 50))
    done = run_command("edgehar-run", *device_command(fleet_broker, "hall", tiny_bundle, clip), env=env)
    assert done.returncode == 0, done.stderr
    with start_command("edgehar-run", *device_command(fleet_broker, "porch", tiny_bundle, LIVE), env=env) as porch:
        wait_until(lambda: listed(env).get("porch", {}).get("problems") == [], timeout_s=60)
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
        porch.send_signal(signal.SIGINT)


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


def test_no_device_can_command_or_imitate_another(fleet_broker, listen, env):
    rogue, ops = (
        listen(fleet_broker, topics=("edgehar/porch/snapshot",), user="porch"),
        listen(fleet_broker, topics=("edgehar/#",), user="ops"),
    )
    for topic in ("edgehar/hall/set/enabled", "edgehar/hall/availability", "edgehar/hall/snapshot"):
        rogue.publish(topic, "OFF")
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
