"""Evaluate the history of a camera: how long it was watched, and the events at other thresholds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgehar.errors import ConfigError
from edgehar.events.decider import Decider
from edgehar.events.options import DecisionOptions
from edgehar.records import Prediction, TimingMs, Window
from edgehar.sinks.spool.options import folder_beside_queues
from edgehar.teaching.score_log import Scan, day_files, read_blocks

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from edgehar.model.manifest import Manifest
    from edgehar.teaching.options import HistoryOptions
    from edgehar.teaching.score_log import Block

_NO_TIME = TimingMs(0.0, 0.0, 0.0)


def history_folder(options: HistoryOptions, spool_directory: str | None) -> Path:
    """Return the folder of all cameras' histories.

    Raises:
        ConfigError: none is set, and there is no home folder.
    """
    return folder_beside_queues(options.directory, spool_directory, "history")


@dataclass(frozen=True)
class CameraHistory:
    """The history of one camera.

    Attributes:
        folder: its folder.
        blocks: answers without a gap, in the order they were written.
        damaged: stretches of the files that could not be read.
        bytes: size of the files.
    """

    folder: Path
    blocks: list[Block]
    damaged: int
    bytes: int

    @property
    def seconds(self) -> float:
        """Time watched."""
        return sum(block.seconds for block in self.blocks)

    @property
    def answers(self) -> int:
        """The number of answers."""
        return sum(len(block.codes) for block in self.blocks)

    def of_model(self, manifest: Manifest) -> CameraHistory:
        """Return the blocks that were answered by the head of this manifest."""
        head = manifest.files["head.tflite"][:8]
        return CameraHistory(self.folder, [b for b in self.blocks if b.head == head], self.damaged, self.bytes)


def read_histories(folder: Path, since_ms: int = 0) -> Iterator[CameraHistory]:
    """Read the history of every camera below a folder, answers since a time in milliseconds since 1970 UTC.

    Raises:
        ConfigError: there is no history.
    """
    folders = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    if not any(day_files(path) for path in folders):
        raise ConfigError(f"{folder}: holds no history; set enabled = true under [history] and let edgehar-run watch")
    for camera in folders:
        scan, size = Scan(), 0
        blocks: list[Block] = []
        for path in day_files(camera):
            size += path.stat().st_size
            blocks += [block for block in read_blocks(path, scan) if block.started_ms >= since_ms]
        yield CameraHistory(camera, blocks, scan.damaged, size)


@dataclass(frozen=True)
class Series:
    """Scores as the model's rules smooth them.

    Attributes:
        steps_s: time watched before each answer, in seconds, float `(answers,)`; 0 where a block begins.
        times_s: wall clock of each answer, in seconds since 1970 UTC, float `(answers,)`.
        scores: smoothed score of each label, float `(answers, labels)`.
    """

    steps_s: npt.NDArray[np.float64]
    times_s: npt.NDArray[np.float64]
    scores: npt.NDArray[np.float64]


def smoothed(blocks: Sequence[Block], manifest: Manifest) -> Series:
    """Smooth the scores of one model's blocks by the rules of its manifest, as `edgehar-run` did."""
    labels = manifest.labels
    decider = Decider(labels, DecisionOptions(threshold=1.0), manifest.decision)
    steps, times, rows, now_s = [], [], [], 0.0
    for block in blocks:
        decider.finish()
        for step_ms, time_s, scores in zip(
            block.steps_ms.tolist(), block.times_s.tolist(), block.scores.tolist(), strict=True
        ):
            now_s += step_ms / 1e3
            asked = dict(zip(labels, scores, strict=True))
            window = Window(manifest.temporal.window, now_s, now_s)
            prediction = Prediction(0, "", "", manifest.name, labels[0], 0.0, asked, window, 0.0, _NO_TIME, 0, True)
            decided, _ = decider.update(prediction)
            steps.append(step_ms / 1e3)
            times.append(time_s)
            rows.append([decided.scores[label] for label in labels])
        now_s += 1.0
    return Series(np.array(steps), np.array(times), np.array(rows).reshape(-1, len(labels)))
