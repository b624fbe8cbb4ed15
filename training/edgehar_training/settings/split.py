"""Which clips are learned from, which say when to stop, and which are tested on."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta


class SplitSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which clips are learned from, which say when to stop, and which are tested on."""

    kind: Annotated[
        Literal["group", "official", "random"],
        Meta(
            description="group: no group on both sides; official: the data set's own; random: leaky, only to compare "
            "with papers.",
            extra={"flag": "split"},
        ),
    ] = "group"
    folds: Annotated[
        Annotated[int, Meta(ge=2)] | None,
        Meta(description="K-fold cross-validation; as many as groups leaves one out.", extra={"metavar": "K"}),
    ] = None
    test_fraction: Annotated[
        float, Meta(ge=0, lt=1, description="Share of clips to test on without folds; 0 trains on all of them.")
    ] = 0.2
    val_fraction: Annotated[float, Meta(gt=0, lt=1, description="Share of clips that say when to stop.")] = 0.16
    seed: Annotated[int, Meta(ge=0, description="First seed, of splits, weights and sampling.")] = 0
