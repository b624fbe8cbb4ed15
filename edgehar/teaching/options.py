"""Settings of `[history]` and `[inbox]`."""

from __future__ import annotations

from typing import Annotated, Literal

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


class InboxOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Keep moments for a person to label, so that the model can be taught from them."""

    enabled: Annotated[
        bool,
        msgspec.Meta(
            description="Keep moments that are worth a label: events, unsure and unusual answers, some by chance."
        ),
    ] = False
    keep: Annotated[
        Literal["features", "clips"],
        msgspec.Meta(
            description="What is kept of a moment: the encoder's numbers only, or a clip as well. A clip needs "
            '`pictures` other than "none".'
        ),
    ] = "features"
    directory: Annotated[
        OutputPath | None,
        msgspec.Meta(
            description="Folder of the inbox; by default the folder `inbox` beside the queues of `[spool]`.",
            examples=["/var/lib/edgehar/inbox"],
        ),
    ] = None
    per_hour: Annotated[
        float,
        msgspec.Meta(
            ge=0,
            le=3600,
            description="Moments an hour of each kind: unsure, unusual, random. Of events, ten times as many.",
        ),
    ] = 4.0
    seconds: Annotated[float, msgspec.Meta(ge=1, le=60, description="Length of a moment, in seconds of video.")] = 4.0
    max_mb: Annotated[
        float,
        msgspec.Meta(
            ge=1, le=100_000, description="Size of the inbox in MB; the oldest moments go, labeled ones last."
        ),
    ] = 500.0
