"""Workstation commands in processes that need not import Keras and TensorFlow, which takes seconds, again and again.

One process for each test process imports them and forks for every command. Everything else is as in a process of its
own: arguments, folder, environment, output, exit code. `run_command` has the arguments of that in `support.helpers`.
"""

import importlib.metadata
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

_COMMANDS = Path(sys.executable).parent

_servers = []


def run_command(name, *arguments, timeout_s=600, env=None, cwd=None):
    """Run an installed command to its end; returns the CompletedProcess with text output."""
    if not _servers:
        _servers.append(_Server())
    return _servers[0].run([str(_COMMANDS / name), *map(str, arguments)], timeout_s, env, cwd)


class _Server:
    def __init__(self):
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )

    def run(self, command, timeout_s, env, cwd):
        with tempfile.TemporaryDirectory() as folder:
            paths = [Path(folder) / "stdout", Path(folder) / "stderr"]
            request = {
                "command": command,
                "outputs": [str(path) for path in paths],
                "env": dict(os.environ if env is None else env),
                "cwd": str(cwd or Path.cwd()),
            }
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
            if not select.select([self._process.stdout], [], [], timeout_s)[0]:
                os.killpg(self._process.pid, signal.SIGKILL)
                _servers.clear()
                raise subprocess.TimeoutExpired(command, timeout_s)
            code = int(self._process.stdout.readline())
            return subprocess.CompletedProcess(command, code, *(path.read_text() for path in paths))


def _serve():
    """Answer requests until their end, and return in each forked process with the entry point to run."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1):
        os.dup2(null, number)
    _import()
    for line in requests:
        pid = os.fork()
        if pid == 0:
            requests.close()
            os.close(answers)
            return _begin(json.loads(line))
        _, status = os.waitpid(pid, 0)
        os.write(answers, b"%d\n" % os.waitstatus_to_exitcode(status))
    return None


def _import():
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import keras  # noqa: F401
    import matplotlib.pyplot  # noqa: F401
    import tensorflow as tf  # noqa: F401


def _begin(request):
    for number, path in enumerate(request["outputs"], 1):
        output = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, number)
        os.close(output)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    sys.argv = request["command"]
    (entry,) = importlib.metadata.entry_points(group="console_scripts", name=Path(sys.argv[0]).name)
    return entry


if __name__ == "__main__":
    entry_point = _serve()
    if entry_point is not None:
        sys.exit(entry_point.load()())
