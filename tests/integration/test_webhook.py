"""Events posted to real web servers: refusing, slow, killed, frozen, over TLS, and none lost."""

import contextlib
import json
import logging
import os
import signal
import socket
import threading
import time

import msgspec
import pytest
from support.brokers import event
from support.helpers import flat_frames, run_command, write_video
from support.receiver import Receiver, ReceiverProgram

from edgehar import ConfigError
from edgehar.credentials import Secret
from edgehar.records import Status
from edgehar.sinks.spool.options import SpoolOptions
from edgehar.sinks.spool.queue import Spool
from edgehar.sinks.webhook.options import WebhookOptions
from edgehar.sinks.webhook.sink import WebhookSink


def numbers(bodies):
    return [int(json.loads(body)["id"]) for body in bodies]


def wait_for(condition, seconds=120):
    deadline_s = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline_s, "waited too long"
        time.sleep(0.01)


@pytest.fixture
def receive():
    receivers = []

    def make(*arguments, **options):
        receivers.append(Receiver(*arguments, **options))
        return receivers[-1]

    yield make
    for receiver in receivers:
        receiver.close()


@pytest.fixture
def program(tmp_path):
    running = ReceiverProgram(tmp_path)
    yield running
    running.kill()


@pytest.fixture
def make_sink(tmp_path):
    sinks = []

    def make(receiver, path="/hook", scheme="http", spooled=True, drain_timeout_s=60.0, **options):
        url = options.pop("url", f"{scheme}://127.0.0.1:{getattr(receiver, 'port', 0)}{path}")
        options = {"first_delay_s": 0.05, "max_delay_s": 0.2, "timeout_s": 60.0, **options}
        spool = Spool.open("webhook", SpoolOptions(directory=str(tmp_path / "state"))) if spooled else None
        sinks.append(WebhookSink(WebhookOptions(url=Secret(url), **options), spool, drain_timeout_s=drain_timeout_s))
        return sinks[-1]

    yield make
    for sink in sinks:
        sink.close()


def test_the_body_is_made_of_a_template(receive, make_sink):
    receiver = receive()
    sink = make_sink(receiver, body='{{"text": "{label} at {camera}", "score": {score}}}')
    sink.write(msgspec.structs.replace(event(1), label='<b>"a/b"\n' + "x" * 200))
    sink.close()
    (body,) = receiver.taken
    assert json.loads(body) == {"text": '<b>"a/b"\n' + "x" * 200 + " at camera:0", "score": 0.9}
    assert receiver.got[0][1]["Content-Type"] == "application/json"
    assert receiver.got[0][1]["Idempotency-Key"] == "000001:0"


def test_a_body_may_be_plain_text(receive, make_sink):
    receiver = receive()
    sink = make_sink(receiver, body="{label}, {phase}", content_type="text/plain; charset=utf-8")
    sink.write(event(1))
    sink.close()
    assert receiver.taken == [b"bright, start"]
    assert receiver.got[0][1]["Content-Type"] == "text/plain; charset=utf-8"


def test_events_that_waited_get_the_template_of_now(receive, make_sink):
    receiver = receive()
    receiver.answers = [503] * 1000
    sink = make_sink(receiver)
    sink.write(event(1))
    wait_for(lambda: receiver.got)
    sink.close()
    receiver.answers = []
    make_sink(receiver, body='"{label}"').close()
    assert receiver.taken == [b'"bright"']


def test_only_events_that_pass_the_filters_are_posted(receive, make_sink):
    receiver = receive()
    sink = make_sink(receiver, phases=["start", "uploaded"], labels=["bright"], cameras=["camera:0"], min_score=0.5)
    for number, change in enumerate(
        [{}, {"phase": "end"}, {"label": "dark"}, {"source": "porch"}, {"peak_score": 0.4}, {"phase": "uploaded"}]
    ):
        sink.write(msgspec.structs.replace(event(number), **change))
    sink.close()
    assert numbers(receiver.taken) == [0, 5]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"body": "{nothing}"}, "webhook: body: {nothing} is not known"),
        ({"body": "{label}"}, "webhook: body: not JSON"),
        ({"content_type": "text/plain"}, "content_type is set without body"),
    ],
)
def test_templates_that_cannot_be_used_are_refused(make_sink, options, message):
    with pytest.raises(ConfigError, match=message):
        make_sink(None, url="http://127.0.0.1:9/", **options)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirection_to_another_host_is_not_followed(receive, make_sink, status):
    receiver, other = receive(), receive()
    receiver.answers = [(status, {"Location": f"http://127.0.0.1:{other.port}/hook"})]
    sink = make_sink(receiver, token=Secret("t0ken"))
    sink.write(event(1))
    # It is sent to the first address again.
    wait_for(lambda: receiver.taken)
    sink.close()
    assert other.got == []
    assert len(receiver.got) == 2


