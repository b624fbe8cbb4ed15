"""How a trained network becomes int8."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

HeadKind = Literal["unrolled", "fused", "float"]


class QuantizeSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a trained network becomes int8, with --int8, and learns to be, with --qat."""

    head: Annotated[
        HeadKind,
        Meta(description="Head of the int8 files: plain operations, TFLite's LSTM, or computing in 32-bit floats."),
    ] = "unrolled"
    qat_epochs: Annotated[int, Meta(ge=1, description="Epochs of each of the two fine-tunes.")] = 12
    qat_learning_rate: Annotated[float, Meta(gt=0, le=100, description="Learning rate of both.")] = 2e-4
    range_momentum: Annotated[
        float, Meta(ge=0, lt=1, description="Momentum of the running mean of each int8 range over steps.")
    ] = 0.95
    freeze_ranges: Annotated[
        float, Meta(ge=0, le=1, description="Share of the epochs after which int8 ranges no longer move.")
    ] = 0.5
    per_channel: Annotated[
        bool, Meta(description="Weights have an int8 scale for each output channel, not one for all.")
    ] = True
