"""Events on the pages: the list and its filters, files in ranges, and what a person says about an event."""

import contextlib
import hashlib
import json
import socket

import pytest
from support.web_recordings import LABELS, event_id, record, store_of
from support.web_site import FakeCamera, event, password_hash, site

from edgehar.errors import ConfigError
from edgehar.masks import View
from edgehar.recording.store import Archive
from edgehar.recording.verify import problems
from edgehar.teaching.labels import read_label
from edgehar.web.recordings import day_span


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "rec"


@pytest.fixture
def store(folder):
    with contextlib.closing(store_of(folder)) as store:
        yield store


def listed(browser, query=""):
    page = browser.json(f"/api/v1/events{query}")
    return [found["id"] for found in page["events"]], page["next"]


def test_events_are_listed_newest_first_and_a_page_at_a_time(store, folder):
    ids = [record(store, number, f"2026-11-2{number}T12:00:00", clip=False) for number in range(5)]
    with site(folder=folder) as browser:
        assert listed(browser) == (ids[::-1], None)
        assert listed(browser, "?limit=2") == ([ids[4], ids[3]], ids[3])
        assert listed(browser, f"?limit=2&before={ids[3]}") == ([ids[2], ids[1]], ids[1])
        assert listed(browser, f"?limit=2&before={ids[1]}") == ([ids[0]], None)
        assert listed(browser, "?before=nonsense") == ([], None)


def test_events_are_filtered_by_camera_label_score_and_verdict(store, folder):
    a = record(store, 1, "2026-11-20T12:00:00", score=0.6, clip=False)
    b = record(store, 2, "2026-11-20T12:00:01", camera="yard", label="a b/c", score=0.9, clip=False)
    with site(folder=folder) as browser:
        assert listed(browser, "?camera=hall") == ([a], None)
        assert listed(browser, "?camera=../hall") == ([], None)
        assert listed(browser, "?label=a%20b/c") == ([b], None)
        assert listed(browser, "?score=0.61") == ([b], None)
        assert browser.ask("PUT", f"/api/v1/events/{a}/label", {"verdict": "right"})[0] == 200
        assert listed(browser, "?judged=1") == ([a], None)
        assert listed(browser, "?judged=0") == ([b], None)
        choices = browser.json("/api/v1/events/choices")
        assert choices["recorded"]
        assert choices["labels"] == ["a_b_c", "fight"]


@pytest.mark.parametrize(
    "query",
    [
        *("score=2", "score=nan", "score=x", "limit=0", "limit=1e9"),
        *("day=2026-02-30", "day=x", "day=9999-12-31"),
        *("day=2026-03-29&zone=../../etc/passwd", "day=2026-03-29&zone=Nowhere"),
    ],
)
def test_a_filter_that_is_none_is_refused(folder, store, query):
    with site(folder=folder) as browser:
        status, body = browser.get(f"/api/v1/events?{query}")
        assert (status, json.loads(body)["code"]) == (422, "invalid")


@pytest.mark.parametrize(
    ("day", "zone", "start", "hours"),
    [
        ("2026-03-29", "Europe/Berlin", "2026-03-28T23:00:00+00:00", 23),
        ("2026-10-25", "Europe/Berlin", "2026-10-24T22:00:00+00:00", 25),
        ("2026-10-25", "Asia/Almaty", "2026-10-24T19:00:00+00:00", 24),
        ("2026-10-25", "UTC", "2026-10-25T00:00:00+00:00", 24),
    ],
)
def test_a_day_is_that_of_the_visitor_whatever_the_clocks_do(day, zone, start, hours):
    since, until = day_span(day, zone)
    assert since.isoformat() == start
    assert (until - since).total_seconds() == hours * 3600


def test_a_day_that_is_none_is_an_error():
    with pytest.raises(ConfigError, match="write 2026-03-29"):
        day_span("2026-13-01", "UTC")


def test_an_event_belongs_to_the_day_on_which_the_visitor_saw_it(store, folder):
    before, first, last, after = (
        record(store, number, time, clip=False)
        for number, time in enumerate(
            ["2026-03-28T22:59:59", "2026-03-28T23:00:00", "2026-03-29T21:59:59", "2026-03-29T22:00:00"]
        )
    )
    with site(folder=folder) as browser:
        assert listed(browser, "?day=2026-03-29&zone=Europe/Berlin") == ([last, first], None)
        assert listed(browser, "?day=2026-03-28&zone=Europe/Berlin") == ([before], None)
        assert listed(browser, "?day=2026-03-30&zone=Europe/Berlin") == ([after], None)


