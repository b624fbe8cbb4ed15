"""Which network, and what it sees."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Option = bool | int | float | str
# A network made of trained ones by `edgehar fuse`.
FUSED = "fused"
# Channels of a frame for each kind of input.
CHANNELS = {"rgb": 3, "motion": 3, "flow": 2, "rgb+flow": 5}


class NetworkSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which network, and what it sees."""

    model: Annotated[str, Meta(description="Network.", extra={"metavar": "NAME"})] = "lrcn"
    options: Annotated[
        dict[str, Option],
        Meta(
            description="Options of the network, such as units=64.",
            extra={"flag": "model-option", "metavar": "KEY=VALUE"},
        ),
    ] = msgspec.field(default_factory=dict)
    input: Annotated[
        Literal["rgb", "motion", "flow", "rgb+flow"],
        Meta(
            description="motion: differences of grey frames; rgb: colours, as in the papers; flow: optical "
            "flow, not for devices.",
        ),
    ] = "motion"
    motion_range: Annotated[
        int,
        Meta(
            ge=8,
            le=128,
            description="Difference of grey levels at which the motion input saturates: fewer is finer, and bounds "
            "what light being switched does.",
        ),
    ] = 128
    scaling: Annotated[
        Literal["unit", "mean", "imagenet"],
        Meta(
            description="How the network scales colours: 0 to 1, less the mean of the training clips, or ImageNet's "
            "mean and deviation."
        ),
    ] = "unit"
    mean: Annotated[
        Annotated[list[float], Meta(min_length=3, max_length=3)] | None,
        Meta(
            description="The mean red, green and blue, 0 to 1, of scaling mean; without it that of the training clips.",
            extra={"metavar": "X"},
        ),
    ] = None
    flow: Annotated[
        str,
        Meta(
            description="How optical flow is computed, dis or farneback, or a folder of flow computed before.",
            extra={"metavar": "METHOD|DIR"},
        ),
    ] = "dis"
    sampling: Annotated[
        Literal["consecutive", "uniform", "segments", "key-frames"],
        Meta(
            description="Frames of a window: on the time grid one after the other; evenly over the clip; one at random "
            "of each segment (TSN); those with most motion."
        ),
    ] = "consecutive"
    frame_order: Annotated[
        Literal["ordered", "shuffled", "single"],
        Meta(
            description="How a window's frames stand in it: as they came. Controls, not for devices: shuffled; or a "
            "single one in all places (random in training, else the middle one)."
        ),
    ] = "ordered"
    window: Annotated[int, Meta(ge=1, description="Frames in a window.")] = 20
    size: Annotated[int, Meta(ge=8, description="Side of the frame in pixels.")] = 60
    rate_hz: Annotated[float, Meta(gt=0, le=1000, description="Frames a second that the network sees.")] = 12.5

    @property
    def channels(self) -> int:
        """Channels of a frame of this input."""
        return CHANNELS[self.input]

    @property
    def title(self) -> str:
        """What the network is called: its name, and what it was made of where it was made of others."""
        return f"{FUSED} {self.options['parts']}" if self.model == FUSED else self.model
