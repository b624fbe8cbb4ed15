"""Functions of the command line for the pages: the settings, and a check of the device as by `edgehar doctor`."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from edgehar.cli.page_process import Background
from edgehar.web.services import Tools

if TYPE_CHECKING:
    import argparse
    from typing import Any

_DOCTOR_S, _EXPLAIN_S, _COUNT_S = 120.0, 180.0, 300.0
_COUNT = "import os; os.nice(10); from edgehar.teaching.firing import main; main()"


def make_tools(args: argparse.Namespace, overrides: dict[str, Any]) -> Tools:
    """Return the tools for the pages of a run.

    Args:
        args: arguments of the run.
        overrides: its options as settings.
    """
    from edgehar.cli.page_lessons import LessonProcess
    from edgehar.config import find_config
    from edgehar.config.editing import ConfigFile

    path = find_config(args.config, os.environ)
    return Tools(
        examiner=DoctorProcess(args, path),
        settings=ConfigFile(path, os.environ, overrides),
        explainer=ExplainProcess(),
        counter=CountProcess(),
        teacher=LessonProcess(),
    )


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