def test_an_event_has_its_scores_on_the_time_of_its_clip(store, folder):
    chosen = record(store, 1, "2026-11-20T12:00:00", score=0.75)
    with site(folder=folder) as browser:
        detail = browser.json(f"/api/v1/events/{chosen}")
        assert (detail["labels"], detail["start_s"], detail["end_s"]) == (list(LABELS), 0.5, 1.5)
        assert detail["times_s"][:3] == [0.0, 0.2, 0.4]
        assert detail["scores"][0] == [0.75, 0.25]
        assert detail["event"]["clip_s"] == 2.0
        assert browser.get("/api/v1/events/nonsense")[0] == 404


def test_without_recording_the_list_has_what_was_seen_since_the_start():
    with site() as browser:
        assert browser.json("/api/v1/events/choices")["recorded"] is False
        browser.board.cameras["hall"].add(event("start"))
        (seen,) = browser.json("/api/v1/events")["events"]
        assert (seen["id"], seen["going_on"], seen["duration_s"]) == (event().id, True, None)
        assert browser.json(f"/api/v1/events/{seen['id']}")["scores"] == []
        assert browser.ask("PUT", f"/api/v1/events/{seen['id']}/label", {"verdict": "right"})[0] == 409


def test_an_event_that_is_recorded_is_not_listed_twice(store, folder):
    chosen = record(store, 1, "2026-11-20T12:00:00", clip=False)
    with site(folder=folder) as browser:
        browser.board.cameras["hall"].add(event("end", id=chosen))
        assert listed(browser) == ([chosen], None)


@pytest.fixture
def clip(store, folder):
    chosen = record(store, 1, "2026-11-20T12:00:00")
    with site(folder=folder) as browser:
        whole = next(folder.rglob("*.mp4")).read_bytes()
        yield browser, f"/api/v1/events/{chosen}/file.mp4", whole


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [
        ("bytes=0-", 0, None),
        ("bytes=0-0", 0, 1),
        ("bytes=10-19", 10, 20),
        ("bytes=-5", -5, None),
        ("bytes=5-99999999", 5, None),
    ],
)
def test_a_player_can_jump(clip, asked, start, stop):
    browser, path, whole = clip
    status, headers, body = browser.ask("GET", path, Range=asked)
    assert (status, body) == (206, whole[start:stop])
    first = len(whole) + start if start < 0 else start
    assert headers["Content-Range"] == f"bytes {first}-{first + len(body) - 1}/{len(whole)}"
    assert headers["Content-Type"] == "video/mp4"


@pytest.mark.parametrize("asked", ["bytes=99999999-", "bytes=99999999-999999990", f"bytes={'9' * 60}-"])
def test_a_range_beyond_the_end_is_refused(clip, asked):
    browser, path, whole = clip
    status, headers, _ = browser.ask("GET", path, Range=asked)
    assert (status, headers["Content-Range"]) == (416, f"bytes */{len(whole)}")


@pytest.mark.parametrize("asked", ["bytes=5-4", "bytes=-", "bytes=a-b", "items=0-1", "bytes=0-1,3-4", "x" * 200])
def test_a_range_that_is_none_gives_the_whole(clip, asked):
    browser, path, whole = clip
    status, _, body = browser.ask("GET", path, Range=asked)
    assert (status, body) == (200, whole)


def test_a_clip_that_is_deleted_while_it_plays_plays_on_and_is_then_gone(clip, folder):
    browser, path, whole = clip
    with contextlib.closing(socket.create_connection(("127.0.0.1", browser.port), 20)) as client:
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        answer = client.recv(100)
        next(folder.rglob("*.mp4")).unlink()
        while chunk := client.recv(65_536):
            answer += chunk
    assert answer.endswith(whole)
    assert browser.get(path)[0] == 404


