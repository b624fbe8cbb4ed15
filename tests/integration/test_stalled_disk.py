"""A disk that stops answering: predictions go on, a status still comes, and SIGTERM still ends the run."""

import json
import shutil
import signal
import subprocess
import threading
from pathlib import Path

import pytest
from support.helpers import environment, start_command, wait_until

from edgehar.recording.options import RecordOptions
from edgehar.recording.recorder import Recorder
from edgehar.recording.store import Archive
from edgehar.recording.verify import problems

LIVE = "synthetic:all?realtime=1&duration_s=600"
SHIM = Path(__file__).parents[1] / "support" / "stalled.c"

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler for the stalled file system")


@pytest.fixture(scope="module")
def shim(tmp_path_factory):
    library = tmp_path_factory.mktemp("shim") / "stalled.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, SHIM, "-ldl"], check=True)
    return library


class Output:
    """Reads the JSON Lines of a run, and the clock of each prediction."""

    def __init__(self, pipe):
        self.predictions = []
        self._thread = threading.Thread(target=self._read, args=[pipe], daemon=True)
        self._thread.start()

    def _read(self, pipe):
        for line in pipe:
            record = json.loads(line)
            if record["type"] == "prediction":
                self.predictions.append(record)


def test_predictions_go_on_while_the_disk_is_stalled_and_sigterm_ends_the_run(tmp_path, tiny_bundle, shim):
    disk, flag, log = tmp_path / "disk", tmp_path / "stalled", tmp_path / "log"
    disk.mkdir()
    config = tmp_path / "edgehar.toml"
    # Every kind of output on the stalled disk; events start and end all the time; a status comes every second.
    config.write_text(f"""
        model = "{tiny_bundle}"
        hop = 1
        [[camera]]
        source = "{LIVE}"
        [decision]
        update_every_s = 0.2
        [file]
        path = "{disk}/results.jsonl"
        [mqtt]
        url = "mqtt://127.0.0.1:9/edgehar/hall"
        [webhook]
        url = "http://127.0.0.1:9/"
        [spool]
        directory = "{disk}/spool"
        [record]
        directory = "{disk}/clips"
        min_free_mb = 0
        pre_roll_s = 0.5
        post_roll_s = 0.5
        [health]
        status_every_s = 1
    """)
    env = environment(LD_PRELOAD=str(shim), STALL_FOLDER=str(disk), STALL_FLAG=str(flag))
    with log.open("w") as stderr, start_command("edgehar-run", "--config", config, env=env, stderr=stderr) as process:
        output = Output(process.stdout)
        wait_until(lambda: len(output.predictions) >= 10, 60)
        wait_until((disk / "results.jsonl").exists, 60)
        # A clip is growing when the disk stops.
        wait_until(lambda: any(path.stat().st_size for path in disk.glob("clips/*/*/.*.mp4.part")), 60, log.read_text)
        flag.touch()
        stalled_at = len(output.predictions)
        # Four seconds of video: more than any queue holds, and statuses fall into it. The disk stalls until the end, so
        # none would come from a run that waits for it.
        wait_until(lambda: len(output.predictions) >= stalled_at + 40, 60, log.read_text)
        process.send_signal(signal.SIGTERM)
        assert process.wait(300) == 0, log.read_text()
        # It ended although the disk is still stalled.
        assert flag.exists()
    assert "could not write all results before the deadline" in log.read_text()
    assert "the next start finishes them" in log.read_text()
    # The next start recovers what was recorded before the stall.
    flag.unlink()
    Recorder(RecordOptions(directory=str(disk / "clips"), min_free_mb=0)).close(60)
    archive = Archive(disk / "clips")
    assert archive.chain.recordings()
    assert list(problems(archive)) == []
