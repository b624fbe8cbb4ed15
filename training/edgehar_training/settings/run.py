"""What is made of a run: how many seeds, and what is tested besides the float network."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta


class RunSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is made of a run."""

    seeds: Annotated[int, Meta(ge=1, le=1000, description="Number of seeds, each with its own run.")] = 1
    int8: Annotated[bool, Meta(description="Also convert every run and test the int8 bundle.")] = False
    qat: Annotated[
        bool,
        Meta(
            description="Also train on, once in float and once as int8, convert all three, and name the best on the "
            "validation clips."
        ),
    ] = False
    jobs: Annotated[int, Meta(ge=1, le=1024, description="Runs at the same time, for folds and seeds.")] = 1
    tensorboard: Annotated[
        bool, Meta(description="Also write loss and accuracy for TensorBoard, in the run's folder.")
    ] = False
