"""Settings and the page of a camera in a real Chromium: changed, saved, undone."""

import contextlib
import datetime

from support.chromium import window
from support.web_recordings import record, store_of
from support.web_site import FakeCamera, site
from support.web_visits import drag, saved, shown


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
            page.get_by_text("Saved and in force").wait_for()
            ((left, top), *_, (_, bottom)) = saved(tools).cameras[1].masks[0]
            assert abs(left - 0.11) < 0.02
            assert abs(top - 0.1) < 0.02
            assert abs(bottom - 0.5) < 0.02
            page.get_by_role("button", name="Remove mask 1").click()
            page.get_by_role("button", name="Save").click()
            page.get_by_text("Saved and in force").wait_for()
            assert saved(tools).cameras[1].masks == []


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
        page.get_by_text("Saved and in force").wait_for()
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
        page.get_by_text("Saved and in force").wait_for()
        assert saved(tools).cameras[0].thresholds == {"fight": 0.7}
        assert saved(tools).cameras[0].record_hours == ["22:00-06:00"]
