"""Quantization of a trained network."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

HeadKind = Literal["unrolled", "fused", "float"]


class QuantizeSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Quantization of a trained network (--int8), and quantization-aware training (--qat)."""

    head: Annotated[
        HeadKind,
        Meta(description="Head of the int8 files: unrolled (plain operators), fused (TFLite's LSTM), or 32-bit float."),
    ] = "unrolled"
    qat_epochs: Annotated[int, Meta(ge=1, description="Epochs of each of the two fine-tunings.")] = 12
    qat_learning_rate: Annotated[float, Meta(gt=0, le=100, description="Learning rate of both fine-tunings.")] = 2e-4
    range_momentum: Annotated[
        float, Meta(ge=0, lt=1, description="Momentum of the running mean of each int8 range over steps.")
    ] = 0.95
    freeze_ranges: Annotated[
        float, Meta(ge=0, le=1, description="Share of the epochs after which int8 ranges are frozen.")
    ] = 0.5
    per_channel: Annotated[
        bool, Meta(description="One int8 scale of weights for each output channel, instead of one for all.")
    ] = True
