"""Which clips, and how their frames are made."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta


class DataSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which clips, and how their frames are made."""

    dataset: Annotated[
        str,
        Meta(
            description="Layout of the clips: folder, recordings, csv, kth, ucf50, ucf101, hmdb51, weizmann, "
            "ut-interaction; mixed, several of them by a TOML file; or synthetic.",
            extra={"metavar": "KIND"},
        ),
    ] = "folder"
    folder: Annotated[
        Annotated[str, Meta(min_length=1)] | None,
        Meta(description="Folder (or table) of the clips.", extra={"flag": "data", "metavar": "DIR"}),
    ] = None
    classes: Annotated[
        list[str] | None, Meta(description="Use these classes only; without it all.", extra={"metavar": "LABEL"})
    ] = None
    cache: Annotated[
        Annotated[str, Meta(min_length=1)] | None,
        Meta(
            description="Where decoded frames are kept; without it in the user's cache.",
            extra={"metavar": "DIR"},
        ),
    ] = None
    crop: Annotated[
        Literal["stretch", "center", "letterbox"],
        Meta(
            description="How a frame becomes square: stretched, its middle, or whole with black beside it.",
        ),
    ] = "stretch"