def test_only_files_on_the_chain_are_served(clip, folder):
    browser, path, _ = clip
    for wrong in ("file.txt", "file.jsonl", "file.mp4.age", "file.", "file.mp4%00", "file.mp4/../../chain.jsonl"):
        assert browser.get(path.replace("file.mp4", wrong))[0] == 404
    (folder / "hall" / "2026-11-20" / f"120001Z-fight-{event_id(77)}.mp4").write_bytes(b"x")
    assert browser.get(f"/api/v1/events/{event_id(77)}/file.mp4")[0] == 404


def test_a_link_in_the_folder_is_not_followed(clip, tmp_path, folder):
    browser, path, _ = clip
    target = tmp_path / "secret"
    target.write_text("secret")
    file = next(folder.rglob("*.mp4"))
    file.unlink()
    file.symlink_to(target)
    assert browser.get(path)[0] == 404


def test_a_file_can_be_stored_under_a_name_that_says_what_it_is(clip):
    browser, path, _ = clip
    _, headers, _ = browser.ask("GET", f"{path}?download=1")
    assert headers["Content-Disposition"].startswith('attachment; filename="hall-2026-11-20-120000Z-fight-')


def test_what_a_person_says_is_kept_beside_the_clip_and_can_be_withdrawn(clip, folder):
    browser, path, _ = clip
    label = path.replace("file.mp4", "label")
    base = next(folder.rglob("*.mp4")).with_suffix("")
    for body, expected in (
        ({"verdict": "right"}, ("right", "fight")),
        ({"verdict": "wrong"}, ("wrong", "ordinary")),
        ({"verdict": "other", "label": "hug"}, ("other", "hug")),
    ):
        status, _, answer = browser.ask("PUT", label, body)
        said = json.loads(answer)["verdict"]
        assert (status, said["verdict"], said["label"]) == (200, *expected)
        assert (read_label(base).label, read_label(base).by) == (expected[1], "page")
    assert browser.ask("DELETE", label)[0] == 200
    assert read_label(base) is None
    assert list(problems(Archive(folder))) == []


@pytest.mark.parametrize("label", ["", " ", "a,b", "../x", "a\nb", "x" * 81, None])
def test_a_label_that_cannot_be_one_is_refused(clip, label):
    browser, path, _ = clip
    status, _, _ = browser.ask("PUT", path.replace("file.mp4", "label"), {"verdict": "other", "label": label})
    assert status == 422


def test_a_label_with_html_stays_text(clip):
    browser, path, _ = clip
    html = "<img src=x onerror=alert(1)>"
    assert browser.ask("PUT", path.replace("file.mp4", "label"), {"verdict": "other", "label": html})[0] == 200
    (found,) = browser.json("/api/v1/events")["events"]
    assert found["verdict"]["label"] == html
    assert b"onerror" not in browser.get(f"/events/{found['id']}")[1]


def test_a_full_disk_is_told(clip, folder, monkeypatch):
    browser, path, _ = clip

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("edgehar.web.api.events.write_label", full)
    status, _, body = browser.ask("PUT", path.replace("file.mp4", "label"), {"verdict": "right"})
    assert (status, json.loads(body)["code"]) == (507, "disk")


def test_events_need_a_session_and_the_token(store, folder):
    chosen = record(store, 1, "2026-11-20T12:00:00", clip=False)
    with site(folder=folder, password_hash=password_hash()) as browser:
        assert browser.get(f"/api/v1/events/{chosen}/file.jpg")[0] == 401
        browser.log_in()
        assert browser.get(f"/api/v1/events/{chosen}/file.jpg")[0] == 200
        browser.csrf = "wrong"
        assert browser.ask("PUT", f"/api/v1/events/{chosen}/label", {"verdict": "right"})[0] == 403


def test_the_status_has_cameras_outputs_storage_and_log(store, folder):
    record(store, 1, "2026-11-20T12:00:00", clip=False)
    with site(FakeCamera("hall"), FakeCamera("yard"), folder=folder) as browser:
        status = browser.json("/api/v1/status")
        assert [camera["source"] for camera in status["cameras"]] == ["hall", "yard"]
        assert status["storage"]["recordings"] == 1
        assert status["storage"]["bytes"] > 100
        assert status["log"] == []


class Examiner:
    """Checks nothing, and says what it is told."""

    def __init__(self, output):
        self.output = output

    def examine(self):
        return self.output

    def stop(self):
        pass


