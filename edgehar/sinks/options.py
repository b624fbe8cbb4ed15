"""Options of the `[file]` table."""

from __future__ import annotations

from typing import Annotated

import msgspec

from edgehar.paths import OutputPath


class FileOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """File that records are written to."""

    path: Annotated[
        OutputPath | None,
        msgspec.Meta(
            description="File for the records, as JSON Lines. Its folder must exist. No file is written without it.",
            examples=["/var/lib/edgehar/results.jsonl"],
        ),
    ] = None
    max_mb: Annotated[
        float,
        msgspec.Meta(ge=0.001, le=100_000, description="Size of a file before the next is started, in MB."),
    ] = 10
    keep: Annotated[
        int,
        msgspec.Meta(ge=0, le=1000, description="Earlier files to keep, as PATH.1 (the newest), PATH.2, ..."),
    ] = 5
    predictions: Annotated[bool, msgspec.Meta(description="Write predictions as well as events.")] = True
