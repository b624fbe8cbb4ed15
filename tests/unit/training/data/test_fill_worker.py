"""The processes that fill a cache."""

import json
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
    import atexit
    import signal
    import sys

    class Ended:
        def __del__(self):
            signal.raise_signal(signal.SIGTERM)
            [None for _ in range(10)]

    class Cache:
        def make_missing(self, clip):
            if clip.path == "whole.mp4":
                return 1
            Ended()
            while True:
                pass

    def make():
        atexit.register(print, "Python shuts down", file=sys.stderr)
        return Cache()
"""


def serve(tmp_path, clip):
    """The end of a worker process that was given one clip."""
    (tmp_path / "maker.py").write_text(textwrap.dedent(MAKER))
    job = encode_json(CacheJob("maker:make", {})).decode()
    return subprocess.run(
        [sys.executable, "-P", "-m", "edgehar_training.data.fill_worker", job],
        input=json.dumps({"path": clip, "label": "a", "group": "a"}) + "\n",
        env=environment(PYTHONPATH=os.fspath(tmp_path)),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_signal_within_a_finalizer_ends_the_process_in_silence(tmp_path):
    """Python ignores an exit there, and prints it with its traceback."""
    done = serve(tmp_path, "endless.mp4")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_no_shutdown_of_python_in_which_a_signal_would_print_an_error(tmp_path):
    done = serve(tmp_path, "whole.mp4")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == {"frames": 1, "warnings": []}
