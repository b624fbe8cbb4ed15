"""Options of the `[file]` table."""

from __future__ import annotations

from typing import Annotated

import msgspec

from edgehar.paths import OutputPath


class FileOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file to write results to."""

    path: Annotated[
        OutputPath | None,
        msgspec.Meta(
            description="File that gets the results as JSON Lines; its folder must be there. Without it none does.",
            examples=["/var/lib/edgehar/results.jsonl"],
        ),
    ] = None
    max_mb: Annotated[
        float, msgspec.Meta(ge=0.001, le=100_000, description="Size at which a new file is begun, in MB (10^6 bytes).")
    ] = 10
    keep: Annotated[
        int, msgspec.Meta(ge=0, le=1000, description="Earlier files kept, as PATH.1 (the newest of them), PATH.2, ...")
    ] = 5
    predictions: Annotated[bool, msgspec.Meta(description="Write every prediction too, not only the events.")] = True
