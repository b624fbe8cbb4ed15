"""Functions of the command line for the pages: the settings, and a check of the device as by `edgehar doctor`."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from edgehar.web.services import Tools

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from typing import Any

_DOCTOR_S, _EXPLAIN_S, _COUNT_S = 120.0, 180.0, 300.0
# At low priority, because cameras are being watched meanwhile.
COMMAND = "import os, sys; os.nice(10); from edgehar.cli.main import main; sys.exit(main(sys.argv[1:]))"
_COUNT = "import os; os.nice(10); from edgehar.teaching.firing import main; main()"


def make_tools(args: argparse.Namespace, overrides: dict[str, Any]) -> Tools:
    """Return the tools for the pages of a run.

    Args:
        args: arguments of the run.
        overrides: its options as settings.
    """
    from edgehar.config import find_config
    from edgehar.config.editing import ConfigFile

    path = find_config(args.config, os.environ)
    return Tools(
        examiner=DoctorProcess(args, path),
        settings=ConfigFile(path, os.environ, overrides),
        explainer=ExplainProcess(),
        counter=CountProcess(),
    )


class Background:
    """Runs commands of edgehar, one at a time, in a process of their own at low priority."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def run(self, arguments: Sequence[str], timeout_s: float, *, code: str = COMMAND, given: bytes = b"") -> bytes:
        """Return what a command prints; raises subprocess.TimeoutExpired if it takes too long.

        Args:
            arguments: of the command.
            timeout_s: deadline, in seconds.
            code: Python that runs it.
            given: standard input.
        """
        command = [sys.executable, "-P", "-c", code, *arguments]
        self._process = subprocess.Popen(  # noqa: S603
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        try:
            output, _ = self._process.communicate(given, timeout=timeout_s)
        finally:
            self.stop()
        return output

    def stop(self) -> None:
        """End a command that runs."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()


class DoctorProcess(Background):
    """Checks the device with `edgehar doctor`: its checks load libraries, and some may hang."""

    def __init__(self, args: argparse.Namespace, path: Path | None) -> None:
        """Check what a run with these arguments and this configuration file needs."""
        super().__init__()
        self._arguments = ["doctor", "--json"]
        for option, value in (("--config", path), ("--source", args.source), ("--model", args.model)):
            if value is not None:
                self._arguments.append(f"{option}={value}")

    def examine(self) -> bytes:
        """Return the findings as JSON; raises subprocess.TimeoutExpired after two minutes."""
        return self.run(self._arguments, _DOCTOR_S)


class ExplainProcess(Background):
    """Explains clips with `edgehar explain`."""

    def explain(self, clip: Path, model: Path, label: str) -> bytes | None:
        """Return a JPEG; None if it failed. Raises subprocess.TimeoutExpired after three minutes."""
        with tempfile.TemporaryDirectory(prefix="edgehar-why-") as folder:
            out = Path(folder) / "why.jpg"
            self.run(["explain", f"--model={model}", f"--label={label}", f"--out={out}", "--", str(clip)], _EXPLAIN_S)
            return out.read_bytes() if out.exists() else None


class CountProcess(Background):
    """Counts events at other thresholds: in this process, that would hold up frames for seconds."""

    def count(self, question: bytes) -> bytes:
        """Return the counts as JSON; raises subprocess.TimeoutExpired after five minutes."""
        return self.run([], _COUNT_S, code=_COUNT, given=question)
