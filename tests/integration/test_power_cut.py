"""Power cuts while events are recorded: what was acknowledged is there, and the chain holds."""

import re
import shutil
import subprocess
import sys

import pytest
from support.paths import ROOT

SCRIPT = ROOT / "scripts" / "faults" / "power_cut.py"

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler for the log of writes")


@pytest.mark.parametrize("sealed", [[], ["--sealed"]])
def test_unflushed_writes_that_are_lost_cost_no_recording_that_was_acknowledged(sealed):
    if sealed:
        pytest.importorskip("pyrage", reason="needs the extra `seal`")
    command = [sys.executable, SCRIPT, "--cuts", "12", "--seconds", "3", *sealed]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    # The script fails if one that was acknowledged is not whole.
    counts = {name: int(count) for name, count in re.findall(r"'([^']+)': (\d+)", done.stdout)}
    assert counts["acknowledged that play"] > 0
    cut_short = counts.get("acknowledged, cut short by the kill", 0)
    assert counts["acknowledged that play"] + cut_short == counts["acknowledged"]
    assert sealed or not cut_short