def test_events_are_posted_in_order_over_one_connection(receive, make_sink):
    receiver = receive()
    sink = make_sink(receiver, path="/hook/ä?x=1&y=%20", token=Secret("t0ken"))
    sink.write(Status("2026-11-21T05:40:00.123Z", "camera:0", "running", 0, 0, 0, 0.0))
    for number in range(50):
        sink.write(event(number))
    sink.close()
    assert numbers(receiver.taken) == list(range(50))
    assert receiver.connections == 1
    path, headers, body = receiver.got[0]
    assert path == "/hook/%C3%A4?x=1&y=%20"
    assert headers["Content-Type"] == "application/json"
    assert headers["Idempotency-Key"] == "000000:0"
    assert headers["Authorization"] == "Bearer t0ken"
    assert headers["User-Agent"].startswith("edgehar/")
    assert json.loads(body)["type"] == "event"


def test_a_server_that_closes_each_connection(receive, make_sink):
    receiver = receive(keep_alive=False)
    sink = make_sink(receiver)
    for number in range(10):
        sink.write(event(number))
    sink.close()
    assert numbers(receiver.taken) == list(range(10))
    assert receiver.connections == 10


def test_the_log_in_may_stand_in_the_address(receive, make_sink):
    receiver = receive()
    make_sink(receiver, url=f"http://user:p%40ss@127.0.0.1:{receiver.port}/").write(event(0))
    wait_for(lambda: receiver.taken)
    assert receiver.got[0][1]["Authorization"] == "Basic dXNlcjpwQHNz"


@pytest.mark.parametrize("status", [302, 401, 403, 404, 408, 425, 429, 500, 502, 503])
def test_an_answer_about_the_moment_or_the_address_keeps_the_event(receive, make_sink, caplog, status):
    caplog.set_level(logging.INFO)
    receiver = receive()
    receiver.answers = [status] * 3
    sink = make_sink(receiver)
    for number in range(3):
        sink.write(event(number))
    wait_for(lambda: len(receiver.taken) == 3)
    assert numbers(body for _, _, body in receiver.got) == [0, 0, 0, 0, 1, 2]
    assert caplog.text.count(f"answers {status}") == 1
    wait_for(lambda: "takes events again" in caplog.text)


@pytest.mark.parametrize("status", [400, 409, 413, 422])
def test_an_answer_about_the_event_sets_it_aside_and_is_counted(receive, make_sink, caplog, tmp_path, status):
    receiver = receive()
    receiver.answers = [204, status, status]
    sink = make_sink(receiver)
    for number in range(4):
        sink.write(event(number))
    sink.close()
    assert numbers(receiver.taken) == [0, 3]
    assert len(receiver.got) == 4
    assert caplog.text.count("; the event is set aside, 1 so far") == 1
    assert "2 events were refused and set aside" in caplog.text
    lines = [json.loads(line) for line in (tmp_path / "state/webhook.refused").read_text().splitlines()]
    assert [int(line["event"]["id"]) for line in lines] == [1, 2]
    assert all(line["reason"].startswith(f"answers {status}") for line in lines)


def test_retry_after_is_waited_for(receive, make_sink):
    receiver = receive()
    receiver.answers = [(429, {"Retry-After": "1"})]
    started_s = time.monotonic()
    make_sink(receiver).write(event(0))
    wait_for(lambda: receiver.taken)
    assert time.monotonic() - started_s >= 1


def test_one_event_that_fails_again_and_again_does_not_block_the_others(make_sink, tmp_path):
    class Choosy(Receiver):
        """Its server fails on one event, as a mistake in it would make it do."""

        def status_for(self, body):
            return 500 if json.loads(body)["id"] == event(2).id else 204

    receiver = Choosy()
    sink = make_sink(receiver, first_delay_s=0.01, max_delay_s=0.02)
    for number in range(6):
        sink.write(event(number))
    wait_for(lambda: len(receiver.taken) == 5)
    sink.close()
    receiver.close()
    assert numbers(receiver.taken) == [0, 1, 3, 4, 5]
    (line,) = (tmp_path / "state/webhook.refused").read_text().splitlines()
    assert json.loads(line)["event"]["id"] == event(2).id


def test_no_event_is_set_aside_in_an_outage(receive, make_sink, tmp_path):
    receiver = receive()
    receiver.answers = [503] * 40
    sink = make_sink(receiver, first_delay_s=0.01, max_delay_s=0.02)
    for number in range(4):
        sink.write(event(number))
    wait_for(lambda: len(receiver.taken) == 4)
    sink.close()
    assert sorted(numbers(receiver.taken)) == [0, 1, 2, 3]
    assert not (tmp_path / "state/webhook.refused").exists()


