"""Masks, region and hours saved on the pages apply to the running camera, and are undone, without a restart."""

import json

import cv2
import numpy as np
import pytest
from support.helpers import flat_frames, start_command, write_video
from support.web_site import Browser, free_port

CORNER = [[[0.0, 0.0], [0.5, 0.0], [0.5, 0.5], [0.0, 0.5]]]


@pytest.fixture
def browser(tmp_path, tiny_bundle):
    """A client of a run that watches a white picture."""
    video = write_video(tmp_path / "white.mp4", flat_frames([255] * 50, 120, 160), rate_hz=25)
    config, port = tmp_path / "config.toml", free_port()
    config.write_text(
        f'model = "{tiny_bundle}"\noutput = "none"\nfile.path = "{tmp_path}/out"\n[[camera]]\nname = "hall"\n'
        f'source = "{video}"\nloop = true\nrealtime = true\n'
    )
    config.chmod(0o600)
    log = tmp_path / "log"
    with log.open("w") as stderr:
        process = start_command("edgehar-run", "--config", config, "--web", f"127.0.0.1:{port}", stderr=stderr)
    while "web: http" not in log.read_text():
        assert process.poll() is None
    browser = Browser(port)
    browser.csrf, browser.log = browser.json("/api/v1/session")["csrf"], log
    yield browser
    process.kill()
    process.communicate()


def save(browser, **settings):
    version = browser.json("/api/v1/settings")["version"]
    changes = [{"path": ["camera", 0, name], "value": value} for name, value in settings.items()]
    status, _, body = browser.ask("PUT", "/api/v1/settings", {"version": version, "changes": changes})
    assert (status, json.loads(body)["restart"]) == (200, [])


def picture(browser):
    status, body = browser.get("/api/v1/cameras/hall/picture.jpg")
    return cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_COLOR) if status == 200 else None


def until(browser, wanted):
    while (found := picture(browser)) is None or not wanted(found):
        pass


def test_a_mask_and_a_region_apply_between_two_frames_and_are_undone(browser, tmp_path):
    until(browser, lambda pixels: pixels[20, 20].min() > 240)
    save(browser, masks=CORNER)
    until(browser, lambda pixels: pixels[20, 20].max() < 16 and pixels[100, 140].min() > 240)
    save(browser, region=[0.5, 0.0, 0.5, 1.0])
    until(browser, lambda pixels: pixels.shape[:2] == (120, 80) and pixels[20, 20].min() > 240)
    assert browser.json("/api/v1/cameras")["cameras"][0]["region"] == [0.5, 0.0, 0.5, 1.0]
    for _ in range(2):
        assert browser.ask("POST", "/api/v1/settings/undo")[0] == 200
    save(browser, region=None, masks=None, record_hours=["sat"])
    until(browser, lambda pixels: pixels.shape[:2] == (120, 160) and pixels[20, 20].min() > 240)
    answers = [json.loads(line) for line in (tmp_path / "out").read_text().splitlines() if '"prediction"' in line]
    assert [one["seq"] for one in answers] == list(range(len(answers)))
    # No window holds frames from before and after a change.
    assert all(one["window"]["frames"] == 4 for one in answers)
    log = browser.log.read_text()
    assert "changed: camera" in log
    assert "restart" not in log
