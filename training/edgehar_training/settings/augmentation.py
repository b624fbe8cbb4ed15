"""Random changes of training windows."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta


class AugmentSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Random changes of training windows, the same for all frames of a window."""

    on: Annotated[bool, Meta(description="Change training windows at random.", extra={"flag": "augment"})] = True
    flip: Annotated[bool, Meta(description="Mirror every other window.")] = True
    shift: Annotated[float, Meta(ge=0, le=0.5, description="Largest shift, as a share of the side of the frame.")] = 0.1
    zoom: Annotated[float, Meta(ge=0, le=0.5, description="Largest zoom, in or out.")] = 0.15
    contrast: Annotated[float, Meta(ge=0, le=1, description="Largest change of contrast.")] = 0.25
    brightness: Annotated[float, Meta(ge=0, le=255, description="Largest change of brightness, in levels of 255.")] = (
        24.0
    )
    colour: Annotated[float, Meta(ge=0, le=1, description="Largest change of the gain of each color.")] = 0.0
    blur: Annotated[
        float, Meta(ge=0, le=10, description="Largest standard deviation of a Gaussian blur, in pixels.")
    ] = 0.0
    noise: Annotated[float, Meta(ge=0, le=64, description="Largest standard deviation of noise, in levels of 255.")] = (
        0.0
    )
    speed: Annotated[float, Meta(ge=0, le=0.9, description="Largest change of speed, faster or slower.")] = 0.0
    temporal_crop: Annotated[
        float,
        Meta(ge=0, le=0.9, description="Largest share of a clip that is cut off its ends before a window is taken."),
    ] = 0.0
    frame_dropout: Annotated[
        float, Meta(ge=0, le=0.9, description="Probability that a frame is replaced by the frame before it.")
    ] = 0.0
    mixup: Annotated[
        float,
        Meta(
            ge=0,
            le=10,
            description="Alpha of mixup (Zhang et al., ICLR 2018) of the windows of a step; 0 turns it off.",
        ),
    ] = 0.0