@pytest.mark.parametrize("start", [b"HTTP/1.1 2", b"HTTP/1.1 204 No Content\r\nX: ", b"HTTP/1.1 200 OK\r\n\r\n"])
def test_a_server_that_drips_is_left_at_the_deadline(make_sink, caplog, start):
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip():
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection, contextlib.suppress(OSError):
                        connection.recv(65_536)
                        connection.sendall(start)
                        while not stop.wait(0.05):
                            connection.sendall(b"0")

        threading.Thread(target=drip, daemon=True).start()
        sink = make_sink(None, url=f"http://127.0.0.1:{server.getsockname()[1]}/", timeout_s=0.4)
        sink.write(event(0))
        if b"20" in start:
            # The status has come, so the event is delivered, and the rest of the answer is not waited for.
            wait_for(lambda: sink._spool.depth == 0)
        else:
            wait_for(lambda: "no complete answer within 0.4 s" in caplog.text)
            assert not sink.connected
        sink.close()
        stop.set()


def test_a_long_wait_does_not_hold_up_the_end(receive, make_sink, caplog):
    caplog.set_level(logging.INFO)
    receiver = receive()
    receiver.answers = [(503, {"Retry-After": "100000"})]
    sink = make_sink(receiver)
    sink.write(event(0))
    wait_for(lambda: not sink.connected)
    sink.close()
    assert "1 events wait on disk for the next run" in caplog.text
    again = make_sink(receiver)
    wait_for(lambda: numbers(receiver.taken) == [0])
    again.close()


def test_a_server_killed_and_started_again_gets_every_event_in_order(program, make_sink, caplog):
    program.start()
    sink = make_sink(program)
    for number in range(300):
        if number == 100:
            wait_for(lambda: program.taken)
            program.kill()
        if number == 200:
            wait_for(lambda: not sink.connected)
            program.start()
        sink.write(event(number))
    wait_for(lambda: numbers(program.taken)[-1:] == [299])
    taken = numbers(program.taken)
    # One taken just before the kill may come again: at most one, and it is the same.
    assert sorted(set(taken)) == list(range(300))
    assert taken == sorted(taken)
    assert len(taken) <= 301
    assert caplog.text.count("classification continues") == 1


def test_a_frozen_server_is_left_after_the_timeout_and_gets_every_event(program, make_sink, caplog):
    program.start()
    sink = make_sink(program, timeout_s=0.3)
    for number in range(20):
        sink.write(event(number))
    wait_for(lambda: sink._spool.depth == 0)
    program.signal(signal.SIGSTOP)
    for number in range(20, 40):
        sink.write(event(number))
    wait_for(lambda: "no complete answer within 0.3 s; classification continues" in caplog.text)
    program.signal(signal.SIGCONT)
    # It takes again what had reached it while it was frozen.
    wait_for(lambda: sorted(set(numbers(program.taken))) == list(range(40)))


def test_the_end_does_not_wait_for_a_frozen_server(program, make_sink, tmp_path):
    program.start()
    program.signal(signal.SIGSTOP)
    sink = make_sink(program, timeout_s=3600, drain_timeout_s=0.1)
    sink.write(event(0))
    sink.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "edgehar-webhook"]
    spool = Spool.open("webhook", SpoolOptions(directory=str(tmp_path / "state")))
    assert spool.depth == 1
    spool.close()
    program.signal(signal.SIGCONT)


def test_what_is_left_at_the_end_is_delivered_by_the_next_run(program, make_sink):
    sink = make_sink(program)
    for number in range(10):
        sink.write(event(number))
    sink.close()
    program.start()
    again = make_sink(program)
    again.write(event(10))
    again.close()
    assert numbers(program.taken) == list(range(11))


def test_without_a_spool_the_newest_are_kept_in_memory(receive, make_sink, caplog):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    sink = make_sink(None, url=f"http://127.0.0.1:{port}/", spooled=False)
    for number in range(5):
        sink.write(event(number))
    wait_for(lambda: not sink.connected)
    receiver = receive(port)
    wait_for(lambda: len(receiver.taken) == 5)
    receiver.answers = [500] * 1000
    sink.write(event(5))
    wait_for(lambda: not sink.connected)
    sink.close()
    assert "1 events could not be delivered" in caplog.text


def test_what_is_no_web_server_is_said(make_sink, caplog):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer():
            for _ in range(3):
                connection, _ = server.accept()
                with connection:
                    connection.recv(65_536)
                    connection.sendall(b"220 mail.example ESMTP\r\n")

        threading.Thread(target=answer, daemon=True).start()
        sink = make_sink(None, url=f"http://127.0.0.1:{server.getsockname()[1]}/")
        sink.write(event(0))
        wait_for(lambda: "gives no HTTP answer (BadStatusLine)" in caplog.text)
        sink.close()


