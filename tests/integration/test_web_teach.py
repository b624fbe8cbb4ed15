"""Teaching on the pages: a whole loop in a real Chromium on a real run, and moments on a phone."""

import re
import subprocess

import pytest
from support.chromium import window
from support.helpers import flat_frames, start_command, write_video
from support.tiny_bundle import write_tiny_bundle
from support.web_site import Browser, FakeCamera, free_port, site

from edgehar.teaching.inbox import Inbox

CONFIG = """
model = "{folder}/base.edgehar"
output = "none"
[decision]
smoothing = "ema"
ema_seconds = 0.3
[inbox]
enabled = true
keep = "clips"
directory = "{folder}/inbox"
per_hour = 3600
seconds = 1
[models]
swap = true
directory = "{folder}/models"
"""


@pytest.fixture
def day(tmp_path):
    """A run on an ordinary day: two cameras whose light goes on and off, which the model takes for an action."""
    write_tiny_bundle(tmp_path / "base.edgehar", name="base", hop=1, window=2, threshold=0.5, background=["dark"])
    config, port = tmp_path / "config.toml", free_port()
    text = CONFIG.format(folder=tmp_path)
    video = write_video(tmp_path / "light.mp4", flat_frames([20] * 15 + [235] * 25), rate_hz=25)
    for name in ("hall", "yard"):
        text += f'[[camera]]\nname = "{name}"\nsource = "{video}"\nloop = true\nrealtime = true\n'
    config.write_text(text)
    config.chmod(0o600)
    with start_command("edgehar-run", "--config", config, "--web", port, stderr=subprocess.DEVNULL) as process:
        client = Browser(port)
        while True:
            try:
                client.json("/api/v1/session")
                break
            except OSError:
                assert process.poll() is None
        yield client
        process.kill()
        process.communicate()


def counts(client):
    """How many answers there are, of the camera with the fewest; and the events so far."""
    answers = min(camera["predictions"] for camera in client.json("/api/v1/status")["cameras"])
    return answers, len(client.json("/api/v1/events")["events"])


def go_on(visitor, client, answers=20):
    """Wait for so many more answers of each camera, in which the light goes on and off; returns the new events."""
    before, events = counts(client)
    visitor.until(lambda: counts(client)[0] >= before + answers)
    return counts(client)[1] - events


def test_false_alarms_are_taught_away(browser, day):
    with window(browser, day.port) as visitor:
        page = visitor.open("status")
        visitor.until(lambda: sum(one["why"] == "event" for one in day.json("/api/v1/inbox")["moments"]) >= 6)
        assert go_on(visitor, day) > 0
        visitor.open("teach")
        page.get_by_role("button", name="Right").wait_for()
        cameras = {"hall": 0, "yard": 0}
        # One key a moment: this light is ordinary.
        while min(cameras.values()) < 3:
            when = page.locator("#when").inner_text()
            page.keyboard.press("w")
            visitor.until(lambda when=when: page.locator("#when").inner_text() != when)
            cameras[when.partition(",")[0]] += 1
        page.get_by_role("button", name="Teach now").click()
        visitor.until(lambda: (day.json("/api/v1/teach")["lesson"] or {}).get("result"))
        assert day.json("/api/v1/teach")["lesson"]["result"]["problem"] is None
        page.get_by_text("is better on held-out clips").wait_for()
        assert page.get_by_role("row", name=re.compile("^dark .* 0% 100%")).count() == 1
        page.get_by_label("Hours on trial").fill("0.0004")
        page.get_by_role("button", name="Try it").click()
        page.locator("dd", has_text="base-taught-").wait_for()
        page.get_by_text("On trial", exact=True).wait_for(state="detached")
        assert day.json("/api/v1/teach")["models"][0]["note"] == "taken over after its time in shadow"
        page.locator("#models dd").first.filter(has_text="base-taught-").wait_for()
        # An event that was open when the model took over ends with it.
        go_on(visitor, day, 5)
        assert go_on(visitor, day) == 0
        page.get_by_role("button", name="Back to the model before").click()
        page.locator("#models dd", has_text=re.compile("^base$")).wait_for()
        assert go_on(visitor, day) > 0


def test_a_phone_labels_moments_by_taps_and_undoes_one(browser, size, classroom):
    with (
        site(FakeCamera("hall"), parts={"classroom": classroom}) as server,
        window(browser, server.port, **size) as visitor,
    ):
        page = visitor.open("teach")
        page.get_by_text("3 moments wait").wait_for()
        page.get_by_role("button", name="Right").click()
        page.get_by_text("2 moments wait").wait_for()
        page.get_by_role("button", name="New action").click()
        page.get_by_label("Name of the action").fill("falling <b>over")
        page.get_by_role("button", name="Save").click()
        page.get_by_text("1 moment waits").wait_for()
        page.get_by_role("button", name="Skip").click()
        page.get_by_text("Nothing waits for a label now.").wait_for()
        labels = [item.labeled for item in Inbox(classroom.folder).items()]
        assert labels == [True, True, False]
        page.get_by_role("button", name="Undo the last answer").click()
        page.get_by_role("button", name="falling <b>over").wait_for()
        page.get_by_role("button", name="Delete").click()
        page.get_by_text("1 moment waits").wait_for()
        assert len(Inbox(classroom.folder).items()) == 2
