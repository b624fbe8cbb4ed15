"""Runs to make, and tests besides the float network."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta


class RunSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Runs to make, and tests besides the float network."""

    seeds: Annotated[int, Meta(ge=1, le=1000, description="Number of seeds, each with its own run.")] = 1
    int8: Annotated[bool, Meta(description="Also convert every run and test the int8 bundle.")] = False
    qat: Annotated[
        bool,
        Meta(
            description="Also fine-tune in float and with fake quantization, convert all three networks, and name the "
            "best on the validation clips."
        ),
    ] = False
    jobs: Annotated[int, Meta(ge=1, le=1024, description="Number of runs at the same time, for folds and seeds.")] = 1
    tensorboard: Annotated[
        bool, Meta(description="Also write loss and accuracy for TensorBoard, to the folder of the run.")
    ] = False
