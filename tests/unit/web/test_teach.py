"""Teaching over the API: moments and their labels, lessons, models, and what is refused."""

import contextlib
import json

import numpy as np
import pytest
from support.moments import facts_of, manifest_of
from support.tiny_bundle import write_tiny_bundle
from support.web_site import password_hash, site
from support.web_visits import Lessons

from edgehar.model.takeover import Takeovers
from edgehar.teaching.inbox import Inbox
from edgehar.teaching.labels import read_label
from edgehar.web.classroom import Classroom, TaughtModel, TeachingPlaces
from edgehar.web.teach_answers import Lesson

API = "/api/v1"


class Room:
    """A classroom in a folder, with its pages."""

    def __init__(self, folder, moments=3, **places):
        self.folder = folder
        self.inbox = Inbox(folder / "inbox")
        for number in range(moments):
            self.inbox.add(facts_of(number, why=("event", "unsure")[number % 2]), np.zeros((6, 8), np.int8))
        self.base = write_tiny_bundle(folder / "base.edgehar", name="base")
        self.takeovers, self.lessons = Takeovers(folder / "models"), Lessons()
        chosen = {"inbox": folder / "inbox", "clips": False, "recordings": None, "swap": True, **places}
        rooms = TeachingPlaces(taught=folder / "taught", takeovers=self.takeovers, **chosen)
        self.classroom = Classroom(rooms, [TaughtModel(str(self.base), ("hall",), manifest_of)], self.lessons)

    def taught(self, name="base-taught-20261130T120000", **options):
        """A lesson has given a new model."""
        (self.folder / "taught").mkdir(exist_ok=True)
        write_tiny_bundle(self.folder / "taught" / f"{name}.edgehar", name=name, gain=8.0, **options)
        self.lessons.last = Lesson(str(self.base), "done", 3, 3, taught=name)

    @contextlib.contextmanager
    def pages(self, **options):
        with site(parts={"classroom": self.classroom}, **options) as browser:
            yield browser


@pytest.fixture
def room(tmp_path):
    return Room(tmp_path)


def ask(browser, method, path, body=None):
    status, _, answer = browser.ask(method, API + path, body)
    return status, json.loads(answer)


def test_a_moment_is_labeled_withdrawn_and_deleted(room):
    with room.pages() as browser:
        found = browser.json(f"{API}/inbox")
        assert (found["waiting"], [moment["why"] for moment in found["moments"]]) == (3, ["event", "event", "unsure"])
        assert found["classes"] == ["bright", "dark"]
        first = found["moments"][0]["id"]
        status, moment = ask(browser, "PUT", f"/inbox/{first}/label", {"verdict": "other", "label": "falling"})
        assert (status, moment["label"]) == (200, "falling")
        label = read_label(room.folder / "inbox" / first)
        assert (label.label, label.answer, label.by) == ("falling", "bright", "page")
        found = browser.json(f"{API}/inbox?limit=1")
        assert (found["waiting"], len(found["moments"]), found["labeled"]) == (2, 1, {"falling": 1})
        assert found["classes"] == ["bright", "dark", "falling"]
        assert ask(browser, "DELETE", f"/inbox/{first}/label")[1]["label"] is None
        assert ask(browser, "DELETE", f"/inbox/{first}")[0] == 200
        assert ask(browser, "PUT", f"/inbox/{first}/label", {"verdict": "right"})[0] == 404
        assert browser.json(f"{API}/inbox")["waiting"] == 2


@pytest.mark.parametrize(
    "moment", ["..%2f..%2fetc/passwd", "hall/..", "hall-00000000/20261101T000000000-event", "a/b%00"]
)
def test_a_moment_that_is_none_is_refused(room, moment):
    (room.folder / "inbox.json").write_text("{}")
    with room.pages() as browser:
        for method, path in (("GET", "clip.mp4"), ("DELETE", "label")):
            assert browser.ask(method, f"{API}/inbox/{moment}/{path}")[0] == 404
        assert browser.ask("DELETE", f"{API}/inbox/{moment}")[0] == 404


