"""The processes that fill a cache."""

import os
import subprocess
import sys
import textwrap

import pytest
from support.helpers import environment

pytest.importorskip("edgehar_training.data.filling", reason="needs the train extra")

from edgehar_training.data.filling import CacheJob
from edgehar_training.file_names import encode_json

MAKER = """
    import signal

    class Ended:
        def __del__(self):
            signal.raise_signal(signal.SIGTERM)
            [None for _ in range(10)]

    class Cache:
        def make_missing(self, clip):
            Ended()
            while True:
                pass

    def make():
        return Cache()
"""


def test_a_signal_within_a_finalizer_ends_the_process_in_silence(tmp_path):
    """Python ignores an exit there, and prints it with its traceback."""
    (tmp_path / "maker.py").write_text(textwrap.dedent(MAKER))
    job = encode_json(CacheJob("maker:make", {})).decode()
    done = subprocess.run(
        [sys.executable, "-P", "-m", "edgehar_training.data.fill_worker", job],
        input='{"path": "a.mp4", "label": "a", "group": "a"}\n',
        env=environment(PYTHONPATH=os.fspath(tmp_path)),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
