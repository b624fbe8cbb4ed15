"""What one check found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warn", "fail"]


# No msgspec here: what is checked includes whether the libraries are there.
@dataclass(frozen=True)
class Finding:
    """What one check found.

    Attributes:
        check: what was looked at.
        level: "ok"; "warn" when it works but not as well as it could, or is not needed now; "fail" when it does not.
        says: how it is, in one line.
        fix: what to do about it; nothing when all is well.
    """

    check: str
    level: Level
    says: str
    fix: str = ""


def from_error(check: str, error: BaseException, level: Level = "fail") -> Finding:
    """The finding that one of our errors makes: its messages say what is wrong, and after a semicolon what to do."""
    what, _, advice = " ".join(str(error).split()).rpartition("; ")
    if not what:
        return Finding(check, level, advice, "run again with --verbose")
    return Finding(check, level, what, advice.removeprefix("run: "))
