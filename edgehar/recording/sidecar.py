"""The sidecar of a clip: the event, the answers around it, the model, and the hashes that prove all of it unaltered."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from edgehar.records import Event

SCHEMA_VERSION = 1
# What a person said about a recording, beside its files. It is not on the chain, and goes with the recording.
LABEL_SUFFIX = ".label.json"


class Model(msgspec.Struct, frozen=True):
    """The model that gave the answers.

    Attributes:
        name: of the bundle.
        sha256: of the bundle's file.
        labels: the classes, in the order of `Answer.scores`.
    """

    name: str
    sha256: str | None
    labels: tuple[str, ...]


class Answer(msgspec.Struct, frozen=True):
    """One prediction of the span, as decided.

    Attributes:
        end_s: capture time of the newest frame of its window, in seconds on the source's clock.
        label: the class decided on, or "unknown".
        score: its score, 0 to 1.
        scores: score of every class, in the order of the model's labels.
    """

    end_s: float
    label: str
    score: float
    scores: list[float]


class Clip(msgspec.Struct, frozen=True):
    """The video file.

    Attributes:
        file: its name, beside the sidecar.
        sha256: of the MP4, before it was encrypted if it was.
        bytes: its size.
        codec: FFmpeg's name, for example "h264".
        width: pixels.
        height: pixels.
        frames: pictures in it.
        start_s: capture time of the first picture, in seconds on the source's clock.
        end_s: capture time of the last picture.
        gaps: places where packets are missing, because the disk was too slow.
    """

    file: str
    sha256: str
    bytes: int
    codec: str = ""
    width: int = 0
    height: int = 0
    frames: int = 0
    start_s: float | None = None
    end_s: float | None = None
    gaps: int = 0


class Picture(msgspec.Struct, frozen=True):
    """The picture of the peak.

    Attributes:
        file: its name, beside the sidecar.
        sha256: of the JPEG, before it was encrypted if it was.
        captured_s: capture time of the frame, in seconds on the source's clock; None if unknown.
    """

    file: str
    sha256: str
    captured_s: float | None = None


class Sidecar(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="recording"):
    """One recording: an event, or a part of one that is longer than `max_s`.

    Attributes:
        schema_version: of this file.
        software: name and version of the program.
        source: the camera, without credentials.
        id: of the event.
        part: 1, or more for the later files of a long event.
        events: the records of the event so far: its start and, if it has ended, its end.
        answers: every prediction of the span.
        model: the model.
        clip: the video; None if there is none, and `note` says why.
        picture: the frame of the peak; None if pictures are off or no frame came.
        pictures: the privacy setting it was made under.
        masked: whether parts of the picture were masked or cut off.
        recovered: whether the program was ended while it recorded; the clip may then be shorter.
        note: what is missing, and why; "" if nothing is.
        previous_sha256: SHA-256 of the sidecar before this one in the folder; None in the first.
    """

    schema_version: Annotated[int, Meta(ge=1)] = SCHEMA_VERSION
    software: str
    source: str
    id: str
    part: int = 1
    events: list[Event]
    answers: list[Answer]
    model: Model
    clip: Clip | None
    picture: Picture | None
    pictures: Literal["none", "blurred", "full"]
    masked: bool
    recovered: bool = False
    note: str = ""
    previous_sha256: str | None
