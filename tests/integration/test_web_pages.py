"""The pages in a real Chromium: what a visitor does, on a desktop and on a phone."""

import contextlib
import re

import cv2
import msgspec
import numpy as np
import pytest
from support.chromium import PHONE, window
from support.web_site import PASSWORD, FakeCamera, event, password_hash, prediction, site
from support.web_visits import Checker, shown

from edgehar.records import StreamState
from edgehar.web.services import Tools
from edgehar.web.texts import LANGUAGES


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


def test_a_model_that_takes_over_brings_its_labels(browser):
    camera = FakeCamera("hall")
    with site(camera) as server, window(browser, server.port) as visitor:
        page = visitor.open()
        page.get_by_role("listitem").filter(has_text="calm").wait_for()
        camera.manifest = msgspec.structs.replace(camera.manifest, labels=["fight", "calm", "fall"])
        server.board.cameras["hall"].add(prediction(fight=0.1, calm=0.2, fall=0.7))
        page.get_by_role("listitem").filter(has_text="fall").wait_for()
        camera.manifest = msgspec.structs.replace(camera.manifest, labels=["walk", "calm"])
        server.board.cameras["hall"].add(prediction(walk=0.6, calm=0.4))
        page.get_by_role("listitem").filter(has_text="fall").wait_for(state="detached")
        assert page.get_by_role("listitem").count() == 2


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
    "teach",
    "status",
    "nowhere",
)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_and_nothing_is_too_wide(browser, size, scheme, folder, tools, classroom):
    cameras = FakeCamera("hall"), FakeCamera("yard")
    with site(*cameras, folder=folder, tools=tools, parts={"classroom": classroom}) as server:
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
def test_a_visitor_chooses_the_language_and_every_text_has_room(browser, language, folder, tools, classroom):
    narrow = {"viewport": {"width": 360, "height": 700}, "locale": f"{language}-KZ"}
    parts = {"classroom": classroom}
    with site(folder=folder, tools=tools, parts=parts) as server, window(browser, server.port, **narrow) as visitor:
        for path in PAGES[:-1]:
            page = visitor.open(path)
            visitor.until("!document.querySelector('[aria-busy=true]')")
            assert page.locator("html").get_attribute("lang") == language
            assert (path, visitor.overflow()) == (path, 0)
            assert not re.search(
                r"\b(live|event|events|status|nav|judge|camera|settings|teach|lesson|inbox)\.[a-z-]+\b",
                page.locator("body").inner_text(),
            )
            # Months without a name are what a browser shows in a language that it does not know.
            assert not re.search(r"\bM\d\d\b", page.locator("body").inner_text())
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
