"""Events posted to web servers that fail, hang or are killed: none is lost."""

import contextlib
import json
import logging
import os
import signal
import socket
import threading
import time

import pytest
from support.brokers import event
from support.helpers import flat_frames, run_command, wait_until, write_video
from support.receiver import Receiver, numbers

from edgehar.sinks.spool.options import SpoolOptions
from edgehar.sinks.spool.queue import Spool


def test_retry_after_is_waited_for(receive, make_sink):
    receiver = receive()
    receiver.answers = [(429, {"Retry-After": "1"})]
    started_s = time.monotonic()
    make_sink(receiver).write(event(0))
    wait_until(lambda: receiver.taken)
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
    wait_until(lambda: len(receiver.taken) == 5)
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
    wait_until(lambda: len(receiver.taken) == 4)
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
            wait_until(lambda: sink._spool.depth == 0)
        else:
            wait_until(lambda: "no complete answer within 0.4 s" in caplog.text)
            assert not sink.connected
        sink.close()
        stop.set()


def test_a_long_wait_does_not_hold_up_the_end(receive, make_sink, caplog):
    caplog.set_level(logging.INFO)
    receiver = receive()
    receiver.answers = [(503, {"Retry-After": "100000"})]
    sink = make_sink(receiver)
    sink.write(event(0))
    wait_until(lambda: not sink.connected)
    sink.close()
    assert "1 events wait on disk for the next run" in caplog.text
    again = make_sink(receiver)
    wait_until(lambda: numbers(receiver.taken) == [0])
    again.close()


def test_a_server_killed_and_started_again_gets_every_event_in_order(program, make_sink, caplog):
    program.start()
    sink = make_sink(program)
    for number in range(300):
        if number == 100:
            wait_until(lambda: program.taken)
            program.kill()
        if number == 200:
            wait_until(lambda: not sink.connected)
            program.start()
        sink.write(event(number))
    wait_until(lambda: numbers(program.taken)[-1:] == [299])
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
    wait_until(lambda: sink._spool.depth == 0)
    program.signal(signal.SIGSTOP)
    for number in range(20, 40):
        sink.write(event(number))
    wait_until(lambda: "no complete answer within 0.3 s; classification continues" in caplog.text)
    program.signal(signal.SIGCONT)
    # It takes again what had reached it while it was frozen.
    wait_until(lambda: sorted(set(numbers(program.taken))) == list(range(40)))


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
    wait_until(lambda: not sink.connected)
    receiver = receive(port)
    wait_until(lambda: len(receiver.taken) == 5)
    receiver.answers = [500] * 1000
    sink.write(event(5))
    wait_until(lambda: not sink.connected)
    sink.close()
    assert "1 events could not be delivered" in caplog.text


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