@pytest.mark.parametrize(
    "body",
    [{"verdict": "other"}, {"verdict": "other", "label": "a,b"}, {"verdict": "maybe"}, {"verdict": "right", "x": 1}],
)
def test_a_label_that_cannot_be_used_is_refused(room, body):
    with room.pages() as browser:
        first = browser.json(f"{API}/inbox")["moments"][0]["id"]
        assert ask(browser, "PUT", f"/inbox/{first}/label", body)[0] == 422
        assert browser.json(f"{API}/inbox")["waiting"] == 3
        assert browser.get(f"{API}/inbox?limit=0")[0] == 422


def test_a_lesson_needs_labels_and_a_known_model(room):
    with room.pages() as browser:
        status, problem = ask(browser, "POST", "/teach", {"model": str(room.base)})
        assert (status, "nothing has a label" in problem["error"]) == (422, True)
        first = browser.json(f"{API}/inbox")["moments"][0]["id"]
        ask(browser, "PUT", f"/inbox/{first}/label", {"verdict": "wrong"})
        status, problem = ask(browser, "POST", "/teach", {"model": "other"})
        assert (status, "no camera has the model 'other'" in problem["error"]) == (422, True)
        status, lesson = ask(browser, "POST", "/teach", {"model": str(room.base)})
        assert (status, lesson["state"], lesson["done"], lesson["total"]) == (200, "running", 1, 4)
        ((model, folders, out),) = room.lessons.asked
        assert (model, folders, out.parent) == (str(room.base), [room.folder / "inbox"], room.folder / "taught")
        assert out.name.startswith("base-taught-2")
        assert browser.json(f"{API}/teach")["lesson"]["state"] == "running"


def test_a_taught_model_goes_on_trial_takes_over_and_goes_back(room):
    room.taught()
    with room.pages() as browser:
        status, info = ask(browser, "POST", "/teach/shadow", {"model": str(room.base), "hours": 12})
        (model,) = info["models"]
        assert (status, model["shadow"]["name"], model["shadow"]["hours"]) == (200, "base-taught-20261130T120000", 12)
        assert ask(browser, "POST", "/teach/rollback", {"model": str(room.base)})[1]["models"][0]["shadow"] is None
        ask(browser, "POST", "/teach/shadow", {"model": str(room.base), "hours": 0})
        assert room.takeovers.state(str(room.base)).active.name == "base-taught-20261130T120000"
        assert browser.json(f"{API}/teach")["models"][0]["can_return"] is True
        assert ask(browser, "POST", "/teach/rollback", {"model": str(room.base)})[0] == 200
        status, problem = ask(browser, "POST", "/teach/rollback", {"model": str(room.base)})
        assert (status, "nothing to roll back" in problem["error"]) == (422, True)


def test_a_model_that_may_not_run_is_refused(room, tmp_path):
    with room.pages() as browser:
        body = {"model": str(room.base), "hours": 1}
        assert "has given a new model" in ask(browser, "POST", "/teach/shadow", body)[1]["error"]
        room.taught(size=12)
        status, problem = ask(browser, "POST", "/teach/shadow", body)
        assert (status, "another encoder" in problem["error"]) == (422, True)
        assert ask(browser, "POST", "/teach/shadow", {**body, "hours": -1})[0] == 422
    (tmp_path / "strict").mkdir()
    strict = Room(tmp_path / "strict", require_signed=True)
    strict.taught()
    with strict.pages() as browser:
        status, problem = ask(browser, "POST", "/teach/shadow", {"model": str(strict.base), "hours": 1})
        assert (status, "sign" in problem["error"]) == (422, True)


def test_without_swap_or_inbox_the_page_says_what_to_set(tmp_path):
    room = Room(tmp_path, moments=0, inbox=None, swap=False)
    room.taught()
    with room.pages() as browser:
        info = browser.json(f"{API}/teach")
        assert (info["inbox"], info["swap"]) == (False, False)
        assert browser.json(f"{API}/inbox")["waiting"] == 0
        status, problem = ask(browser, "POST", "/teach/shadow", {"model": str(room.base), "hours": 1})
        assert (status, "swap = true" in problem["error"]) == (422, True)


def test_nothing_is_taught_without_log_in_or_token(room):
    with room.pages(password_hash=password_hash()) as browser:
        assert browser.get(f"{API}/inbox")[0] == 401
        browser.log_in()
        browser.csrf = ""
        assert ask(browser, "POST", "/teach", {"model": str(room.base)})[0] == 403
    with site() as browser:
        assert browser.get(f"{API}/teach")[0] == 409
