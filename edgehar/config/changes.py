"""What is different between two configurations, and whether it can be changed in a running program."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from edgehar.config.settings import settings_of

if TYPE_CHECKING:
    from edgehar.config.options import CameraOptions, Config

# What neither the cameras nor the windows of frames depend on.
_LIVE = frozenset({"decision", "output", "file", "mqtt", "webhook", "spool"})


class Change(NamedTuple):
    """A key or table that is different.

    Attributes:
        section: its name in the file.
        live: whether it can be applied without starting again.
    """

    section: str
    live: bool


def diff(old: Config, new: Config) -> list[Change]:
    """The keys and tables at the top of the file that differ, in the file's order."""
    changes = []
    for name, setting in settings_of(type(old)).items():
        before, after = getattr(old, setting.field), getattr(new, setting.field)
        if name == "camera" and before != after:
            changes.append(Change(name, _decide_alike(before) == _decide_alike(after)))
        elif before != after:
            changes.append(Change(name, name in _LIVE))
    return changes


def _decide_alike(cameras: list[CameraOptions]) -> list[CameraOptions]:
    return [msgspec.structs.replace(camera, threshold=None, thresholds={}) for camera in cameras]
