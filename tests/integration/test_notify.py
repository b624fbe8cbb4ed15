"""Messages through Apprise to a real web server and a real mail server, with filters, limits and quiet hours."""

import base64
import datetime
import json
import socketserver
import threading

import cv2
import msgspec
import numpy as np
import pytest
from support.helpers import assert_one_line_error, flat_frames, run_command, wait_until, write_video
from support.recordings import event
from support.upload_servers import free_port

from edgehar.credentials import Secret
from edgehar.delivery.messages import Message, Messages, apprise_sender
from edgehar.delivery.notify import NotifySink
from edgehar.delivery.options import NotifyOptions
from edgehar.errors import ConfigError
from edgehar.hours import Hours

NOON = datetime.datetime.fromisoformat("2026-11-23 12:00")  # a Monday
apprise = pytest.importorskip("apprise", reason="needs the extra `notify`")


class Web:
    """An HTTP server that keeps what is posted to it."""

    def __init__(self):
        import http.server

        posted = self.posted = []
        self.status = 200
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(outer.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"json://127.0.0.1:{self.server.server_port}/hook"
        threading.Thread(target=self.server.serve_forever, args=[0.05], daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def web():
    web = Web()
    yield web
    web.close()


class Clock:
    """Time that the test sets."""

    def __init__(self):
        self.now_s, self.local = 0.0, NOON

    def __call__(self):
        return self.now_s

    def go(self, **span):
        delta = datetime.timedelta(**span)
        self.now_s += delta.total_seconds()
        self.local += delta


@pytest.fixture
def notify():
    sinks = []

    def make(**options):
        clock, sent = Clock(), []
        send = options.pop("send", lambda message: sent.append(message))
        picture_of = options.pop("picture_of", lambda _: None)
        sink = NotifySink(NotifyOptions(**options), send, clock=clock, now=lambda: clock.local, picture_of=picture_of)
        sinks.append(sink)
        return sink, clock, sent

    yield make
    for sink in sinks:
        sink.close()


def nudge(sink):
    with sink._changed:
        sink._changed.notify_all()


def test_a_message_has_text_and_picture(web):
    picture = cv2.imencode(".jpg", np.zeros((32, 32, 3), np.uint8))[1].tobytes()
    send = apprise_sender(NotifyOptions(urls=[Secret(web.address)]))
    assert send(Message("fight at hall", "Score 0.91.", picture)) is None
    (posted,) = web.posted
    assert (posted["title"], posted["message"]) == ("fight at hall", "Score 0.91.")
    (attached,) = posted["attachments"]
    assert base64.b64decode(attached["base64"]) == picture


def test_mail_has_the_text_as_it_is(notify):
    received = []

    class Smtp(socketserver.StreamRequestHandler):
        def handle(self):
            self.wfile.write(b"220 test\r\n")
            while line := self.rfile.readline():
                if line.upper().startswith(b"DATA"):
                    self.wfile.write(b"354 go\r\n")
                    data = b""
                    while not data.endswith(b"\r\n.\r\n"):
                        data += self.rfile.readline()
                    received.append(data.decode())
                self.wfile.write(b"221 bye\r\n" if line.upper().startswith(b"QUIT") else b"250 ok\r\n")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Smtp) as server:
        threading.Thread(target=server.serve_forever, args=[0.05], daemon=True).start()
        port = server.server_address[1]
        url = Secret(f"mailto://127.0.0.1:{port}/?from=a@b.example&to=c@d.example&mode=insecure")
        send = apprise_sender(NotifyOptions(urls=[url]))
        label = "<b>fall</b>/x" + "y" * 200
        message = Messages(NotifyOptions()).of(event("start", 1.0, label=label), None)
        assert send(message) is None
        server.shutdown()
    assert "<b>fall</b>" not in received[0] or "text/plain" in received[0]


@pytest.mark.parametrize("status", [500, 403])
def test_a_service_that_refuses_is_tried_again(web, notify, status):
    web.status = status
    sink, _, _ = notify(urls=[Secret(web.address)], send=apprise_sender(NotifyOptions(urls=[Secret(web.address)])))
    sink.write(event("start", 1.0))
    wait_until(lambda: len(web.posted) >= 2, 20)
    web.status = 200
    wait_until(lambda: sink.sent == 1, 20)


def test_a_wrong_address_delays_nothing_and_is_given_up(notify):
    address = f"json://127.0.0.1:{free_port()}/"
    sink, clock, _ = notify(send=apprise_sender(NotifyOptions(urls=[Secret(address)])), give_up_s=100)
    sink.write(event("start", 1.0))
    wait_until(lambda: sink._told, 20)
    clock.go(seconds=101)
    wait_until(lambda: sink.failed == 1, 20)
    assert sink.sent == 0


def test_at_most_so_many_an_hour_and_a_digest_of_the_rest(notify):
    sink, clock, sent = notify(max_per_hour=3)
    for number in range(10):
        sink.write(event("start", 1.0, label=f"a{number % 2}"))
        wait_until(lambda number=number: len(sent) > min(number, 2))
    assert len(sent) == 3
    clock.go(minutes=59)
    nudge(sink)
    assert len(sent) == 3
    clock.go(minutes=2)
    nudge(sink)
    wait_until(lambda: len(sent) == 4, 20)
    assert sent[3].title == "7 more events"
    assert sorted(sent[3].body.splitlines()) == ["3 x a0 at hall", "4 x a1 at hall"]


def test_quiet_hours_are_quiet_and_a_digest_follows(notify):
    sink, clock, sent = notify(quiet_hours=["22:00-06:00"])
    clock.go(hours=10, minutes=30)
    for _ in range(4):
        sink.write(event("start", 1.0))
    nudge(sink)
    assert sent == []
    clock.go(hours=8)
    nudge(sink)
    wait_until(lambda: len(sent) == 1, 20)
    assert sent[0].title == "4 more events"
    sink.write(event("start", 1.0))
    wait_until(lambda: len(sent) == 2)


def test_only_what_is_asked_for_is_sent(notify):
    sink, _, sent = notify(labels=["bright"], cameras=["hall"], min_score=0.5, when="end")
    sink.write(event("start", 1.0))
    sink.write(event("end", 1.0, 2.0, label="dark"))
    sink.write(event("end", 1.0, 2.0))
    wait_until(lambda: len(sent) == 1)
    assert sent[0].title == "bright at hall"


def test_pictures_are_of_the_event(notify):
    sink, _, sent = notify(picture_of=lambda record: record.label.encode())
    sink.write(event("start", 1.0))
    wait_until(lambda: len(sent) == 1)
    assert sent[0].picture == b"bright"
    sink, _, sent = notify(picture_of=lambda record: record.label.encode(), picture=False)
    sink.write(event("start", 1.0))
    wait_until(lambda: len(sent) == 1)
    assert sent[0].picture is None


def test_an_address_that_took_a_message_does_not_get_it_again(web, notify, monkeypatch):
    other = Web()
    other.status = 503
    monkeypatch.setattr("edgehar.delivery.notify._FIRST_DELAY_S", 0.01)
    sink, *_ = notify(send=apprise_sender(NotifyOptions(urls=[Secret(web.address), Secret(other.address)])))
    sink.write(event("start", 1.0))
    wait_until(lambda: len(other.posted) >= 3)
    other.status = 200
    wait_until(lambda: sink.sent == 1)
    sink.write(event("start", 2.0))
    wait_until(lambda: sink.sent == 2)
    assert len(web.posted) == 2
    other.close()


@pytest.mark.parametrize("label", ['<b>"x"</b> & more', "a/b\\c", "x" * 300, "{camera}", "two\nlines"])
def test_labels_of_any_kind_are_sent_as_text(web, notify, label):
    sink, *_ = notify(send=apprise_sender(NotifyOptions(urls=[Secret(web.address)])), title="{label}", body="{label}")
    sink.write(event("start", 1.0, label=label))
    wait_until(lambda: web.posted)
    assert web.posted[0]["title"] == " ".join(label[:200].split())
    assert web.posted[0]["message"] == label[:200]


def test_a_message_may_wait_for_the_address_of_the_clip(notify):
    sink, _, sent = notify(when="uploaded", body="{clip_url}")
    sink.write(event("start", 1.0))
    sink.write(event("end", 1.0, 2.5))
    sink.write(msgspec.structs.replace(event("end", 1.0, 2.5), phase="uploaded", clip_url="https://host/a.mp4"))
    wait_until(lambda: len(sent) == 1)
    assert sent[0].body == "https://host/a.mp4"


def test_templates_are_filled_in(notify):
    sink, _, sent = notify(
        title="{camera}: {label}", body="{score} {duration_s} {clip} {id} {model} {time}", when="end"
    )
    sink.write(event("end", 1.0, 2.5))
    wait_until(lambda: len(sent) == 1)
    assert sent[0].title == "hall: bright"
    assert sent[0].body.startswith("0.90 1.5  01a229b8")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"title": "{nothing}"}, "is not known"),
        ({"body": "{label.__class__}"}, "is not known"),
        ({"body": "{label!r}"}, "is not known"),
        ({"body": "{"}, "braces"),
        ({"quiet_hours": ["22-6"]}, "not a time span"),
        ({"quiet_hours": ["22:00-25:00"]}, "not a time of day"),
        ({"quiet_hours": ["monday 10:00-11:00"]}, "not a day"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(notify, options, message):
    with pytest.raises(ConfigError, match=message):
        notify(**options)


@pytest.mark.parametrize("address", ["nosuch://host/x", "not an address", "json://"])
def test_addresses_that_apprise_does_not_know_are_refused_without_showing_them(address):
    with pytest.raises(ConfigError, match="address 1") as caught:
        apprise_sender(NotifyOptions(urls=[Secret(address + "hunter2")] if "nosuch" in address else [Secret(address)]))
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("texts", "moment", "holds"),
    [
        (["22:00-06:00"], "2026-11-23 23:00", True),
        (["22:00-06:00"], "2026-11-23 05:59", True),
        (["22:00-06:00"], "2026-11-23 06:00", False),
        (["mon-fri 08:00-18:00"], "2026-11-23 08:00", True),
        (["mon-fri 08:00-18:00"], "2026-11-22 12:00", False),
        (["fri 22:00-06:00"], "2026-11-28 03:00", True),
        (["fri 22:00-06:00"], "2026-11-27 03:00", False),
        (["sat,sun"], "2026-11-22 12:00", True),
        (["sat-mon"], "2026-11-23 12:00", True),
        (["sat-mon"], "2026-11-24 12:00", False),
        ([], "2026-11-24 12:00", False),
        (["00:00-24:00"], "2026-11-24 23:59", True),
    ],
)
def test_hours_of_the_week(texts, moment, holds):
    assert Hours("x", texts).hold(datetime.datetime.fromisoformat(moment)) is holds


