"""Options of a conversion."""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING

from edgehar.errors import ConfigError, ConversionError
from edgehar.model.manifest import Decision

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgehar.model.manifest import Alarms
    from edgehar_training.quantize.parity import Comparison
    from edgehar_training.quantize.stages import Stage
    from edgehar_training.runs.run import RunConfig
    from edgehar_training.settings.quantize import HeadKind


# A share of clips is not exact in binary: 1.0000000001 points must not exceed 1.0.
ROUNDING = 1e-9


@dataclasses.dataclass(frozen=True, kw_only=True)
class ConvertOptions:
    """Options of converting a run, and limits of the accuracy that int8 may lose.

    Attributes:
        name: name of the bundle; None takes the name of the file.
        max_drop: largest loss of top-1 on the validation clips, in percentage points; None allows any.
        max_class_drop: the same for the clips of each label.
        max_difference: largest change of one score of a validation window, 0 to 1; None allows any.
        evaluation: folder of another run of the same network, for example of all folds, whose accuracy is reported.
        alarms: measured false alarms and found incidents, see `alarms.measured`.
        hop: default number of frames between answers; None takes a quarter of the window.
        notes: Markdown about the data set, for the model card.
        stage: which network of a run with `--qat`, see `stages`; None takes the best one.
        head: kind of head, see `heads`; None takes the kind in the settings of the run.
        decision: default threshold and background labels.
        version: of the model of this name, 1 or more.
        remember: keep numbers of training windows, from which `edgehar teach` measures what a new head forgets.
        temperature: divides the logits, inside the weights, so that scores are calibrated.
    """

    name: str | None = None
    max_drop: float | None = 1.0
    max_class_drop: float | None = None
    max_difference: float | None = None
    evaluation: str | os.PathLike[str] | None = None
    alarms: Alarms | None = None
    hop: int | None = None
    notes: str = ""
    stage: Stage | None = None
    head: HeadKind | None = None
    decision: Decision = dataclasses.field(default_factory=Decision)
    temperature: float = 1.0
    version: int = 1
    remember: bool = True

    def hop_of(self, config: RunConfig) -> int:
        """Return the number of frames between answers."""
        return max(1, config.network.window // 4) if self.hop is None else self.hop

    def check(self, config: RunConfig) -> None:
        """Check the options against the settings of the run.

        Raises:
            ConfigError: an option is invalid.
        """
        config.check_device()
        hop, window, threshold = self.hop_of(config), config.network.window, self.decision.threshold
        if not 1 <= hop <= window:
            raise ConfigError(f"hop is {hop}, must be 1 to {window} (the window)")
        if self.max_drop is not None and not self.max_drop >= 0:
            raise ConfigError(f"max_drop is {self.max_drop:g} points, must be 0 or more")
        if not 0 <= threshold <= 1:
            raise ConfigError(f"threshold is {threshold:g}, must be 0 to 1")
        if unknown := [label for label in self.decision.background if label not in config.labels]:
            raise ConfigError(f"background label {unknown[0]!r} is not one of {', '.join(config.labels)}")
        if unknown := [label for label in self.decision.thresholds if label not in config.labels]:
            raise ConfigError(f"thresholds label {unknown[0]!r} is not one of {', '.join(config.labels)}")
        if self.version < 1:
            raise ConfigError(f"model version is {self.version}, must be 1 or more")
        if not 0 < self.temperature < float("inf"):
            raise ConfigError(f"temperature is {self.temperature:g}, must be more than 0")

    def check_losses(self, comparison: Comparison, labels: Sequence[str]) -> None:
        """Refuse a network that lost more than the options allow.

        Raises:
            ConversionError: it did.
        """
        nothing = "nothing was written; train longer, or raise"
        parity, drop = comparison.parity(), comparison.drop_points
        if self.max_drop is not None and drop > self.max_drop + ROUNDING:
            raise ConversionError(
                f"int8 loses {drop:.1f} points of top-1 on {parity.clips} validation clips ({parity.float_top1:.1%} to "
                f"{parity.int8_top1:.1%}), more than {self.max_drop:g}: {nothing} --max-drop"
            )
        drops = comparison.class_drops(labels)
        worst = max(drops, key=lambda label: drops[label])
        if self.max_class_drop is not None and drops[worst] > self.max_class_drop + ROUNDING:
            raise ConversionError(
                f"int8 loses {drops[worst]:.1f} points on the validation clips of {worst!r}, more than "
                f"{self.max_class_drop:g}: {nothing} --max-class-drop"
            )
        largest = parity.max_score_difference
        if self.max_difference is not None and largest > self.max_difference:
            raise ConversionError(
                f"int8 changes a score by {largest:.3f}, more than {self.max_difference:g}: {nothing} --max-difference"
            )


DEFAULT = ConvertOptions()
