"""Options of the `[spool]` table, and the folder it names by default."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from edgehar.errors import ConfigError
from edgehar.paths import OutputPath

if TYPE_CHECKING:
    from collections.abc import Mapping


class SpoolOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where undelivered events are stored, and how many."""

    directory: Annotated[
        OutputPath | None,
        msgspec.Meta(
            description="Folder of the queues. By default $STATE_DIRECTORY, $XDG_STATE_HOME/edgehar or "
            "~/.local/state/edgehar, the first that is set.",
            examples=["/var/lib/edgehar"],
        ),
    ] = None
    max_events: Annotated[
        int,
        msgspec.Meta(ge=1, le=10_000_000, description="Most events to keep per receiver; the oldest are dropped."),
    ] = 100_000
    max_mb: Annotated[
        float,
        msgspec.Meta(ge=0.01, le=100_000, description="Most MB (10^6 bytes) of events to keep per receiver."),
    ] = 64
    max_age_h: Annotated[
        float,
        msgspec.Meta(gt=0, le=87_600, description="Hours, with the device on, after which an event is dropped."),
    ] = 168
    sync: Annotated[
        Literal["normal", "full"],
        msgspec.Meta(
            description='"normal" keeps every event when the program is killed. "full" also when the power fails, with '
            "more wear of the disk."
        ),
    ] = "normal"


def state_directory(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the folder for files that outlive the process, as systemd or the XDG base directories define it.

    Raises:
        ConfigError: no variable is set, and there is no home folder.
    """
    # systemd sets a list if a unit has several.
    if given := environ.get("STATE_DIRECTORY", "").partition(":")[0]:
        return Path(given)
    if (given := environ.get("XDG_STATE_HOME", "")) and Path(given).is_absolute():
        return Path(given) / "edgehar"
    try:
        return Path("~/.local/state/edgehar").expanduser()
    except RuntimeError:
        raise ConfigError("there is no home folder for undelivered events; set directory under [spool]") from None


def folder_beside_queues(configured: str | None, spool_directory: str | None, name: str) -> Path:
    """Return a configured folder; if there is none, the folder `name` beside the queues of events.

    Raises:
        ConfigError: none is set, and there is no home folder.
    """
    if configured is not None:
        return Path(configured).expanduser()
    return (state_directory() if spool_directory is None else Path(spool_directory).expanduser()) / name