@pytest.mark.parametrize(
    ("output", "status"),
    [
        (b'{"ok":true,"checks":[{"check":"disk","level":"ok","says":"fine","fix":""}]}', 200),
        (b"Traceback", 502),
        (b"", 502),
    ],
)
def test_the_device_is_checked_at_a_button(output, status):
    from edgehar.web.services import Tools

    with site(tools=Tools(Examiner(output))) as browser:
        assert browser.ask("POST", "/api/v1/doctor")[0] == status
    with site() as browser:
        assert browser.ask("POST", "/api/v1/doctor")[0] == 409


class Painter:
    """Explains clips, and counts how often."""

    def __init__(self, answer=b"\xff\xd8"):
        self.answer, self.asked = answer, []

    def explain(self, clip, model, label):
        self.asked.append((clip.suffix, model, label))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def stop(self):
        pass


def test_an_event_is_explained_once(store, folder):
    from edgehar.web.services import Tools

    chosen, painter = record(store, 1, "2026-11-20T12:00:00"), Painter()
    with site(folder=folder, tools=Tools(explainer=painter)) as browser:
        for _ in range(2):
            assert browser.get(f"/api/v1/events/{chosen}/why.jpg") == (200, b"\xff\xd8")
        assert painter.asked == [(".mp4", None, "fight")]
        assert browser.get("/api/v1/events/nonsense/why.jpg")[0] == 404


def test_what_cannot_be_explained_says_why(store, folder):
    from edgehar.web.services import Tools

    with_clip, without = record(store, 1, "2026-11-20T12:00:00"), record(store, 2, "2026-11-20T13:00:00", clip=False)
    yard = record(store, 3, "2026-11-20T14:00:00", camera="yard")
    for answer in (None, OSError(2, "missing")):
        with site(folder=folder, tools=Tools(explainer=Painter(answer))) as browser:
            assert browser.get(f"/api/v1/events/{with_clip}/why.jpg")[0] == 502
            assert browser.get(f"/api/v1/events/{without}/why.jpg")[0] == 404
            # Its camera, and so its model, is not there.
            status, body = browser.get(f"/api/v1/events/{yard}/why.jpg")
            assert (status, json.loads(body)["code"]) == (409, "other-model")
    with site(folder=folder) as browser:
        assert browser.get(f"/api/v1/events/{with_clip}/why.jpg")[0] == 409


def test_an_answer_is_explained_by_the_very_model_that_gave_it(store, folder, tmp_path):
    from edgehar.web.services import Tools

    bundle, camera = tmp_path / "tiny.edgehar", FakeCamera("hall")
    bundle.write_bytes(b"a model")
    camera.bundle_path = bundle
    chosen = record(store, 1, "2026-11-20T12:00:00", sha256=hashlib.sha256(b"a model").hexdigest())
    with site(camera, folder=folder, tools=Tools(explainer=Painter())) as browser:
        bundle.write_bytes(b"another model of the same name")
        status, body = browser.get(f"/api/v1/events/{chosen}/why.jpg")
        assert (status, json.loads(body)["code"]) == (409, "other-model")
        bundle.write_bytes(b"a model")
        assert browser.get(f"/api/v1/events/{chosen}/why.jpg")[0] == 200


def test_without_pictures_older_clips_are_not_shown_either(store, folder):
    from edgehar.web.services import Tools

    old, yard = record(store, 1, "2026-11-20T12:00:00"), record(store, 2, "2026-11-20T13:00:00", camera="yard")
    cameras = FakeCamera("hall", view=View(pictures="none")), FakeCamera("yard")
    with site(*cameras, folder=folder, tools=Tools(explainer=Painter())) as browser:
        shown = {found["id"]: (found["picture"], found["clip"]) for found in browser.json("/api/v1/events")["events"]}
        assert shown == {old: (False, False), yard: (True, True)}
        assert browser.json(f"/api/v1/events/{old}")["event"]["clip"] is False
        for name, status in (("file.mp4", 404), ("file.jpg", 404), ("why.jpg", 404), ("file.json", 200)):
            assert (name, browser.get(f"/api/v1/events/{old}/{name}")[0]) == (name, status)
        assert browser.get(f"/api/v1/events/{yard}/file.mp4")[0] == 200
