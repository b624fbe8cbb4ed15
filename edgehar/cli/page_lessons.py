"""Lessons that the pages start: `edgehar teach` in a process of its own, at low priority."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import msgspec

from edgehar.cli.page_process import COMMAND
from edgehar.errors import ConfigError
from edgehar.web.teach_answers import LabelScore, Lesson, LessonResult

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

# What an error says at most.
_MOST_ERROR = 600


class LessonProcess:
    """Runs `edgehar teach`, one lesson at a time. Thread-safe."""

    def __init__(self) -> None:
        """Run nothing yet."""
        self._lock = threading.Lock()
        self._lesson: Lesson | None = None
        self._process: subprocess.Popen[str] | None = None

    def teach(self, model: str, folders: Sequence[Path], out: Path) -> Lesson:
        """Start a lesson.

        Args:
            model: what to start from.
            folders: inboxes and recordings with labels.
            out: the new bundle.

        Raises:
            ConfigError: a lesson is running.
            OSError: the process cannot be started.
        """
        command = [sys.executable, "-P", "-c", COMMAND, "teach", model, "--json", f"--out={out}"]
        command += [f"--inbox={folder}" for folder in folders]
        with self._lock:
            if self._lesson is not None and self._lesson.state == "running":
                raise ConfigError("a lesson is running already; wait for it, or stop it")
            self._process = subprocess.Popen(  # noqa: S603
                command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace"
            )
            self._lesson = Lesson(model, "running")
            threading.Thread(target=self._follow, args=[self._process, out], name="edgehar-lesson", daemon=True).start()
            return self._lesson

    def lesson(self) -> Lesson | None:
        """Return the lesson that runs, or the last one; None before the first."""
        return self._lesson

    def stop(self) -> None:
        """Stop the lesson that runs."""
        with self._lock:
            if self._lesson is not None and self._lesson.state == "running":
                self._lesson = msgspec.structs.replace(self._lesson, state="stopped")
            if self._process is not None and self._process.poll() is None:
                self._process.kill()

    def _follow(self, process: subprocess.Popen[str], out: Path) -> None:
        """Read what the process prints until it ends."""
        assert process.stdout is not None
        assert process.stderr is not None
        errors: list[str] = []
        reader = threading.Thread(target=lambda: errors.extend(process.stderr or ()), daemon=True)
        reader.start()
        for line in process.stdout:
            with contextlib.suppress(ValueError, KeyError, TypeError):
                self._take(process, json.loads(line), out)
        reader.join()
        code = process.wait()
        with self._lock:
            lesson = self._lesson
            if process is self._process and lesson is not None and lesson.state == "running":
                said = "".join(errors[-1:]).strip().removeprefix("edgehar: ")
                error = said[:_MOST_ERROR] or f"edgehar teach ended with code {code}"
                self._lesson = msgspec.structs.replace(lesson, state="failed", error=error)

    def _take(self, process: subprocess.Popen[str], said: dict[str, Any], out: Path) -> None:
        with self._lock:
            lesson = self._lesson
            if process is not self._process or lesson is None or lesson.state != "running":
                return
            if said["type"] == "progress":
                self._lesson = msgspec.structs.replace(lesson, done=said["done"], total=said["total"])
            elif said["type"] == "result":
                result = _result(said)
                self._lesson = msgspec.structs.replace(
                    lesson,
                    state="done" if result.problem is None else "refused",
                    result=result,
                    taught=out.stem if result.problem is None else "",
                )


def _result(said: dict[str, Any]) -> LessonResult:
    labels = {
        label: LabelScore(found["clips"], found["before"], found["after"]) for label, found in said["labels"].items()
    }
    ordinary = said["ordinary"]
    return LessonResult(
        labels=labels,
        before=said["before"],
        after=said["after"],
        protocol=said["protocol"],
        ordinary=LabelScore(ordinary["moments"], ordinary["before"], ordinary["after"]),
        left_out=len(said["left_out"]),
        problem=said["problem"],
    )
