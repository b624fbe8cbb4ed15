"""The finding of a check."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warn", "fail"]


# Without msgspec, because the checks include whether libraries are installed.
@dataclass(frozen=True)
class Finding:
    """The finding of a check.

    Attributes:
        check: what was checked.
        level: "ok"; "warn" if it works but could be better, or is not needed now; "fail" if it does not work.
        says: the result, in one line.
        fix: what to do about it; empty if all is well.
    """

    check: str
    level: Level
    says: str
    fix: str = ""


def from_error(check: str, error: BaseException, level: Level = "fail") -> Finding:
    """Return the finding for an error. Its message says what is wrong and, after a semicolon, what to do."""
    what, _, advice = " ".join(str(error).split()).rpartition("; ")
    if not what:
        return Finding(check, level, advice, "run again with --verbose")
    return Finding(check, level, what, advice.removeprefix("run: "))
