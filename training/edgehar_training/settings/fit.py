"""How the weights are found."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

_Count = Annotated[int, Meta(ge=1)]


class FitSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the weights are found."""

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
    window_hop: Annotated[
        int, Meta(ge=1, description="Of closed-form: frames between windows that are learned from.")
    ] = 5
    epochs: Annotated[int, Meta(ge=1, description="Most epochs.")] = 80
    batch_size: Annotated[int, Meta(ge=1, description="Windows in a step.")] = 16
    windows_per_clip: Annotated[int, Meta(ge=1, description="Random windows of every clip in an epoch.")] = 1
    patience: Annotated[
        int, Meta(ge=0, description="Stop after so many epochs without a better validation loss; 0 never stops.")
    ] = 15
    optimizer: Annotated[Literal["adam", "adamw", "sgd"], Meta(description="How weights follow the gradient.")] = "adam"
    momentum: Annotated[float, Meta(ge=0, lt=1, description="Of sgd: share of the last step in the next.")] = 0.9
    learning_rate: Annotated[float, Meta(gt=0, le=100, description="Of the optimiser, at its highest.")] = 1e-3
    schedule: Annotated[
        Literal["constant", "cosine", "step"],
        Meta(
            description="How the learning rate falls: not; to 0 as a cosine; to a tenth at 60 % and 85 % of the epochs."
        ),
    ] = "constant"
    warmup_epochs: Annotated[int, Meta(ge=0, description="Epochs in which the learning rate rises from 0.")] = 0
    weight_decay: Annotated[float, Meta(ge=0, le=1, description="Decoupled weight decay (AdamW, SGD).")] = 0.0
    label_smoothing: Annotated[float, Meta(ge=0, lt=1, description="Share of the truth spread over all labels.")] = 0.0
    class_weights: Annotated[bool, Meta(description="Count rare labels as much as frequent ones.")] = False
    average_weights: Annotated[
        float,
        Meta(ge=0, lt=1, description="Keep a running mean of the weights with this momentum and use it; 0 does not."),
    ] = 0.0
    precision: Annotated[
        Literal["float32", "mixed"], Meta(description="mixed: 16-bit arithmetic where a GPU has it.")
    ] = "float32"
    jit: Annotated[bool, Meta(description="Compile the training step by XLA.")] = False
    deterministic: Annotated[bool, Meta(description="The same numbers in every run, on the same machine.")] = False
    init_from: Annotated[
        Annotated[str, Meta(min_length=1)] | None,
        Meta(description="Begin with the weights of a run, a .keras file or a bundle.", extra={"metavar": "RUN|FILE"}),
    ] = None
    freeze: Annotated[
        list[str],
        Meta(
            description="Layers that do not learn, by name or pattern, such as encoder or 'conv*'.",
            extra={"metavar": "LAYER"},
        ),
    ] = msgspec.field(default_factory=list)
