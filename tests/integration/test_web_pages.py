"""The pages in a real Chromium: what a visitor does, on a desktop and on a phone."""

import contextlib
import datetime
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.chromium import DESKTOP, PHONE, chromium, window
from support.web_recordings import record, store_of
from support.web_site import PASSWORD, FakeCamera, event, password_hash, prediction, site

from edgehar.config import read
from edgehar.config.editing import ConfigFile
from edgehar.records import StreamState
from edgehar.web.services import Tools
from edgehar.web.texts import LANGUAGES

FINDINGS = b"""{"ok": false, "checks": [
    {"check": "disk", "level": "ok", "says": "47 GB free", "fix": ""},
    {"check": "camera hall", "level": "fail", "says": "it does not answer", "fix": "check the cable"}]}"""


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture(params=[DESKTOP, PHONE], ids=["desktop", "phone"])
def size(request):
    phone = request.param is PHONE
    return {"viewport": request.param, "has_touch": phone, "is_mobile": phone, "device_scale_factor": 1}


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "rec"
    with contextlib.closing(store_of(folder)) as store:
        record(store, 1, "2026-11-20T12:00:00", score=0.62)
        record(store, 2, "2026-11-21T12:00:00", camera="yard", label="push", score=0.97)
    return folder


class Checker:
    """Stands at the button of the status page."""

    def examine(self):
        return FINDINGS

    def stop(self):
        pass


def shown(camera):
    """A picture with something in it."""
    camera.show(pixels=np.random.default_rng(0).integers(60, 200, (120, 160, 3), np.uint8))


def test_a_visitor_logs_in_and_gets_where_he_wanted_to(browser, size, folder):
    with site(folder=folder, password_hash=password_hash()) as server, window(browser, server.port, **size) as visitor:
        page = visitor.open("events?label=push")
        page.get_by_label("Password").fill("wrong")
        page.get_by_role("button", name="Log in").click()
        page.get_by_text("Wrong password.").wait_for()
        page.get_by_label("Password").fill(PASSWORD)
        page.keyboard.press("Enter")
        page.wait_for_url("**/events?label=push")
        page.get_by_role("link", name="push").wait_for()
        visitor.errors.clear()  # Chromium logs the refused password.
        page.get_by_role("button", name="Log out").click()
        page.get_by_label("Password").wait_for()
        visitor.open("status")
        page.get_by_label("Password").wait_for()


def test_a_visitor_watches_cameras(browser, size):
    cameras = FakeCamera("hall"), FakeCamera("yard")
    with site(*cameras) as server, window(browser, server.port, **size) as visitor:
        page = visitor.open()
        hall = page.get_by_role("article", name="hall")
        hall.get_by_text("Waiting for the first picture").wait_for()
        shown(cameras[0])
        hall.get_by_role("img", name="Live picture of hall").wait_for()
        server.board.cameras["hall"].add(prediction(fight=0.25, calm=0.75))
        hall.locator("strong", has_text="calm").wait_for()
        assert hall.get_by_role("listitem").filter(has_text="fight").inner_text().split() == ["fight", "25%"]
        server.board.cameras["hall"].add(event("start"))
        hall.get_by_text("fight now").wait_for()
        visitor.until(lambda: cameras[0].wanted_input)
        cameras[0].wanted_input[-1](np.zeros((1, 16, 16, 3), np.int8))
        hall.get_by_role("img", name="What the network sees of hall").wait_for()
        cameras[0].state = StreamState.RECONNECTING
        hall.get_by_text("reconnecting").wait_for()
        assert page.get_by_role("article", name="yard").get_by_text("no picture").is_visible()


def test_a_page_that_is_not_looked_at_costs_nothing(browser):
    with site() as server, window(browser, server.port, viewport=PHONE) as visitor:
        shown(server.cameras[0])
        page = visitor.open()
        page.get_by_role("img", name="Live picture of hall").wait_for()
        hide = "Object.defineProperty(document, 'hidden', {value: %s, configurable: true});"
        page.evaluate(hide % "true" + "document.dispatchEvent(new Event('visibilitychange'))")
        visitor.until(lambda: not server.feed.running)
        page.evaluate(hide % "false" + "document.dispatchEvent(new Event('visibilitychange'))")
        visitor.until(lambda: server.feed.running)


def test_a_lost_connection_is_told(browser):
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(site())
        visitor = stack.enter_context(window(browser, server.port))
        page = visitor.open()
        page.get_by_role("article", name="hall").wait_for()
        server.stop()
        page.get_by_text("Connection lost").wait_for()
        visitor.errors.clear()


