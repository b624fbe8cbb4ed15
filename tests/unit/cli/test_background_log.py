"""Log lines are written by a thread, so that a stalled disk behind standard error delays nothing."""

import io
import logging
import threading

from edgehar.cli.background_log import BackgroundHandler


class Stalled(io.StringIO):
    """A stream whose disk is stalled until it is freed."""

    def __init__(self):
        super().__init__()
        self.freed = threading.Event()

    def write(self, text):
        self.freed.wait()
        return super().write(text)


def log_into(stream):
    logger, handler = logging.getLogger("test-background"), BackgroundHandler(stream)
    logger.propagate = False
    logger.handlers = [handler]
    return logger, handler


def test_lines_are_written_in_order():
    stream = io.StringIO()
    logger, handler = log_into(stream)
    for number in range(100):
        logger.warning("line %d", number)
    handler.write("last")
    handler.finish(60)
    assert stream.getvalue().splitlines() == [*(f"line {number}" for number in range(100)), "last"]


def test_a_stalled_stream_delays_nobody_and_its_lines_are_bounded():
    stream = Stalled()
    logger, handler = log_into(stream)
    # More than the queue holds: if one call waited, this test would never end.
    for number in range(5000):
        logger.warning("line %d", number)
    handler.finish(0.01)
    stream.freed.set()
    handler.finish(60)
    assert 1000 < len(stream.getvalue().splitlines()) < 4000
