"""Training of the weights."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

_Count = Annotated[int, Meta(ge=1)]


class FitSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Training of the weights."""

    solver: Annotated[
        Literal["gradient", "closed-form"],
        Meta(
            description="How weights are found: step by step; or at once by ridge regression, for a head of statistics "
            "over an encoder that does not learn.",
        ),
    ] = "gradient"
    components: Annotated[
        int, Meta(ge=1, description="Of closed-form: principal components of each part of the features.")
    ] = 256
    ridge: Annotated[float, Meta(gt=0, description="Of closed-form: added to the diagonal; more is simpler.")] = 10.0
    parts: Annotated[
        Literal["taps", "statistics", "mean+peak"],
        Meta(
            description="Of closed-form: what gets a regression of its own: each tap of each look, or each statistic "
            "over time of each pooling of them; mean+peak leaves the deviation out."
        ),
    ] = "taps"
    slope: Annotated[
        Annotated[float, Meta(gt=0)] | None,
        Meta(
            description="Of closed-form: slope of the scores, the same in every fold, so that one threshold suits all "
            "(default: fitted on groups left out, as probabilities).",
            extra={"metavar": "X"},
        ),
    ] = None
    window_hop: Annotated[
        int, Meta(ge=1, description="Of closed-form: frames between windows that are learned from.")
    ] = 5
    epochs: Annotated[int, Meta(ge=1, description="Largest number of epochs.")] = 80
    batch_size: Annotated[int, Meta(ge=1, description="Number of windows in a step.")] = 16
    windows_per_clip: Annotated[int, Meta(ge=1, description="Number of random windows of every clip in an epoch.")] = 1
    patience: Annotated[
        int, Meta(ge=0, description="Stop after this many epochs without a lower validation loss; 0 never stops early.")
    ] = 15
    optimizer: Annotated[Literal["adam", "adamw", "sgd"], Meta(description="Optimizer.")] = "adam"
    momentum: Annotated[float, Meta(ge=0, lt=1, description="Momentum of sgd.")] = 0.9
    learning_rate: Annotated[float, Meta(gt=0, le=100, description="Highest learning rate.")] = 1e-3
    schedule: Annotated[
        Literal["constant", "cosine", "step"],
        Meta(
            description="Learning rate schedule: constant; cosine to 0; step to a tenth at 60 % and 85 % of the epochs."
        ),
    ] = "constant"
    warmup_epochs: Annotated[int, Meta(ge=0, description="Epochs of a linear rise of the learning rate.")] = 0
    weight_decay: Annotated[float, Meta(ge=0, le=1, description="Decoupled weight decay (AdamW, SGD).")] = 0.0
    label_smoothing: Annotated[
        float, Meta(ge=0, lt=1, description="Label smoothing: share of the truth spread over all labels.")
    ] = 0.0
    class_weights: Annotated[bool, Meta(description="Weight rare labels as much as frequent labels.")] = False
    average_weights: Annotated[
        float,
        Meta(ge=0, lt=1, description="Momentum of a running mean of the weights, which is then used; 0 turns it off."),
    ] = 0.0
    precision: Annotated[
        Literal["float32", "mixed"], Meta(description="mixed: 16-bit arithmetic on a GPU that supports it.")
    ] = "float32"
    jit: Annotated[bool, Meta(description="Compile the training step with XLA.")] = False
    deterministic: Annotated[bool, Meta(description="Give the same numbers in every run on the same machine.")] = False
    init_from: Annotated[
        Annotated[str, Meta(min_length=1)] | None,
        Meta(description="Start from the weights of a run, a .keras file or a bundle.", extra={"metavar": "RUN|FILE"}),
    ] = None
    freeze: Annotated[
        list[str],
        Meta(
            description="Layers to freeze, by name or pattern, such as encoder or 'conv*'.",
            extra={"metavar": "LAYER"},
        ),
    ] = msgspec.field(default_factory=list)
