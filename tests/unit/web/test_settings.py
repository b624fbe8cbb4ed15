"""Settings over the API: what is refused, and that the run reads its configuration again after a change."""

import datetime
import json

import pytest
from support.web_recordings import record, store_of
from support.web_site import password_hash, site

from edgehar.config.editing import ConfigFile
from edgehar.web.recordings import Recordings
from edgehar.web.services import Tools


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "edgehar.toml"
    path.write_text('model = "actions-synthetic"\n[[camera]]\nname = "hall"\nsource = "camera:0"\n')
    return path


@pytest.fixture
def reloads():
    return []


@pytest.fixture
def browser(path, reloads):
    with site(tools=Tools(settings=ConfigFile(path)), reload=lambda: reloads.append(1)) as browser:
        yield browser


def put(browser, *changes, version=None):
    version = version or browser.json("/api/v1/settings")["version"]
    body = {"version": version, "changes": [{"path": path, "value": value} for path, value in changes]}
    status, _, answer = browser.ask("PUT", "/api/v1/settings", body)
    return status, json.loads(answer)


def test_a_change_is_written_and_the_run_reads_it(browser, path, reloads):
    status, result = put(browser, (["camera", 0, "threshold"], 0.75))
    assert (status, result["changed"], result["restart"]) == (200, ["camera"], [])
    assert "threshold = 0.75" in path.read_text()
    assert reloads == [1]
    status, _, body = browser.ask("POST", "/api/v1/settings/undo")
    assert (status, json.loads(body)["changed"]) == (200, ["camera"])
    assert reloads == [1, 1]


def test_a_refused_change_says_why_and_changes_nothing(browser, path, reloads):
    before = path.read_text()
    status, answer = put(browser, (["hop"], 0), (["threads"], -1))
    assert (status, answer["code"]) == (422, "invalid")
    assert "hop is 0" in answer["error"]
    assert "threads is -1" in answer["error"]
    assert put(browser, (["hop"], 3), version="0")[1]["code"] == "changed-meanwhile"
    for body in (
        {"changes": []},
        {"version": "0", "changes": [{"path": [], "value": 1}]},
        {"version": "0", "changes": 1},
    ):
        assert browser.ask("PUT", "/api/v1/settings", body)[0] == 422
    assert path.read_text() == before
    assert reloads == []


def test_settings_cannot_be_changed_without_log_in_token_or_file(path):
    with site(tools=Tools(settings=ConfigFile(path)), password_hash=password_hash()) as browser:
        assert browser.get("/api/v1/settings")[0] == 401
        browser.log_in()
        version = browser.json("/api/v1/settings")["version"]
        browser.csrf = ""
        assert put(browser, (["hop"], 3), version=version)[0] == 403
    with site() as browser:
        assert browser.get("/api/v1/settings")[0] == 409


def test_a_file_that_vanished_or_broke_is_told(browser, path):
    path.write_text("model = ")
    assert browser.get("/api/v1/settings")[0] == 422
    path.unlink()
    assert browser.get("/api/v1/settings")[0] == 422


def test_peaks_of_the_last_day_and_week_are_counted_for_each_action(tmp_path):
    folder = tmp_path / "rec"
    store = store_of(folder)
    for number, (time, score) in enumerate(
        [
            ("2026-11-22T11:59:59", 0.5),
            ("2026-11-22T12:00:01", 0.6),
            ("2026-11-28T12:00:01", 0.7),
            ("2026-11-29T11:00:00", 0.8),
        ]
    ):
        record(store, number, time, score=score, clip=False)
    record(store, 9, "2026-11-29T11:30:00", camera="yard", clip=False)
    store.close()
    now = datetime.datetime(2026, 11, 29, 12, tzinfo=datetime.UTC)
    peaks = Recordings(folder).peaks("hall", now)
    assert {label: (p.day, p.week) for label, p in peaks.items()} == {"fight": ([0.8, 0.7], [0.8, 0.7, 0.6])}
    with site(folder=folder) as browser:
        answer = browser.json("/api/v1/cameras/hall/counts")
        assert answer["source"] == "recordings"
        assert list(answer["labels"]) == ["fight"]
        assert len(answer["labels"]["fight"]["week"]) == 101
    with site() as browser:
        assert browser.json("/api/v1/cameras/hall/counts")["source"] == "none"
