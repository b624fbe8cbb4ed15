"""The weight that a network with attention gives each frame of a window."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgehar_training.runs.run import load_run

if TYPE_CHECKING:
    from pathlib import Path

    from edgehar_training.evaluation.scored import ScoredClip, ScoredClips

CLIPS = 6
WINDOWS = 16


def mean_attention(folder: Path, scored: ScoredClips, hop: int) -> list[tuple[str, list[float]]]:
    """Return the weight of each frame of a window, averaged over a clip, for one clip of each of a few labels.

    Args:
        folder: folder of the run.
        scored: the scored clips.
        hop: frames between windows.

    Returns:
        Name and weights `(window,)` of each clip; empty if the network has no attention.
    """
    from edgehar_training.models.temporal import attention_weights, has_attention

    run = load_run(folder)
    model = run.model()
    if not has_attention(model):
        return []
    found = []
    for row in _one_of_each_label(scored)[:CLIPS]:
        windows = run.windows_of(row.clip, hop)[:WINDOWS]
        weights = attention_weights(model, windows).mean(axis=0)
        found.append((f"{row.clip.label}: {row.name}", [float(weight) for weight in weights]))
    return found


def _one_of_each_label(scored: ScoredClips) -> list[ScoredClip]:
    first: dict[str, ScoredClip] = {}
    for row in scored.rows:
        first.setdefault(row.clip.label, row)
    return list(first.values())
