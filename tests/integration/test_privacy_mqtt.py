"""The promises of docs/privacy.md about pictures over MQTT."""

import os

import cv2
import numpy as np
import pytest
from support.brokers import BASE
from support.helpers import run_command, start_command
from support.private_runs import configuration, white_video


@pytest.mark.broker
@pytest.mark.parametrize("pictures", ["full", "none"])
def test_a_snapshot_over_mqtt_hides_what_is_hidden(tmp_path, tiny_bundle, broker, listen, pictures):
    path = configuration(
        tmp_path,
        tiny_bundle,
        f"""
        pictures = "{pictures}"
        [[camera]]
        name = "hall"
        source = "{white_video(tmp_path)}"
        loop = true
        realtime = true
        region = [0.0, 0.0, 0.5, 1.0]
        masks = [[[0.0, 0.0], [0.25, 0.0], [0.25, 1.0], [0.0, 1.0]]]
        [mqtt]
        url = "mqtt://{broker.USER}@127.0.0.1:{broker.port}/{BASE}"
        commands = true
        """,
    )
    listener = listen(broker, f"{BASE}/#")
    process = start_command(
        "edgehar-run", "--config", path, env={**os.environ, "EDGEHAR_MQTT_PASSWORD": broker.PASSWORD}
    )
    try:
        listener.wait(lambda: listener.of("prediction"))
        listener.publish(f"{BASE}/snapshot", "PRESS")
        if pictures == "none":
            assert any("pictures are off" in line for line in process.stderr)
            assert listener.of("picture") == []
            return
        listener.wait(lambda: listener.of("picture"))
    finally:
        process.terminate()
        process.communicate(timeout=300)
    assert_cut_and_masked(listener.of("picture")[0])


def assert_cut_and_masked(text):
    picture = cv2.imdecode(np.frombuffer(text.encode(errors="surrogateescape"), np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (96, 64, 3)
    assert picture[:, :28].max() <= 30
    assert picture[:, 40:].min() >= 200


def pictures_over_mqtt(tmp_path, tiny_bundle, broker, listen, settings):
    """The pictures of events that a run of a white video publishes, with a region and a mask."""
    path = configuration(
        tmp_path,
        tiny_bundle,
        f"""
        {settings}
        [[camera]]
        name = "hall"
        source = "{white_video(tmp_path)}"
        region = [0.0, 0.0, 0.5, 1.0]
        masks = [[[0.0, 0.0], [0.25, 0.0], [0.25, 1.0], [0.0, 1.0]]]
        """,
    )
    listener = listen(broker, f"{BASE}/#")
    done = run_command("edgehar-run", "--config", path, env={**os.environ, "EDGEHAR_MQTT_PASSWORD": broker.PASSWORD})
    assert done.returncode == 0, done.stderr
    listener.wait(lambda: listener.of("availability") == ["online", "offline"])
    assert listener.of("event")
    return listener.of("event_picture")


def mqtt_table(broker, more=""):
    return f'[mqtt]\nurl = "mqtt://{broker.USER}@127.0.0.1:{broker.port}/{BASE}"\n{more}'


@pytest.mark.broker
def test_an_event_picture_over_mqtt_hides_what_is_hidden(tmp_path, tiny_bundle, broker, listen):
    table = mqtt_table(broker, "pictures = true")
    pictures = pictures_over_mqtt(tmp_path, tiny_bundle, broker, listen, table)
    assert pictures
    for picture in pictures:
        assert_cut_and_masked(picture)


@pytest.mark.broker
@pytest.mark.parametrize(
    ("top", "mqtt", "bottom"),
    [
        ("", "", ""),
        ('pictures = "none"', "pictures = true", ""),
        ("", "pictures = true", '[record]\ndirectory = "rec"\nmin_free_mb = 0\nseal_to = ["{key}"]'),
    ],
)
def test_no_event_picture_over_mqtt_unless_allowed(tmp_path, tiny_bundle, broker, listen, top, mqtt, bottom):
    if bottom:
        pyrage = pytest.importorskip("pyrage", reason="needs the extra `seal`")
        bottom = bottom.format(key=pyrage.x25519.Identity.generate().to_public())
    settings = f"{top}\n{mqtt_table(broker, mqtt)}\n{bottom}"
    assert pictures_over_mqtt(tmp_path, tiny_bundle, broker, listen, settings) == []
