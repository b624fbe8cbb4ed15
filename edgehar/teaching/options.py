"""Settings of `[history]`."""

from __future__ import annotations

from typing import Annotated

import msgspec

from edgehar.paths import OutputPath


class HistoryOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether the scores of every answer are kept, and for how long. No picture is kept."""

    enabled: Annotated[
        bool, msgspec.Meta(description="Keep the scores of every answer on disk: numbers only, a few bytes each.")
    ] = False
    directory: Annotated[
        OutputPath | None,
        msgspec.Meta(
            description="Folder of the history; by default the folder `history` beside the queues of `[spool]`.",
            examples=["/var/lib/edgehar/history"],
        ),
    ] = None
    keep_days: Annotated[
        int, msgspec.Meta(ge=1, le=3660, description="Days after which the scores of a day are deleted.")
    ] = 92
    max_mb: Annotated[
        float,
        msgspec.Meta(ge=0.1, le=100_000, description="Size of the history of one camera, in MB; the oldest days go."),
    ] = 64.0
