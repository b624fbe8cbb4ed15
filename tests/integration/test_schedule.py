"""Cameras that are watched, recorded and notified about at some hours only."""

import datetime
import signal
import socket
import threading

import pytest
from support.helpers import (
    assert_one_line_error,
    flat_frames,
    records,
    run_command,
    start_command,
    wait_until,
    write_video,
)
from support.recordings import event, files_of

from edgehar.capture.reader import Capture, ReconnectOptions
from edgehar.delivery.notify import NotifySink
from edgehar.delivery.options import NotifyOptions
from edgehar.frames import Frame, PixelFormat
from edgehar.hours import Hours
from edgehar.records import StreamState
from edgehar.sources.base import OffHoursError, Source
from edgehar.sources.scheduled import ScheduledSource

MONDAY_NOON = datetime.datetime.fromisoformat("2026-11-23 12:00")


class Camera(Source):
    """A live source that gives frames until it is closed."""

    live, name = True, "camera"

    def __init__(self, opened):
        self._closed = threading.Event()
        opened.append(self)

    def __iter__(self):
        from time import monotonic

        number = 0
        while not self._closed.wait(0.01):
            (pixels,) = flat_frames([100])
            yield Frame(pixels, PixelFormat.BGR24, monotonic(), monotonic(), number)
            number += 1

    def close(self):
        self._closed.set()


def test_a_camera_is_closed_when_its_hours_are_over_and_opened_when_they_begin(monkeypatch):
    monkeypatch.setattr("edgehar.sources.scheduled._CHECK_EVERY_S", 0.0)
    opened, now, states = [], [MONDAY_NOON.replace(hour=20)], []
    hours = Hours("x", ["mon-fri 08:00-18:00"])
    capture = Capture(
        lambda: ScheduledSource(lambda: Camera(opened), hours, now=lambda: now[0]),
        options=ReconnectOptions(first_delay_s=0.01, max_delay_s=0.05),
        on_state=lambda state, reason: states.append((state, reason)),
    )
    capture.start()
    wait_until(lambda: any("watch_hours" in reason for _, reason in states))
    assert opened == []
    now[0] = MONDAY_NOON
    capture.frames.get(10)
    assert len(opened) == 1
    now[0] = MONDAY_NOON.replace(hour=20)
    wait_until(lambda: states[-1][0] is StreamState.RECONNECTING)
    assert opened[0]._closed.is_set()
    now[0] = MONDAY_NOON + datetime.timedelta(days=1)
    wait_until(lambda: len(opened) == 2)
    capture.frames.get(10)
    capture.stop()


def test_off_hours_nothing_is_opened():
    with pytest.raises(OffHoursError):
        ScheduledSource(lambda: pytest.fail("it was opened"), Hours("x", ["sat,sun"]), now=lambda: MONDAY_NOON)


@pytest.fixture
def configured(tmp_path, tiny_bundle):
    def write(camera, more=""):
        path = tmp_path / "c.toml"
        path.write_text(f'model = "{tiny_bundle}"\n[[camera]]\nname = "hall"\n{camera}\n{more}')
        path.chmod(0o600)
        return path

    return write


def never():
    """A span that begins in two days."""
    now = datetime.datetime.now()  # noqa: DTZ005 - local time is meant
    day = (now + datetime.timedelta(days=2)).strftime("%a").lower()
    return f'["{day} 12:00-12:01"]'


def test_off_hours_no_connection_is_made_to_the_camera(configured):
    with socket.create_server(("127.0.0.1", 0)) as camera:
        camera.settimeout(2)
        source = f'source = "rtsp://127.0.0.1:{camera.getsockname()[1]}/cam"\nwatch_hours = {never()}'
        with start_command("edgehar-run", "--config", configured(source)) as process:
            assert any("watch_hours" in line for line in process.stderr)
            with pytest.raises(TimeoutError):
                camera.accept()
            process.send_signal(signal.SIGTERM)
            out, _ = process.communicate(timeout=300)
        assert process.returncode == 0
    assert all(record["type"] == "status" for record in records(out))


@pytest.mark.parametrize("hours", ["[]", '["00:00-24:00"]', "never"])
def test_events_are_recorded_at_their_hours_only(configured, tmp_path, hours):
    video = write_video(tmp_path / "a.mp4", flat_frames([20] * 50 + [235] * 50), codec="libx264")
    path = configured(
        f'source = "{video}"\nrecord_hours = {never() if hours == "never" else hours}',
        f'[record]\ndirectory = "{tmp_path / "rec"}"\nmin_free_mb = 0\n',
    )
    done = run_command("edgehar-run", "--config", path)
    assert done.returncode == 0, done.stderr
    assert any(record["type"] == "event" for record in records(done.stdout))
    assert bool(files_of(tmp_path / "rec", ".mp4")) == (hours != "never")


def test_messages_are_sent_at_their_hours_only():
    sent, now = [], [MONDAY_NOON]
    sink = NotifySink(NotifyOptions(), sent.append, hours={"hall": Hours("x", ["22:00-06:00"])}, now=lambda: now[0])
    sink.write(event("start", 1.0))
    now[0] = MONDAY_NOON.replace(hour=23)
    sink.write(event("start", 1.0, label="dark"))
    wait_until(lambda: sent)
    sink.close()
    assert [message.title for message in sent] == ["dark at hall"]


@pytest.mark.parametrize("name", ["watch_hours", "record_hours", "notify_hours"])
def test_hours_that_cannot_be_read_are_one_line_and_2(configured, tmp_path, name):
    video = write_video(tmp_path / "a.mp4", flat_frames([20] * 5))
    path = configured(
        f'source = "{video}"\n{name} = ["nosuchday"]',
        f'[record]\ndirectory = "{tmp_path / "rec"}"\n[notify]\nurls = ["json://127.0.0.1:9/"]',
    )
    assert_one_line_error(run_command("edgehar-run", "--config", path), 2, name)
    done = run_command("edgehar", "config", "check", path)
    assert done.returncode == 2
    assert name in done.stdout + done.stderr