def test_tls_is_checked_against_the_given_authority(receive, make_sink, certificates):
    receiver = receive(certificate=certificates.server, key=certificates.server_key)
    url = f"https://localhost:{receiver.port}/hook"
    sink = make_sink(receiver, url=url, ca_file=str(certificates.authority))
    sink.write(event(0))
    sink.write(event(1))
    sink.close()
    assert numbers(receiver.taken) == [0, 1]


def test_an_unknown_authority_is_not_believed(receive, make_sink, certificates, caplog):
    receiver = receive(certificate=certificates.server, key=certificates.server_key)
    make_sink(receiver, url=f"https://localhost:{receiver.port}/hook").write(event(0))
    wait_for(lambda: "its certificate is not trusted: unable to get local issuer certificate" in caplog.text)
    assert not receiver.got


def test_a_certificate_of_another_name_is_not_believed(receive, make_sink, certificates, caplog):
    receiver = receive(certificate=certificates.client, key=certificates.client_key)
    sink = make_sink(receiver, url=f"https://localhost:{receiver.port}/", ca_file=str(certificates.authority))
    sink.write(event(0))
    wait_for(lambda: "its certificate is not trusted: Hostname mismatch" in caplog.text)
    assert not receiver.got


def test_nothing_secret_is_logged(receive, make_sink, caplog):
    caplog.set_level(logging.DEBUG)
    receiver = receive()
    receiver.answers = [401, 500, 400]
    sink = make_sink(receiver, url=f"http://user:s3cret@127.0.0.1:{receiver.port}/s3cret-path?key=s3cret-key")
    sink.write(event(0))
    sink.write(event(1))
    wait_for(lambda: receiver.taken)
    assert caplog.text.count(f"http://127.0.0.1:{receiver.port}: ") >= 3
    assert "s3cret" not in caplog.text
    assert "s3cret" not in repr(sink._receiver)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"url": None}, "the address must be http:// or https:// with a host"),
        ({"url": "s3cret"}, "the address must be"),
        ({"url": "ftp://s3cret"}, "the address must be"),
        ({"url": "http://:80/s3cret"}, "the address must be"),
        ({"url": "http://host:s3cret"}, "the address must be"),
        ({"url": "http://host:0/s3cret"}, "the address must be"),
        ({"url": "http://user:s3/cret@host/"}, "the address must be"),
        ({"url": "http://user:12/s3cret@host/"}, "the address must be"),
        ({"url": "http://host/#s3cret"}, "the address must be"),
        ({"url": "http://u:s3cret@host/", "token": "s3cret"}, "the log-in is set twice"),
        ({"url": "http://host/", "token": "s3cret\r\nX: y"}, "the token contains characters that are not"),
        ({"url": "http://host/", "ca_file": "/dev/null"}, "ca_file is for TLS"),
        ({"url": "https://host/", "ca_file": "/nowhere"}, "ca_file /nowhere: does not exist or cannot be read"),
        ({"url": "https://host/", "token_file": "/nowhere"}, "token_file /nowhere: cannot be read: No such file"),
        ({"url": "https://host/", "token_file": "/dev/null"}, "the first line is empty; write the token there"),
    ],
)
def test_options_that_cannot_be_used(options, message):
    secret = {name: Secret(value) for name, value in options.items() if name in ("url", "token") and value}
    with pytest.raises(ConfigError, match=message) as caught:
        WebhookSink(WebhookOptions(**{**options, **secret}))
    assert "s3" not in str(caught.value)


def test_the_token_may_stand_in_a_file(receive, make_sink, tmp_path):
    (tmp_path / "token").write_text("t0ken\n")
    receiver = receive()
    make_sink(receiver, token_file=str(tmp_path / "token")).write(event(0))
    wait_for(lambda: receiver.got)
    assert receiver.got[0][1]["Authorization"] == "Bearer t0ken"


def test_edgehar_run_posts_what_an_earlier_run_could_not(program, tiny_bundle, tmp_path):
    write_video(tmp_path / "clip.mp4", flat_frames([255] * 40 + [0] * 40))
    settings = {
        "EDGEHAR_WEBHOOK__URL": f"http://127.0.0.1:{program.port}/s3cret",
        "EDGEHAR_SPOOL__DIRECTORY": str(tmp_path / "state"),
    }
    command = ["edgehar-run", "--model", tiny_bundle, "--source", tmp_path / "clip.mp4"]
    outputs = []
    for count in (1, 2):
        done = run_command(*command, env={**os.environ, **settings})
        assert done.returncode == 0, done.stderr
        assert "s3cret" not in done.stderr
        outputs += [line for line in done.stdout.splitlines() if json.loads(line)["type"] == "event"]
        if count == 1:
            assert "cannot be reached: Connection refused; classification continues, and events wait" in done.stderr
            assert f"{len(outputs)} events wait on disk for the next run" in done.stderr
            program.start()
    assert [body.decode() for body in program.taken] == outputs
    assert len(outputs) >= 4
