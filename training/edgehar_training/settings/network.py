"""The network, and its input."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from edgehar.model.manifest import BASE_HEIGHT, CELL

Option = bool | int | float | str
# A network that `edgehar fuse` makes from trained networks.
FUSED = "fused"
# Channels of a frame for each kind of input.
CHANNELS = {"rgb": 3, "motion": 3, "flow": 2, "rgb+flow": 5}
# Frames before a window that its motion input looks back at.
HISTORY = 2


class NetworkSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The network, and its input."""

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
            description="motion: differences of gray frames; rgb: colors, as in the papers; flow: optical "
            "flow, not for devices.",
        ),
    ] = "motion"
    motion_range: Annotated[
        int,
        Meta(
            ge=8,
            le=128,
            description="Difference of gray levels at which the motion input saturates. A smaller value is finer, "
            "and limits the effect of switched lights.",
        ),
    ] = 128
    looks: Annotated[
        Literal["whole", "whole+crop"],
        Meta(
            description="Pictures of each frame: the whole, or also a crop of it where it moves most (for motion, and "
            "an encoder that does not learn)."
        ),
    ] = "whole"
    crop_side: Annotated[
        int,
        Meta(
            ge=2 * CELL,
            le=BASE_HEIGHT,
            multiple_of=CELL,
            description="Side of the crop, in pixels of a picture of 320x240.",
        ),
    ] = 120
    stabilize: Annotated[
        bool,
        Meta(
            description="Remove the motion of the whole picture, as of a camera that shakes (for --looks whole+crop)."
        ),
    ] = False
    steady_light: Annotated[
        bool,
        Meta(description="Remove changes of light, as of flickering lamps (for --looks whole+crop)."),
    ] = False
    scaling: Annotated[
        Literal["unit", "mean", "imagenet"],
        Meta(
            description="How the network scales colors: unit: 0 to 1; mean: minus the mean of the training clips; "
            "imagenet: with the mean and deviation of ImageNet."
        ),
    ] = "unit"
    mean: Annotated[
        Annotated[list[float], Meta(min_length=3, max_length=3)] | None,
        Meta(
            description="Mean red, green and blue, 0 to 1, for scaling mean (default: of the training clips).",
            extra={"metavar": "X"},
        ),
    ] = None
    flow: Annotated[
        str,
        Meta(
            description="Method of optical flow: dis, farneback, or a folder of flow that was computed before.",
            extra={"metavar": "METHOD|DIR"},
        ),
    ] = "dis"
    sampling: Annotated[
        Literal["consecutive", "uniform", "segments", "key-frames"],
        Meta(
            description="Frames of a window: consecutive on the time grid; uniform over the clip; one at random of "
            "each segment (TSN); the key frames with most motion."
        ),
    ] = "consecutive"
    frame_order: Annotated[
        Literal["ordered", "shuffled", "single"],
        Meta(
            description="Order of the frames in a window. Controls, not for devices: shuffled; single: one frame in "
            "all places (random in training, the middle frame in evaluation)."
        ),
    ] = "ordered"
    window: Annotated[int, Meta(ge=1, description="Number of frames in a window.")] = 20
    size: Annotated[int, Meta(ge=8, description="Side of the frame in pixels.")] = 60
    rate_hz: Annotated[float, Meta(gt=0, le=1000, description="Frame rate of the input of the network.")] = 12.5

    @property
    def channels(self) -> int:
        """Number of channels of a frame."""
        return CHANNELS[self.input]

    @property
    def two_looks(self) -> bool:
        """Whether there is a crop beside the whole picture."""
        return self.looks == "whole+crop"

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the network's input of one frame."""
        picture = (self.size, self.size, self.channels)
        return (2, *picture) if self.two_looks else picture

    @property
    def lead_in(self) -> int:
        """Frames at the start of a stream that are in no window, where the stream is long enough for that."""
        return HISTORY if self.two_looks else 0

    @property
    def title(self) -> str:
        """Name of the network, and of its parts if it is fused."""
        return f"{FUSED} {self.options['parts']}" if self.model == FUSED else self.model
