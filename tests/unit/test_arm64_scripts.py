"""The scripts that judge the arm64 run: what they call equal, and how they count."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from support.paths import ROOT

SCRIPTS = ROOT / "scripts" / "arm64"


def computed(**changes):
    """What a probe of one kernel output, one network and one clip writes."""
    digests = np.array([b"a" * 32, b"b" * 32])
    return {
        "machine": np.array("x86_64"),
        "software": np.array("Python 3.11"),
        "kernel/bgr24/64x48/int8/0/bt601-limited": np.array(b"k" * 32),
        "head/m": np.array([[[10, -10]], [[20, -20]]], np.int8),
        "steps/head/m": np.array(["ADD 00", "SOFTMAX 11"]),
        "frames/c.mp4": digests,
        "shrunk/c.mp4/m": digests,
        "scores/c.mp4/m": np.array([[0.75, 0.25], [0.5, 0.5]]),
        "label/c.mp4/m": np.array(["a", "b"]),
        **{name.replace("__", "/"): value for name, value in changes.items()},
    }


@pytest.mark.parametrize(
    ("changes", "agree", "said"),
    [
        ({}, True, "top-1 equal in 2 of 2, all scores equal in 2, at most 0/256 apart"),
        ({"scores__c.mp4__m": np.array([[0.75, 0.25], [0.5 + 1 / 256, 0.5]])}, True, "at most 1/256 apart"),
        ({"scores__c.mp4__m": np.array([[0.75, 0.25], [0.5 + 2 / 256, 0.5]])}, False, "at most 2/256 apart"),
        ({"label__c.mp4__m": np.array(["a", "a"])}, False, "top-1 equal in 1 of 2"),
        ({"scores__c.mp4__m": np.array([[0.75, 0.25]])}, False, "2 against 1 answers"),
        ({"kernel/bgr24/64x48/int8/0/bt601-limited": np.array(b"x" * 32)}, False, "0 of 1 byte-identical"),
        ({"head__m": np.array([[[10, -10]], [[20, -18]]], np.int8)}, False, "at most 2 of 256 apart"),
        ({"steps__head__m": np.array(["ADD 00", "SOFTMAX 12"])}, True, "first differs: SOFTMAX, operator 2 of 2"),
    ],
)
def test_what_counts_as_the_same(tmp_path, changes, agree, said):
    np.savez(tmp_path / "here.npz", **computed())
    np.savez(tmp_path / "there.npz", **computed(**changes))
    command = [sys.executable, SCRIPTS / "compare.py", tmp_path / "here.npz", f"Pi={tmp_path / 'there.npz'}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == (0 if agree else 1), done.stderr
    assert said in done.stdout
    assert ("**(must not be)**" in done.stdout) is not agree


# add v0.4s, v0.4s, v1.4s; ldr q2, [x1], #16; ret, at 0x1000; and getppid, of one instruction, at 0x2000.
LOG = """----------------
IN:
0x1000:  4ea18400  add v0.4s, v0.4s, v1.4s
0x1004:  3cc10422  ldr q2, [x1], #0x10
0x1008:  d65f03c0  ret

Trace 0: 0x7f [0000000000001001/0000000000001000/00000001/00080200]
----------------
IN:
0x2000:  d65f03c0  ret

"""


@pytest.mark.skipif(shutil.which("llvm-mca-19") is None, reason="needs llvm-mca: apt-get install llvm-19")
def test_work_is_counted_between_the_last_two_marks(tmp_path):
    work = "Trace 0: 0x7f [0000000000001001/0000000000001000/00000001/00080200]\n"
    mark = "Trace 0: 0x7f [0000000000001001/0000000000002000/00000001/00080200]\n"
    (tmp_path / "log").write_text(LOG + 7 * work + mark + 100 * work + mark + work)
    command = [sys.executable, SCRIPTS / "cycles.py", "cortex-a72", tmp_path / "log", "0x2000"]
    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert found["instructions"] == 300
    assert found["modeled"] == 1
    # Each addition waits three cycles for the one before; nothing waits for the address.
    assert 300 <= found["cycles"] < 330
