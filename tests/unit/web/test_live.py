"""Live pictures and answers: made once, only while someone looks, and with nothing that is hidden."""

import contextlib
import json

import cv2
import numpy as np
import pytest
from support.web_site import FakeCamera, LiveStream, event, prediction, site

from edgehar.frames import Frame, PixelFormat
from edgehar.masks import View
from edgehar.web.board import BIN_S, BINS, CameraBoard, Strip
from edgehar.web.preview import Preview, input_png


@contextlib.contextmanager
def stream(browser, path="/api/v1/live"):
    opened = LiveStream(browser, path)
    try:
        yield opened
    finally:
        opened.close()


def decoded(image):
    return cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR)


def test_the_stream_brings_pictures_and_answers_as_they_come():
    with site() as browser, stream(browser) as live:
        (camera,) = browser.cameras
        camera.show(level=90)
        assert abs(decoded(live.until("picture")).mean() - 90) < 2
        browser.board.cameras["hall"].add(prediction(fight=0.25, calm=0.75))
        state = json.loads(live.until("state", lambda body: b'"label":"calm"' in body))
        assert (state["scores"], state["score"], state["event"]) == ({"fight": 0.25, "calm": 0.75}, 0.75, None)
        browser.board.cameras["hall"].add(event("start"))
        assert json.loads(live.until("state", lambda body: b'"event":"fight"' in body))["event_since"]
        camera.show(level=200)
        assert abs(decoded(live.until("picture")).mean() - 200) < 2


def test_all_viewers_share_one_picture():
    with site() as browser, contextlib.ExitStack() as stack:
        (camera,) = browser.cameras
        viewers = [stack.enter_context(stream(browser)) for _ in range(5)]
        camera.show(pixels=np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8))
        pictures = {viewer.until("picture") for viewer in viewers}
        assert len(pictures) == 1


def test_nothing_is_made_when_nobody_looks():
    with site() as browser:
        browser.cameras[0].show()
        assert not browser.feed.running
        for path in ("/api/v1/live", "/api/v1/cameras/hall/live.mjpg"):
            with stream(browser, path) as live:
                live.until("picture")
                assert browser.feed.running
            while browser.feed.running:
                browser.get("/")
            assert browser.feed.viewers == 0


def test_a_picture_that_does_not_change_is_sent_once():
    with site(FakeCamera("hall"), FakeCamera("yard")) as browser, stream(browser) as live:
        hall, yard = browser.cameras
        hall.show(50)
        live.until("picture")
        yard.show(60)
        headers = live.part()[0]
        while headers["X-Kind"] != "picture":
            headers = live.part()[0]
        assert headers["X-Camera"] == "1"


def test_a_stream_may_be_about_some_cameras_only():
    with site(FakeCamera("hall"), FakeCamera("yard")) as browser, stream(browser, "/api/v1/live?camera=yard") as live:
        for camera in browser.cameras:
            camera.show()
        assert {live.part()[0]["X-Camera"] for _ in range(2)} == {"1"}
        assert browser.get("/api/v1/live?camera=none")[0] == 404


def test_the_input_of_the_network_is_taken_only_while_it_is_shown():
    with site() as browser:
        (camera,) = browser.cameras
        with stream(browser) as live:
            live.until("state")
        assert camera.wanted_input == []
        with stream(browser, "/api/v1/live?input=1") as live:
            while not camera.wanted_input:
                browser.get("/")
            codes = np.full((1, 16, 16, 3), 72, np.int8)
            camera.wanted_input[-1](codes)
            codes[:] = 0
            assert (decoded(live.until("input")) == 200).all()


def test_a_camera_that_is_off_says_so():
    from edgehar.records import StreamState

    with site() as browser, stream(browser) as live:
        browser.cameras[0].state = StreamState.RECONNECTING
        state = json.loads(live.until("state", lambda body: b"reconnecting" in body))
        assert (state["fresh"], state["label"]) == (False, None)
        assert browser.get("/api/v1/cameras/hall/picture.jpg")[0] == 404


def test_a_blurred_picture_is_not_larger_than_the_frame():
    with site(FakeCamera(view=View(pictures="blurred"))) as browser:
        browser.cameras[0].show(height=120, width=160)
        assert decoded(browser.get("/api/v1/cameras/hall/picture.jpg")[1]).shape == (120, 160, 3)


def test_a_camera_says_which_region_its_pictures_show():
    region = (0.25, 0.0, 0.5, 1.0)
    with site(FakeCamera("hall"), FakeCamera("yard", view=View(region=region))) as browser:
        regions = [camera["region"] for camera in browser.json("/api/v1/cameras")["cameras"]]
    assert regions == [None, list(region)]


