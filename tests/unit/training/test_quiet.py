"""TensorFlow's remarks are kept from standard error, what matters is not."""

import os
import subprocess
import sys

import pytest

REMARKS = (
    "WARNING: All log messages before absl::InitializeLog() is called are written to STDERR",
    "I0000 00:00:1795287193.651248   23332 port.cc:153] oneDNN custom operations are on.",
)
TENSORFLOW = """
import os
for line in {lines!r}:
    os.write(2, (line + chr(10)).encode())
{end}
"""
MAIN = """
import sys
from edgehar_training.quiet import quiet_tensorflow
quiet_tensorflow()
quiet_tensorflow()
import tensorflow
print("after", file=sys.stderr)
"""


@pytest.fixture
def load(tmp_path):
    """What loading a TensorFlow that says `lines` leaves on standard error, as lines."""

    def run(*lines, end="", level=None):
        (tmp_path / "tensorflow").mkdir(exist_ok=True)
        (tmp_path / "tensorflow/__init__.py").write_text(TENSORFLOW.format(lines=lines, end=end))
        environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
        environment |= {"PYTHONPATH": str(tmp_path)} | ({} if level is None else {"TF_CPP_MIN_LOG_LEVEL": level})
        done = subprocess.run([sys.executable, "-c", MAIN], capture_output=True, text=True, env=environment)
        return done.stderr.splitlines()

    return run


def test_remarks_are_left_out_and_errors_are_not(load):
    error = "E0000 00:00:1795287193.651248   23332 cuda.cc:7] no driver"
    assert load(*REMARKS, error, *REMARKS) == [error, "after"]


def test_who_asks_for_all_messages_gets_them(load):
    assert load(*REMARKS, level="0") == [*REMARKS, "after"]
    assert load(*REMARKS, level="3") == ["after"]


def test_an_import_that_fails_tells_why(load):
    said = load(*REMARKS, "libcudart.so: broken", end="raise ImportError('no such instruction')")
    assert "libcudart.so: broken" in said
    assert said[-1] == "ImportError: no such instruction"
    assert not set(REMARKS) & set(said)
