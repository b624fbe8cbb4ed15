"""Settings of recording."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from edgehar.paths import OutputPath

Pictures = Literal["none", "blurred", "full"]


class RecordOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A clip, a picture and a sidecar file for each event."""

    directory: Annotated[
        OutputPath | None,
        Meta(
            description="Folder for the clips; it is made if missing. Recording is off without it.",
            examples=["/var/lib/edgehar/clips"],
        ),
    ] = None
    labels: Annotated[
        list[str], Meta(description="Record events with these labels only; all events if empty.", examples=[["fight"]])
    ] = msgspec.field(default_factory=list)
    pre_roll_s: Annotated[
        float, Meta(ge=0, le=60, description="Seconds of video kept from before the start of an event.")
    ] = 5.0
    post_roll_s: Annotated[
        float, Meta(ge=0, le=600, description="Seconds of video recorded after the end of an event.")
    ] = 5.0
    max_s: Annotated[
        float, Meta(ge=2, le=86_400, description="Begin another file when a clip is longer than this, in seconds.")
    ] = 120.0
    buffer_mb: Annotated[
        float,
        Meta(
            ge=0.1, le=4096, description="Memory for encoded video of one camera, in MB (10^6 bytes); the oldest goes."
        ),
    ] = 32.0
    encoder: Annotated[
        Literal["auto", "h264_v4l2m2m", "libx264", "mjpeg"],
        Meta(
            description="Encoder for cameras that give no H.264 or H.265, and for masked pictures. auto: the first of "
            "h264_v4l2m2m, libx264 and mjpeg that works here."
        ),
    ] = "auto"
    encoder_fps: Annotated[float, Meta(ge=0.5, le=120, description="Frames a second that are encoded, at most.")] = 15.0
    encoder_share: Annotated[
        float,
        Meta(ge=0.01, le=1, description="Share of one processor core for encoding; frames are skipped beyond it."),
    ] = 0.3
    max_age_days: Annotated[float, Meta(gt=0, le=36_500, description="Days after which a clip is removed.")] = 30.0
    max_gb: Annotated[
        float, Meta(gt=0, le=1_000_000, description="Size of all clips in GB (10^9 bytes); the oldest are removed.")
    ] = 10.0
    min_free_mb: Annotated[
        float,
        Meta(
            ge=0,
            le=100_000_000,
            description="Free space to leave on the disk, in MB (10^6 bytes): the oldest clips are removed, then "
            "recording stops. Other writers go on.",
        ),
    ] = 500.0
    seal_to: Annotated[
        list[Annotated[str, Meta(min_length=1)]],
        Meta(
            description="Public keys (age1...) to encrypt everything recorded to. Only the holder of a secret key can "
            "open it. `edgehar seal keygen` makes a pair.",
            examples=[["age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"]],
        ),
    ] = msgspec.field(default_factory=list)
