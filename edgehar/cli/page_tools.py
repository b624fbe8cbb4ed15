"""Functions of the command line for the pages: the settings, and a check of the device as by `edgehar doctor`."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from edgehar.web.services import Tools

if TYPE_CHECKING:
    import argparse
    from pathlib import Path
    from typing import Any

_DOCTOR_S = 120.0
# At low priority, because cameras are being watched meanwhile.
_COMMAND = "import os, sys; os.nice(10); from edgehar.cli.main import main; sys.exit(main(sys.argv[1:]))"


def make_tools(args: argparse.Namespace, overrides: dict[str, Any]) -> Tools:
    """Return the tools for the pages of a run.

    Args:
        args: arguments of the run.
        overrides: its options as settings.
    """
    from edgehar.config import find_config
    from edgehar.config.editing import ConfigFile

    path = find_config(args.config, os.environ)
    return Tools(examiner=DoctorProcess(args, path), settings=ConfigFile(path, os.environ, overrides))


class DoctorProcess:
    """Runs `edgehar doctor` in a process of its own: its checks load libraries, and some may hang."""

    def __init__(self, args: argparse.Namespace, path: Path | None) -> None:
        """Check what a run with these arguments and this configuration file needs."""
        self._arguments = ["doctor", "--json"]
        for option, value in (("--config", path), ("--source", args.source), ("--model", args.model)):
            if value is not None:
                self._arguments += [option, str(value)]
        self._process: subprocess.Popen[bytes] | None = None

    def run(self) -> bytes:
        """Return the findings as JSON; raises subprocess.TimeoutExpired after two minutes."""
        command = [sys.executable, "-c", _COMMAND, *self._arguments]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)  # noqa: S603
        try:
            output, _ = self._process.communicate(timeout=_DOCTOR_S)
        finally:
            self.stop()
        return output

    def stop(self) -> None:
        """End a check that goes on."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
