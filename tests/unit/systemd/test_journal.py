"""Log lines in the journal, and everywhere else."""

import os
import subprocess
import sys

from support.helpers import COMMANDS

_TALK = """
import logging, sys
from edgehar.cli import common
def body(args):
    logging.getLogger("x").warning("hot\\nvery")
    logging.getLogger("x").info("fine")
    raise common.EdgeharError("no camera")
sys.exit(common.run_command(common.make_parser("edgehar-x", "", ""), body, []))
"""


def talk(tmp_path, journal):
    path = tmp_path / "stderr"
    with path.open("w") as stderr:
        status = os.fstat(stderr.fileno())
        stream = f"{status.st_dev}:{status.st_ino if journal else status.st_ino + 1}"
        done = subprocess.run(
            [sys.executable, "-c", _TALK], stderr=stderr, env={**os.environ, "JOURNAL_STREAM": stream}, check=False
        )
    assert done.returncode == 1
    return path.read_text().splitlines()


def test_lines_to_the_journal_carry_their_level(tmp_path):
    assert talk(tmp_path, journal=True) == ["<4>hot", "<4>very", "<6>fine", "<3>no camera"]


def test_a_variable_that_speaks_of_another_stream_changes_nothing(tmp_path):
    expected = ["edgehar-x: hot", "very", "edgehar-x: fine", "edgehar-x: no camera"]
    assert talk(tmp_path, journal=False) == expected


def test_a_closed_stderr_is_no_journal():
    done = subprocess.run(["sh", "-c", f"{COMMANDS}/edgehar inspect fight 2>&-"], capture_output=True, check=False)
    assert done.returncode == 0
