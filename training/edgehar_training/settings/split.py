"""Split of the clips into training, validation and test parts."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta


class SplitSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Split of the clips into training, validation and test parts."""

    kind: Annotated[
        Literal["group", "official", "random"],
        Meta(
            description="group: no group on both sides; official: the split of the data set; random: leaky, only to "
            "compare with papers.",
            extra={"flag": "split"},
        ),
    ] = "group"
    folds: Annotated[
        Annotated[int, Meta(ge=2)] | None,
        Meta(
            description="K-fold cross-validation; with as many folds as groups, leave-one-group-out.",
            extra={"metavar": "K"},
        ),
    ] = None
    test_fraction: Annotated[
        float, Meta(ge=0, lt=1, description="Share of test clips without folds; 0 trains on all clips.")
    ] = 0.2
    val_fraction: Annotated[
        float, Meta(gt=0, lt=1, description="Share of validation clips, which choose the best epoch.")
    ] = 0.16
    seed: Annotated[int, Meta(ge=0, description="First seed of splits, weights and sampling.")] = 0
