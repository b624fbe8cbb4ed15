"""Lines on standard output: whole, at once, and an error that says what to do."""

import os
import threading
from pathlib import Path

import pytest
from support.brokers import event, prediction

from edgehar import SinkError
from edgehar.records import Status
from edgehar.sinks.jsonl import JsonLinesSink, LineWriter, stdout_descriptor


@pytest.fixture
def pipe():
    reader, writer = os.pipe()
    yield reader, writer
    for descriptor in (reader, writer):
        try:
            os.close(descriptor)
        except OSError:
            continue


def test_predictions_and_events_are_lines_and_statuses_are_left_out(pipe):
    reader, writer = pipe
    sink = JsonLinesSink(LineWriter(writer, "standard output"))
    sink.write(prediction(3))
    sink.write(Status("2026-11-21T05:40:00.123Z", "camera:0", "running", 0, 0, 0, 0.0))
    sink.write(event(4))
    lines = os.read(reader, 1 << 16).splitlines()
    assert [line.partition(b",")[0] for line in lines] == [b'{"type":"prediction"', b'{"type":"event"']


def test_a_line_longer_than_a_pipe_that_does_not_block_is_written_whole(pipe):
    reader, writer = pipe
    os.set_blocking(writer, False)
    line, got = bytes(range(256)) * 1024, []
    thread = threading.Thread(target=LineWriter(writer, "standard output").write, args=[line])
    thread.start()
    while sum(map(len, got)) < len(line):
        got.append(os.read(reader, 1 << 16))
    thread.join()
    assert b"".join(got) == line


def test_a_reader_that_has_gone_is_no_error_of_the_sink(pipe):
    reader, writer = pipe
    os.close(reader)
    with pytest.raises(BrokenPipeError):
        LineWriter(writer, "standard output").write(b"line\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full (Linux)")
def test_a_full_disk_is_said_with_the_name_of_the_output():
    with Path("/dev/full").open("wb") as full, pytest.raises(SinkError, match=r"^results: cannot be written: No space"):
        LineWriter(full.fileno(), "results").write(b"line\n")


def test_a_closed_standard_output_is_said(monkeypatch):
    monkeypatch.setattr("sys.stdout", None)
    with pytest.raises(SinkError, match="standard output is closed; redirect it"):
        stdout_descriptor()