def test_a_visitor_finds_plays_and_judges_an_event(browser, size, folder):
    cameras = FakeCamera("hall"), FakeCamera("yard")
    with site(*cameras, folder=folder) as server, window(browser, server.port, **size) as visitor:
        page = visitor.open("events")
        page.get_by_text("2 events").wait_for()
        page.get_by_label("Score from").select_option("0.9")
        page.get_by_text("1 event").wait_for()
        assert page.url.endswith("?score=0.9")
        page.get_by_role("button", name="Clear").click()
        page.get_by_text("2 events").wait_for()
        page.get_by_label("Day").fill("2026-11-20")
        page.get_by_text("1 event").wait_for()
        page.get_by_role("link", name="fight").click()
        page.get_by_role("heading", name="fight – hall").wait_for()
        visitor.until("document.querySelector('video').readyState >= 1")
        page.evaluate("document.querySelector('video').play()")
        visitor.until("document.querySelector('video').currentTime > 0.2")
        page.evaluate("document.querySelector('video').pause()")
        graph = page.get_by_role("img", name=re.compile("Scores over the time"))
        box = graph.bounding_box()
        graph.click(position={"x": box["width"] * 0.75, "y": 20})
        visitor.until("Math.abs(document.querySelector('video').currentTime - 1.5) < 0.2")
        page.get_by_role("button", name="Right").click()
        page.get_by_text("You said: fight").wait_for()
        page.get_by_role("button", name="Something else").click()
        page.get_by_label("What was it?").fill("<b>hug</b>")
        page.get_by_role("button", name="Save").click()
        page.get_by_text("without commas and slashes").wait_for()
        visitor.errors.clear()  # Chromium logs the refused label.
        page.get_by_label("What was it?").fill("<b>hug")
        page.get_by_role("button", name="Save").click()
        page.get_by_text("You said: <b>hug").wait_for()
        page.get_by_role("button", name="Withdraw").click()
        page.get_by_text("Your answers teach").wait_for()


def test_a_clip_that_is_gone_is_told(browser, folder):
    with site(folder=folder) as server, window(browser, server.port) as visitor:
        for clip in folder.rglob("*.mp4"):
            clip.unlink()
        page = visitor.open("events")
        page.get_by_role("link", name="fight").click()
        page.get_by_text("cannot play the clip").wait_for()
        visitor.errors.clear()
        visitor.open("events/00000000-0000-7000-8000-00000000ffff")
        page.get_by_text("no longer there").wait_for()
        visitor.errors.clear()


def test_a_visitor_has_the_device_checked(browser, size, folder):
    with site(folder=folder, tools=Tools(Checker())) as server, window(browser, server.port, **size) as visitor:
        page = visitor.open("status")
        page.get_by_text("2 recordings").wait_for()
        page.get_by_role("button", name="Check now").click()
        page.get_by_text("1 point needs attention").wait_for()
        page.get_by_text("check the cable").wait_for()


@pytest.fixture
def tools(tmp_path):
    path = tmp_path / "edgehar.toml"
    cameras = "".join(
        f'[[camera]]\nname = "{name}"\nsource = "camera:{n}"\n' for n, name in enumerate(("hall", "yard"))
    )
    path.write_text(f'model = "fight"  # the shipped one\n{cameras}')
    return Tools(Checker(), ConfigFile(path))


def saved(tools):
    return read(Path(tools.settings.settings().file)).config


def test_a_visitor_changes_and_undoes_a_setting(browser, size, tools):
    with site(tools=tools) as server, window(browser, server.port, **size) as visitor:
        page = visitor.open("settings")
        page.get_by_label("Find a setting").fill("hysteresis")
        page.get_by_label("hysteresis", exact=True).fill("0.2")
        page.get_by_label("hysteresis", exact=True).blur()
        page.get_by_text("1 change not saved").wait_for()
        page.get_by_role("button", name="Save").click()
        page.get_by_text("Saved and in force").wait_for()
        assert saved(tools).decision.hysteresis == 0.2
        page.get_by_label("hysteresis", exact=True).fill("7")
        page.get_by_label("hysteresis", exact=True).blur()
        page.get_by_role("button", name="Save").click()
        page.get_by_text("decision.hysteresis is 7").wait_for()
        page.get_by_role("button", name="Undo the last change").click()
        page.get_by_text("Saved and in force").wait_for()
        assert saved(tools).decision.hysteresis is None
        visitor.errors.clear()  # Chromium logs the refused value.


