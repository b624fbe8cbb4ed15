"""The progress display: one line on a terminal, a few log lines elsewhere."""

import io
import logging

from support.clock import Clock

from edgehar.progress import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True

    def shown(self):
        """The texts drawn, one after the other."""
        return [text for text in self.getvalue().split("\r\033[K") if text]


def test_a_terminal_shows_a_bar_the_time_left_and_a_note():
    terminal, clock = Terminal(), Clock(0.0)
    with Progress("scoring", 40, unit="clips", stream=terminal, clock=clock) as progress:
        clock.now_s = 10.0
        progress.advance(10, note="loss 0.5")
    assert terminal.shown() == ["scoring: [#####               ] 10 of 40 clips, 0:30 left  loss 0.5"]
    assert terminal.getvalue().endswith("\r\033[K")


def test_the_line_is_drawn_at_most_ten_times_a_second():
    terminal, clock = Terminal(), Clock(0.0)
    progress = Progress("decoding", 1000, unit="clips", stream=terminal, clock=clock)
    for _ in range(1000):
        progress.advance()
        clock.now_s += 0.001
    assert len(terminal.shown()) == 10


def test_what_was_done_before_does_not_count_for_the_time_left():
    terminal, clock = Terminal(), Clock(0.0)
    progress = Progress("training", 100, unit="steps", done=90, stream=terminal, clock=clock)
    clock.now_s = 5.0
    progress.advance(5)
    assert "95 of 100 steps, 0:05 left" in terminal.shown()[0]


def test_a_total_that_is_not_known_is_left_out():
    terminal = Terminal()
    Progress("reading", unit="frames", stream=terminal).advance(3)
    assert terminal.shown() == ["reading: 3 frames"]


def test_a_long_line_is_cut_to_the_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    terminal = Terminal()
    Progress(stream=terminal).part("preprocess", "a case with a very long name")
    assert terminal.shown() == ["preprocess: a case "]


def test_a_log_gets_a_line_for_each_share_and_each_part(caplog):
    caplog.set_level(logging.INFO)
    log, clock = io.StringIO(), Clock(0.0)
    progress = Progress("scoring", 25, unit="clips", lines=5, stream=log, clock=clock)
    for _ in range(25):
        clock.now_s += 1.0
        progress.advance()
    progress.part("writing", "a.html")
    progress.part("writing", "b.html")
    progress.close()
    assert caplog.messages == [*(f"scoring: {n} of 25 clips, {n} s" for n in (5, 10, 15, 20, 25)), "writing"]
    assert log.getvalue() == ""
