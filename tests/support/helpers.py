"""Small things that many tests need: videos made on the spot, and the real commands run as a user runs them."""

import contextlib
import fcntl
import json
import os
import struct
import subprocess
import sys
import termios
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

COMMANDS = Path(sys.executable).parent


def flat_frames(levels, height=48, width=64):
    """One uint8 `(height, width, 3)` BGR frame of a single grey for each level, 0-255."""
    return [np.full((height, width, 3), level, np.uint8) for level in levels]


def write_video(path, frames, *, codec="mpeg4", pixel_format="yuv420p", rate_hz=25, times_s=None, options=None):
    """Encode uint8 BGR frames into a file of the format its suffix says.

    Args:
        frames: the frames, all of one size; when there are none, the header is written for 64x48.
        times_s: presentation time of each frame in seconds; evenly spaced by `rate_hz` when not given.
        options: options of the container, for example `{"movflags": "faststart"}`.
    """
    frames = list(frames)
    height, width = frames[0].shape[:2] if frames else (48, 64)
    with scheduling_kept(), av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=rate_hz)
        stream.width, stream.height, stream.pix_fmt = width, height, pixel_format
        if times_s is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        container.start_encoding()
        for number, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="bgr24")
            if times_s is not None:
                frame.pts, frame.time_base = round(times_s[number] * 1000), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return Path(path)


@contextlib.contextmanager
def scheduling_kept():
    """Undo a change of the thread's scheduling: SVT-AV1, run by root, makes the thread that opens it a real-time one.

    What such a thread starts later is real-time too, and would leave no processor to other tests.
    """
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, parameters)


def environment(**changes):
    """The environment for a command, with `changes`; None unsets a variable."""
    merged = {**os.environ, **changes}
    return {name: value for name, value in merged.items() if value is not None}


def run_command(name, *arguments, timeout_s=600, env=None, **options):
    """Run an installed command to its end; returns the CompletedProcess with text output."""
    return subprocess.run(
        [COMMANDS / name, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        env=env,
        check=False,
        **options,
    )


def start_command(name, *arguments, **options):
    """Start an installed command; returns the Popen with text pipes. Use it as a context manager."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([COMMANDS / name, *map(str, arguments)], text=True, **{**pipes, **options})


def wait_until(condition, timeout_s=120, said=lambda: None):
    """Wait until `condition()` holds; a failure shows what `said()` gives."""
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, said()
        time.sleep(0.01)


def fill_pipe(pipe):
    """Wait until a process has filled the pipe of its output, made small, so that its next write has to wait."""
    fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, 4096)
    wait_until(lambda: struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)))[0] > 3000)


def records(output):
    """JSON Lines as a list of dicts; anything else in `output` is an error."""
    return [json.loads(line) for line in output.splitlines()]


def predictions(output):
    """The predictions among JSON Lines."""
    return [record for record in records(output) if record["type"] == "prediction"]


def assert_one_line_error(done, code, *fragments):
    """The command failed with `code`, said why in one line that holds all `fragments`, and showed no traceback."""
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    for fragment in fragments:
        assert fragment in last, last
