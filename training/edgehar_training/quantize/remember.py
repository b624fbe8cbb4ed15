"""Choose the training windows that a bundle remembers: spread over groups, as the int8 files see them."""

from __future__ import annotations

import hashlib
import logging
from typing import TYPE_CHECKING

import numpy as np

from edgehar.errors import BundleError
from edgehar.model.interpreter import TfliteModel
from edgehar.model.remembered import RememberedWindows, codes_of, windows_a_label
from edgehar.teaching.features import Probe
from edgehar.teaching.head import STATISTICS
from edgehar_training.data.sampling import window_starts

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    import numpy.typing as npt

    from edgehar_training.data.datasets import Clip
    from edgehar_training.quantize.child import Int8Files
    from edgehar_training.runs.run import Run

log = logging.getLogger(__name__)


def remembered(run: Run, int8: Int8Files, background: Collection[str]) -> bytes | None:
    """Return the file of remembered training windows of every action (`edgehar.model.remembered`).

    Args:
        run: gives the training clips.
        int8: encoder and head of the bundle.
        background: labels that are not actions; their windows are not remembered.

    Returns:
        None if there is no window to remember, or `edgehar teach` cannot take the head apart.

    Raises:
        EdgeharError: a clip cannot be read.
    """
    labels = run.config.labels
    actions = [label for label in labels if label not in background]
    encoder = TfliteModel(int8.encoder, name="encoder.tflite")
    columns = STATISTICS * encoder.output_shape[-1]
    most = windows_a_label(len(labels), len(actions), columns)
    try:
        probe = Probe(int8.head, "head.tflite", len(labels))
    except BundleError as error:
        log.warning("no training windows are remembered: %s", error)
        return None
    rows, truth = [], []
    for label in actions:
        for frames in _spread([clip for clip in run.clips("train") if clip.label == label], run, most):
            rows.append(np.stack([encoder.run(frame).reshape(-1) for frame in frames]))
            truth.append(labels.index(label))
    if not rows:
        return None
    logits, pooled = probe.run(np.stack(rows))
    order = np.argsort(truth, kind="stable")
    return RememberedWindows(
        hashlib.sha256(int8.head).hexdigest(),
        tuple(labels),
        np.array(truth, np.intp)[order],
        logits.astype(np.float32)[order],
        codes_of(pooled, encoder.output_quantization)[order],
    ).pack()


def _spread(clips: list[Clip], run: Run, most: int) -> Iterator[npt.NDArray[np.int8]]:
    """Yield the middle window of up to `most` clips, taking turns between groups, which are in a random order."""
    groups: dict[str, list[Clip]] = {}
    for clip in clips:
        groups.setdefault(clip.group, []).append(clip)
    names = sorted(groups)
    names = [names[number] for number in np.random.default_rng(run.config.split.seed).permutation(len(names))]
    turns = range(max((len(group) for group in groups.values()), default=0))
    chosen = [groups[name][turn] for turn in turns for name in names if turn < len(groups[name])][:most]
    for clip in chosen:
        stream, network = run.stream(clip), run.config.network
        starts = window_starts(len(stream), network.window, 1, network.lead_in)
        start = starts[len(starts) // 2]
        yield stream[start : start + network.window]
