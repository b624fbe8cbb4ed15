"""Commands that the pages run in a process of their own, at low priority."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

# At low priority, because cameras are being watched meanwhile.
COMMAND = "import os, sys; os.nice(10); from edgehar.cli.main import main; sys.exit(main(sys.argv[1:]))"


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
