"""Events posted to real web servers: order, answers, templates, filters and TLS."""

import json
import logging
import socket
import threading

import msgspec
import pytest
from support.brokers import event
from support.helpers import wait_until
from support.receiver import numbers

from edgehar import ConfigError
from edgehar.credentials import Secret
from edgehar.records import Status


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
    wait_until(lambda: receiver.got)
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
    wait_until(lambda: receiver.taken)
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
    wait_until(lambda: receiver.taken)
    assert receiver.got[0][1]["Authorization"] == "Basic dXNlcjpwQHNz"


@pytest.mark.parametrize("status", [302, 401, 403, 404, 408, 425, 429, 500, 502, 503])
def test_an_answer_about_the_moment_or_the_address_keeps_the_event(receive, make_sink, caplog, status):
    caplog.set_level(logging.INFO)
    receiver = receive()
    receiver.answers = [status] * 3
    sink = make_sink(receiver)
    for number in range(3):
        sink.write(event(number))
    wait_until(lambda: len(receiver.taken) == 3)
    assert numbers(body for _, _, body in receiver.got) == [0, 0, 0, 0, 1, 2]
    assert caplog.text.count(f"answers {status}") == 1
    wait_until(lambda: "takes events again" in caplog.text)


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
        wait_until(lambda: "gives no HTTP answer (BadStatusLine)" in caplog.text)
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
    wait_until(lambda: "its certificate is not trusted: unable to get local issuer certificate" in caplog.text)
    assert not receiver.got


def test_a_certificate_of_another_name_is_not_believed(receive, make_sink, certificates, caplog):
    receiver = receive(certificate=certificates.client, key=certificates.client_key)
    sink = make_sink(receiver, url=f"https://localhost:{receiver.port}/", ca_file=str(certificates.authority))
    sink.write(event(0))
    wait_until(lambda: "its certificate is not trusted: Hostname mismatch" in caplog.text)
    assert not receiver.got


def test_nothing_secret_is_logged(receive, make_sink, caplog):
    caplog.set_level(logging.DEBUG)
    receiver = receive()
    receiver.answers = [401, 500, 400]
    sink = make_sink(receiver, url=f"http://user:s3cret@127.0.0.1:{receiver.port}/s3cret-path?key=s3cret-key")
    sink.write(event(0))
    sink.write(event(1))
    wait_until(lambda: receiver.taken)
    assert caplog.text.count(f"http://127.0.0.1:{receiver.port}: ") >= 3
    assert "s3cret" not in caplog.text
    assert "s3cret" not in repr(sink._receiver)


def test_the_token_may_stand_in_a_file(receive, make_sink, tmp_path):
    (tmp_path / "token").write_text("t0ken\n")
    receiver = receive()
    make_sink(receiver, token_file=str(tmp_path / "token")).write(event(0))
    wait_until(lambda: receiver.got)
    assert receiver.got[0][1]["Authorization"] == "Bearer t0ken"
