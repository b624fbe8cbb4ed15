"""Fixtures and helpers for visits to the pages in a real Chromium, on a desktop and on a phone."""

import contextlib
from pathlib import Path

import numpy as np
import pytest

from edgehar.config import read
from edgehar.config.editing import ConfigFile
from edgehar.model.takeover import Takeovers
from edgehar.teaching.inbox import Inbox
from edgehar.web.classroom import Classroom, TaughtModel, TeachingPlaces
from edgehar.web.services import Tools
from edgehar.web.teach_answers import LabelScore, Lesson, LessonResult
from support.chromium import DESKTOP, PHONE, chromium
from support.moments import facts_of, manifest_of
from support.web_recordings import record, store_of

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


class Lessons:
    """A teacher whose last lesson the test sets."""

    def __init__(self):
        self.last, self.asked = None, []

    def teach(self, model, folders, out):
        self.asked.append((model, folders, out))
        self.last = Lesson(model, "running", 1, 4)
        return self.last

    def lesson(self):
        return self.last

    def stop(self):
        self.last = None


@pytest.fixture
def classroom(tmp_path):
    """A room with three moments, and a model that is none of the files here."""
    inbox = Inbox(tmp_path / "inbox")
    for number in range(3):
        inbox.add(facts_of(number, why=("event", "unsure", "random")[number]), np.zeros((6, 8), np.int8))
    places = TeachingPlaces(
        tmp_path / "inbox", False, None, tmp_path / "taught", Takeovers(tmp_path / "models"), swap=True
    )
    room = Classroom(places, [TaughtModel("tiny", ("hall",), manifest_of)], Lessons())
    room.folder = tmp_path / "inbox"
    table = {"bright": LabelScore(12, 3, 11), "dark": LabelScore(30, 28, 29)}
    result = LessonResult(table, 0.59, 0.94, "4 folds, days held out", LabelScore(40, 3, 1), 0, None)
    room.teacher.last = Lesson("tiny", "done", 42, 42, result, taught="tiny-taught-20261130T120000")
    return room