def test_with_pictures_off_the_pages_have_numbers_only():
    with site(FakeCamera(view=View(pictures="none"))) as browser:
        browser.cameras[0].show()
        assert browser.get("/api/v1/cameras/hall/picture.jpg")[0] == 404
        assert browser.get("/api/v1/cameras/hall/live.mjpg")[0] == 404
        with stream(browser, "/api/v1/live?input=1") as live:
            for label in ("fight", "calm"):
                browser.board.cameras["hall"].add(prediction(**{"fight": 0.5, "calm": 0.5, label: 1.0}))
                headers, body = live.part()
                while f'"label":"{label}"'.encode() not in body:
                    assert headers["X-Kind"] == "state"
                    headers, body = live.part()
            assert browser.cameras[0].wanted_input == []


def test_the_last_hour_is_kept_in_steps():
    now = [10_000_000.0]
    strip = Strip(lambda: now[0])
    strip.add({"fight": 0.5, "calm": 0.2})
    strip.add({"fight": 0.25, "calm": 1.0})
    now[0] += 2 * BIN_S
    strip.add({"fight": 0.0, "calm": 0.0})
    start_s, rows = strip.rows()
    assert start_s == now[0] - (BINS - 1) * BIN_S
    assert rows["fight"][-3:] == [128, 0, 1]
    assert rows["calm"][-3:] == [255, 0, 1]
    assert not any(rows["fight"][:-3])
    now[0] += BINS * BIN_S
    assert not any(strip.rows()[1]["calm"])
    now[0] -= 5000
    strip.add({"fight": 1.0, "calm": 0.0})
    assert strip.rows()[1]["fight"][-1] == 255


def test_a_board_has_one_record_for_each_event():
    board = CameraBoard(lambda: 0.0)
    board.add(event("start"))
    assert board.open_event.phase == "start"
    board.add(event("end"))
    board.add(event("start", id="other"))
    assert [(e.id, e.phase) for e in board.events] == [(event().id, "end"), ("other", "start")]
    assert board.open_event.id == "other"
    # The clip of an earlier event reaches the server, and that of one before the start of the program.
    board.add(event("uploaded"))
    board.add(event("uploaded", id="before"))
    assert [(e.id, e.phase) for e in board.events] == [(event().id, "uploaded"), ("other", "start")]
    assert board.open_event.id == "other"
    board.add(event("end", id="other"))
    assert board.open_event is None


def frame_of(pixels):
    return Frame(pixels, PixelFormat.BGR24, 0.0, 0.0, 0)


def test_a_picture_is_shrunk_but_never_enlarged():
    preview = Preview(View(), 64)
    assert preview.bgr(frame_of(np.zeros((120, 160, 3), np.uint8))).shape == (48, 64, 3)
    assert preview.bgr(frame_of(np.zeros((20, 30, 3), np.uint8))).shape == (20, 30, 3)


def test_a_region_is_cut_out():
    pixels = np.zeros((120, 160, 3), np.uint8)
    pixels[:, 80:] = (1, 2, 250)
    bgr = Preview(View(region=(0.5, 0.0, 0.5, 1.0)), 640).bgr(frame_of(pixels))
    assert bgr.shape == (120, 80, 3)
    assert (bgr == (1, 2, 250)).all()


def test_a_blurred_picture_has_forty_blocks_at_most():
    pixels = np.random.default_rng(0).integers(0, 256, (360, 640, 3), np.uint8)
    bgr = Preview(View(pictures="blurred"), 640).bgr(frame_of(pixels))
    assert bgr.shape == (352, 640, 3)
    blocks = bgr.reshape(22, 16, 40, 16, 3)
    assert (blocks == blocks[:, :1, :, :1]).all()


@pytest.mark.parametrize("longest", [64, 100, 640])
def test_no_pixel_of_a_small_picture_depends_on_a_masked_one(longest):
    view = View(masks=(((0.1, 0.1), (0.5, 0.2), (0.3, 0.7)), ((0.8, 0.8), (1.0, 0.8), (1.0, 1.0))))
    generator = np.random.default_rng(1)
    pixels = generator.integers(0, 256, (123, 217, 3), np.uint8)
    other = np.array(pixels)
    hidden = view.pixels_masked(123, 217)
    other[hidden] = generator.integers(0, 256, (hidden.sum(), 3), np.uint8)
    preview = Preview(view, longest)
    assert (preview.bgr(frame_of(pixels)) == preview.bgr(frame_of(other))).all()
    assert (preview.bgr(frame_of(np.full_like(pixels, 255))) == 0).any()


def test_the_input_of_a_motion_model_is_gray_where_nothing_moves():
    from support.samples import sample_manifest

    motion = sample_manifest(motion="grey-difference")
    shown = decoded(input_png(np.zeros((16, 16, 3), np.int8), motion, View()))
    assert set(np.unique(shown)) <= {127, 128}
    assert input_png(np.zeros((16, 16, 3), np.int8), motion, View(pictures="none")) is None


def test_a_blurred_input_is_no_finer_than_a_blurred_picture():
    from support.samples import sample_manifest

    codes = np.random.default_rng(0).integers(-128, 128, (80, 60, 3)).astype(np.int8)
    assert decoded(input_png(codes, sample_manifest(), View(pictures="blurred"))).shape == (40, 30, 3)
    assert decoded(input_png(codes, sample_manifest(), View())).shape == (80, 60, 3)
