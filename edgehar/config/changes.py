"""Differences between two configurations, and whether a running program can apply them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from edgehar.config.settings import settings_of

if TYPE_CHECKING:
    from edgehar.config.options import CameraOptions, Config

# Sections that neither cameras nor windows of frames depend on.
_LIVE = frozenset({"decision", "output", "file", "mqtt", "webhook", "spool", "notify"})


class Change(NamedTuple):
    """A key or table that differs.

    Attributes:
        section: its name in the file.
        live: whether it can be applied without a restart.
    """

    section: str
    live: bool


def diff(old: Config, new: Config) -> list[Change]:
    """Return the top-level keys and tables that differ, in the order of the file."""
    changes = []
    for name, setting in settings_of(type(old)).items():
        before, after = getattr(old, setting.field), getattr(new, setting.field)
        if name == "camera" and before != after:
            changes.append(Change(name, _without_live(before) == _without_live(after)))
        elif before != after:
            changes.append(Change(name, name in _LIVE))
    return changes


def _without_live(cameras: list[CameraOptions]) -> list[CameraOptions]:
    """Return the cameras without the settings that a running stream can change."""
    return [
        msgspec.structs.replace(
            camera,
            threshold=None,
            thresholds={},
            masks=(),
            region=None,
            watch_hours=[],
            record_hours=[],
            notify_hours=[],
        )
        for camera in cameras
    ]