def test_two_people_change_settings_at_once(browser, tools):
    with site(tools=tools) as server, contextlib.ExitStack() as stack:
        first, second = (stack.enter_context(window(browser, server.port)) for _ in range(2))
        for visitor, value in ((first, "0.1"), (second, "0.2")):
            page = visitor.open("settings")
            page.get_by_label("Find a setting").fill("hysteresis")
            page.get_by_label("hysteresis", exact=True).fill(value)
            page.get_by_label("hysteresis", exact=True).blur()
        first.page.get_by_role("button", name="Save").click()
        first.page.get_by_text("Saved and in force").wait_for()
        second.page.get_by_role("button", name="Save").click()
        second.page.get_by_text("Somebody else has changed").wait_for()
        assert saved(tools).decision.hysteresis == 0.1
        second.errors.clear()


def test_a_visitor_draws_a_mask_and_moves_its_corner(browser, size, tools):
    with site(FakeCamera("hall"), FakeCamera("yard"), tools=tools) as server:
        shown(server.cameras[1])
        with window(browser, server.port, **size) as visitor:
            page = visitor.open("cameras/yard")
            page.get_by_role("img", name="Live picture of yard").wait_for()
            page.get_by_role("button", name="Draw a mask").click()
            drag(visitor, page.locator("#areas"), (0.1, 0.1), (0.4, 0.5), touch=size["has_touch"])
            page.get_by_text("Mask 1, 4 corners").wait_for()
            page.get_by_role("button", name="Corner 1 of mask 1").focus()
            page.keyboard.press("ArrowRight")
            page.get_by_role("button", name="Save").click()
            page.get_by_text("Restart edgehar to apply: camera").wait_for()
            ((left, top), *_, (_, bottom)) = saved(tools).cameras[1].masks[0]
            assert abs(left - 0.11) < 0.02
            assert abs(top - 0.1) < 0.02
            assert abs(bottom - 0.5) < 0.02
            page.get_by_role("button", name="Remove mask 1").click()
            page.get_by_role("button", name="Save").click()
            page.get_by_text("Restart edgehar to apply: camera").wait_for()
            assert saved(tools).cameras[1].masks == []


def drag(visitor, target, start, end, *, touch):
    """Draw with a finger or the mouse, between places in shares of an element."""
    box = target.bounding_box()
    points = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in (start, end)]
    if not touch:
        visitor.page.mouse.move(*points[0])
        visitor.page.mouse.down()
        visitor.page.mouse.move(*points[1], steps=4)
        visitor.page.mouse.up()
        return
    session = visitor.page.context.new_cdp_session(visitor.page)
    for kind, places in (("touchStart", points[:1]), ("touchMove", points[1:]), ("touchEnd", [])):
        touches = [{"x": x, "y": y} for x, y in places]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touches})


def test_a_visitor_gets_a_mask_and_a_region_by_keyboard(browser, tools):
    with site(FakeCamera("hall"), FakeCamera("yard"), tools=tools) as server, window(browser, server.port) as visitor:
        shown(server.cameras[0])
        page = visitor.open("cameras/hall")
        page.get_by_role("button", name="Draw a mask").focus()
        page.keyboard.press("Enter")
        page.get_by_text("Mask 1, 4 corners").wait_for()
        assert page.evaluate("document.activeElement.dataset.corner") == "0-0"
        page.get_by_role("button", name="Draw the region").click()
        drag(visitor, page.locator("#areas"), (0.5, 0.0), (1.0, 1.0), touch=False)
        page.get_by_role("button", name="Save").click()
        page.get_by_text("Restart edgehar to apply: camera").wait_for()
        assert len(saved(tools).cameras[0].masks) == 1
        assert abs(saved(tools).cameras[0].region[0] - 0.5) < 0.02


