"""Clips, and how to make their frames."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta


class DataSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Clips, and how to make their frames."""

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
        list[str] | None, Meta(description="Use only these classes (default: all).", extra={"metavar": "LABEL"})
    ] = None
    cache: Annotated[
        Annotated[str, Meta(min_length=1)] | None,
        Meta(
            description="Folder of decoded frames (default: in the cache of the user).",
            extra={"metavar": "DIR"},
        ),
    ] = None
    crop: Annotated[
        Literal["stretch", "center", "letterbox"],
        Meta(
            description="How to make a frame square: stretch it, crop its center, or letterbox it with black borders.",
        ),
    ] = "stretch"
