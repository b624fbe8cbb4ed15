"""Labels that a person gave: one small JSON file beside each thing that is labeled.

A label of `hall/20261130T022511-fight-01ab.mp4` is in `hall/20261130T022511-fight-01ab.label.json`. The pages and
`edgehar label` write these files beside clips of events and beside items of the inbox; `edgehar teach` reads them.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from edgehar.errors import ConfigError
from edgehar.files import put_in_place
from edgehar.recording.sidecar import LABEL_SUFFIX
from edgehar.records import utc_now

if TYPE_CHECKING:
    from pathlib import Path

# The label that means "nothing to report", whatever the model calls it.
ORDINARY = "ordinary"

Verdict = Literal["right", "wrong", "other"]


class Label(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A person's label.

    Attributes:
        label: the right answer: a class of the model, a new class, or `ORDINARY` for nothing to report.
        answer: what the model said; None if it said nothing.
        time: when it was labeled (UTC, ISO 8601).
        by: who or what asked: "terminal", "page", or a name.
    """

    label: Annotated[str, msgspec.Meta(min_length=1, max_length=80)]
    answer: str | None = None
    time: str = ""
    by: str = ""

    @property
    def verdict(self) -> Verdict:
        """Whether the model was right, wrong (nothing was to report), or should have named another class."""
        if self.label == self.answer:
            return "right"
        return "wrong" if self.label == ORDINARY else "other"


def judged(verdict: Verdict, answer: str, *, label: str | None = None, by: str = "") -> Label:
    """Return the label of an answer that a person has judged, now.

    Args:
        verdict: "right": the answer holds. "wrong": nothing was to report. "other": it was `label`.
        answer: what the model said.
        label: the class that it was, for "other".
        by: who or what asked.

    Raises:
        ConfigError: "other" without a label, or with one that cannot be used.
    """
    if verdict == "other" and not label:
        raise ConfigError("verdict 'other' needs the label that it was")
    chosen = {"right": answer, "wrong": ORDINARY, "other": label or ""}[verdict]
    check_label(chosen)
    return Label(chosen, answer, utc_now(), by)


def check_label(label: str) -> None:
    """Raise ConfigError unless a class may have this name: 1 to 80 printable characters without commas and slashes."""
    if not (0 < len(label) <= 80 and label.isprintable() and label == label.strip()) or set(label) & {",", "/", "\\"}:
        raise ConfigError(f"label {label!r}: use 1 to 80 printable characters without commas and slashes")


def label_path(base: Path) -> Path:
    """Return the path of the label of the files `base.mp4`, `base.json` and so on; `base` has no suffix."""
    return base.with_name(base.name + LABEL_SUFFIX)


def write_label(base: Path, label: Label) -> None:
    """Write a label, completely or not at all; it replaces an earlier one. OSError if the disk fails."""
    path = label_path(base)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.encode(label) + b"\n")
        put_in_place(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def read_label(base: Path) -> Label | None:
    """Return the label beside the files of `base`; None if there is none.

    Raises:
        ConfigError: the file is not a label.
    """
    path = label_path(base)
    try:
        return msgspec.json.decode(path.read_bytes(), type=Label)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not a label: {error}; delete the file and label again") from error


def remove_label(base: Path) -> None:
    """Withdraw a label, if there is one."""
    with contextlib.suppress(FileNotFoundError):
        label_path(base).unlink()