def test_a_visitor_sees_what_a_threshold_would_have_done_and_changes_it(browser, size, tools, tmp_path):
    now = datetime.datetime.now(datetime.UTC)
    with contextlib.closing(store_of(tmp_path / "rec")) as store:
        for hours, score in ((1, 0.62), (2, 0.8), (50, 0.97), (500, 0.99)):
            time = (now - datetime.timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%S")
            record(store, hours, time, score=score, clip=False)
    cameras = FakeCamera("hall", labels=("fight", "noFight")), FakeCamera("yard")
    folder = tmp_path / "rec"
    with site(*cameras, tools=tools, folder=folder) as server, window(browser, server.port, **size) as visitor:
        page = visitor.open("cameras/hall")
        page.get_by_text("fired 3 times in the last week, 2 in the last day").wait_for()
        slider = page.get_by_role("slider", name="fight", exact=True)
        slider.fill("0.7")
        page.get_by_text("fired 2 times in the last week, 1 in the last day").wait_for()
        page.get_by_label("Record", exact=True).fill("22:00-06:00")
        page.get_by_label("Record", exact=True).blur()
        page.get_by_text("2 changes not saved").wait_for()
        page.get_by_role("button", name="Save").click()
        page.get_by_text("Restart edgehar to apply: camera").wait_for()
        assert saved(tools).cameras[0].thresholds == {"fight": 0.7}
        assert saved(tools).cameras[0].record_hours == ["22:00-06:00"]


class Painter:
    """Explains every clip with a gray picture, or not at all."""

    def __init__(self, jpeg):
        self.jpeg = jpeg

    def explain(self, clip, model, label):
        assert clip.exists()
        assert label == "fight"
        return self.jpeg

    def stop(self):
        pass


def test_a_visitor_asks_why(browser, size, folder):
    gray = cv2.imencode(".jpg", np.full((48, 64, 3), 90, np.uint8))[1].tobytes()
    for jpeg, said in ((gray, "Red: covering this part"), (None, "could not be explained")):
        tools = Tools(explainer=Painter(jpeg))
        with site(folder=folder, tools=tools) as server, window(browser, server.port, **size) as visitor:
            page = visitor.open(EVENT)
            page.get_by_role("button", name="Show").click()
            page.get_by_text(said).wait_for()
            assert page.get_by_role("img", name="Parts of the picture that fight").count() == (jpeg is not None)
            if jpeg is None:
                visitor.errors.clear()  # Chromium logs the failure.
            else:
                assert visitor.violations() == []


EVENT = "events/00000000-0000-7000-8000-000000000001"
PAGES = (
    "",
    "settings",
    "cameras/hall",
    "login",
    "events",
    EVENT,
    "status",
    "nowhere",
)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_and_nothing_is_too_wide(browser, size, scheme, folder, tools):
    cameras = FakeCamera("hall"), FakeCamera("yard")
    with site(*cameras, folder=folder, tools=tools) as server:
        shown(cameras[0])
        server.board.cameras["hall"].add(prediction())
        server.board.cameras["hall"].add(event("start"))
        with window(browser, server.port, color_scheme=scheme, reduced_motion="reduce", **size) as visitor:
            for path in PAGES:
                visitor.open(path)
                visitor.until("!document.querySelector('[aria-busy=true]')")
                assert (path, visitor.violations()) == (path, [])
                assert (path, visitor.overflow()) == (path, 0)
            visitor.errors.clear()  # Chromium logs the page that is missing.


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_visitor_chooses_the_language_and_every_text_has_room(browser, language, folder, tools):
    narrow = {"viewport": {"width": 360, "height": 700}, "locale": f"{language}-KZ"}
    with site(folder=folder, tools=tools) as server, window(browser, server.port, **narrow) as visitor:
        for path in PAGES[:-1]:
            page = visitor.open(path)
            visitor.until("!document.querySelector('[aria-busy=true]')")
            assert page.locator("html").get_attribute("lang") == language
            assert (path, visitor.overflow()) == (path, 0)
            assert not re.search(
                r"\b(live|event|events|status|nav|judge|camera|settings)\.[a-z-]+\b", page.locator("body").inner_text()
            )
        page.locator("#language").select_option("ru")
        page.locator("html[lang=ru]").wait_for(state="attached")
        visitor.open("")
        page.get_by_role("link", name="События").wait_for()


def test_the_first_page_is_small_and_asks_no_other_host(browser):
    with site() as server, window(browser, server.port) as visitor:
        sizes = []
        visitor.page.on("requestfinished", lambda request: sizes.append((request.url, request.sizes())))
        shown(server.cameras[0])
        page = visitor.open()
        page.get_by_role("img", name="Live picture of hall").wait_for()
        assert {url.split("/")[2] for url, _ in sizes if url.startswith("http")} == {f"127.0.0.1:{server.port}"}
        assert sum(size["responseBodySize"] + size["responseHeadersSize"] for _, size in sizes) < 200_000


def test_the_keyboard_is_enough(browser, folder):
    with site(folder=folder) as server, window(browser, server.port) as visitor:
        page = visitor.open("events")
        page.get_by_role("link", name="fight").wait_for()
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Skip to content"
        page.keyboard.press("Enter")
        for _ in range(20):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.textContent") == "push":
                break
        page.keyboard.press("Enter")
        page.get_by_role("heading", name="push – yard").wait_for()