def test_the_command_says_which_address_works(web, tmp_path):
    done = run_command("edgehar", "notify", "test", "--url", web.address)
    assert done.returncode == 0, done.stderr
    assert "address 1: sent" in done.stdout
    assert web.posted[0]["attachments"]
    done = run_command("edgehar", "notify", "test", "--url", f"json://user:hunter2@127.0.0.1:{free_port()}/x")
    assert done.returncode == 1
    assert "address 1: failed" in done.stdout
    assert "hunter2" not in done.stdout + done.stderr
    (tmp_path / "c.toml").write_text("")
    assert_one_line_error(
        run_command("edgehar", "notify", "test", "--config", tmp_path / "c.toml"), 2, "urls is not set"
    )


@pytest.mark.parametrize("when", ["start", "end"])
def test_a_run_notifies_with_a_picture_of_the_event(web, tmp_path, tiny_bundle, when):
    video = write_video(tmp_path / "a.mp4", flat_frames([20] * 50 + [235] * 50 + [20] * 50), codec="libx264")
    config = tmp_path / "c.toml"
    config.write_text(
        f'model = "{tiny_bundle}"\noutput = "none"\n[[camera]]\nname = "hall"\nsource = "{video}"\n'
        f'[record]\ndirectory = "{tmp_path / "rec"}"\nmin_free_mb = 0\n'
        f'[notify]\nurls = ["{web.address}"]\nlabels = ["bright"]\nwhen = "{when}"\nbody = "{{clip}}"\n'
    )
    config.chmod(0o600)
    done = run_command("edgehar-run", "--config", config)
    assert done.returncode == 0, done.stderr
    (posted,) = web.posted
    assert posted["title"] == "bright at hall"
    assert posted["message"].endswith(".mp4")
    picture = cv2.imdecode(np.frombuffer(base64.b64decode(posted["attachments"][0]["base64"]), np.uint8), 1)
    assert picture.mean() > 150
