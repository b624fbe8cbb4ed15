"""A picture of training windows, after sampling, augmentation and preprocessing."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from edgehar.errors import DatasetError
from edgehar_training.data.contact_sheets import SheetRow, write_sheet
from edgehar_training.data.datasets.clip import labels_of
from edgehar_training.runs.run import Run
from edgehar_training.training.batches import Batches

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from edgehar_training.data.datasets.clip import Clip
    from edgehar_training.runs.run import RunConfig
    from edgehar_training.settings import AugmentSettings

SHOWN_FRAMES = 10
SIDE = 112
# Flow is mostly small in its range of -1 to 1, so it is shown multiplied by this.
_FLOW_GAIN = 4


def write_preview(path: Path, config: RunConfig, clips: Sequence[Clip], *, rows: int) -> int:
    """Write a PNG with a row for each of a few training windows, made by the code that training uses.

    Args:
        path: the file.
        config: the settings.
        clips: the clips of the data set.
        rows: largest number of windows; clips are taken from all classes in turn.

    Returns:
        How many rows there are.

    Raises:
        DatasetError: no chosen clip can be read.
        OSError: the file cannot be written.
    """
    chosen = in_turn(clips, rows)
    # All chosen clips in one batch, so that mixup mixes them as in training.
    fit = msgspec.structs.replace(config.fit, batch_size=len(chosen), windows_per_clip=1)
    config = msgspec.structs.replace(config, labels=labels_of(list(clips)), fit=fit)
    with tempfile.TemporaryDirectory() as nowhere:
        run = Run(Path(nowhere), config)
        unreadable = run.cache().fill(chosen)
        left = [clip for clip in chosen if clip.path not in unreadable]
        if not left:
            raise DatasetError(f"none of the {len(chosen)} clips can be read: {next(iter(unreadable.values()))}")
        windows, truth = next(iter(Batches(run, left).epoch(1)))
    what = words_of(config.augment)
    drawn = [
        SheetRow(f"{_label(scores, config.labels)}: {what}", *_pictures(window, config.network.input))
        for window, scores in zip(windows, truth, strict=True)
    ]
    width = 2 * SIDE if config.network.input == "rgb+flow" else SIDE
    write_sheet(path, _title(config), drawn, width=width, height=SIDE)
    return len(drawn)


def in_turn(clips: Sequence[Clip], count: int) -> list[Clip]:
    """Return at most `count` clips: one of each class, then another of each, evenly spread over the class."""
    of = {label: [clip for clip in clips if clip.label == label] for label in labels_of(list(clips))}
    each = -(-count // len(of))
    takes = {label: min(each, len(some)) for label, some in of.items()}
    spread = [[some[n * len(some) // takes[label]] for n in range(takes[label])] for label, some in of.items()]
    return [one[n] for n in range(each) for one in spread if n < len(one)][:count]


def words_of(settings: AugmentSettings) -> str:
    """Return the possible changes, with their amounts."""
    if not settings.on:
        return "no augmentation"
    values: dict[str, Any] = msgspec.structs.asdict(settings)
    del values["on"]
    words = [name if value is True else f"{name} {value:g}" for name, value in values.items() if value]
    return ", ".join(words).replace("_", " ") or "no augmentation"


def _title(config: RunConfig) -> str:
    network, words = config.network, config.frame_order.words
    return (
        f"{network.input} {network.size}x{network.size} ({config.data.crop}), {network.sampling} {network.window} "
        f"frames at {network.rate_hz:g} Hz{', ' * bool(words)}{words}, seed {config.split.seed}"
    )


def _label(scores: npt.NDArray[np.float32], labels: Sequence[str]) -> str:
    """Return the label of a window, or the shares of several labels with mixup."""
    parts = [(float(share), label) for share, label in zip(scores, labels, strict=True) if share > 0]
    return parts[0][1] if len(parts) == 1 else " + ".join(f"{share:.2f} {label}" for share, label in parts)


def _pictures(window: npt.NDArray[np.float32], kind: str) -> tuple[list[npt.NDArray[np.uint8]], list[str]]:
    """Return some frames of a window of network input as BGR pictures, and their numbers."""
    numbers = np.unique(np.linspace(0, len(window) - 1, min(SHOWN_FRAMES, len(window))).round().astype(int)).tolist()
    return [_picture(window[number], kind) for number in numbers], [str(number + 1) for number in numbers]


def _picture(frame: npt.NDArray[np.float32], kind: str) -> npt.NDArray[np.uint8]:
    """Draw one frame of network input `(height, width, channels)`: colors as they are, differences around gray."""
    if kind == "rgb+flow":
        return np.concatenate([_picture(frame[..., :3], "rgb"), _picture(frame[..., 3:], "flow")], axis=1)
    if kind == "rgb":
        shown = frame * 255
    elif kind == "flow":
        shown = 128 + _FLOW_GAIN * 127 * np.concatenate([frame, np.zeros_like(frame[..., :1])], axis=-1)
    else:
        shown = 128 + 127 * frame
    return np.ascontiguousarray(np.clip(np.rint(shown), 0, 255).astype(np.uint8)[..., ::-1])
