"""Counts of the events that other thresholds would have started: from the history, else from recorded events."""

from __future__ import annotations

import asyncio
import datetime
import subprocess
import time
from typing import TYPE_CHECKING

import msgspec

from edgehar.teaching.firing import THRESHOLDS, Fired, Firings, Question
from edgehar.teaching.score_log import day_files, folder_name
from edgehar.web.answers import ThresholdCounts
from edgehar.web.recordings import LabelPeaks

if TYPE_CHECKING:
    from edgehar.web.camera import WebCamera
    from edgehar.web.services import Services

# Counting a week takes seconds of a processor, so its result is used for a while.
_KEPT_S = 300.0


async def threshold_counts(services: Services, camera: WebCamera) -> ThresholdCounts:
    """Count what each threshold of a camera would have done."""
    firings = await _from_history(services, camera)
    if firings is not None:
        return ThresholdCounts("history", firings.day_s, firings.week_s, firings.labels)
    if services.recordings is None:
        return ThresholdCounts("none", None, None, {})
    now = datetime.datetime.now(datetime.UTC)
    loop = asyncio.get_running_loop()
    async with services.reading:
        found = await loop.run_in_executor(services.executor, services.recordings.peaks, camera.key, now)
    labels = {label: _of_peaks(found.get(label, LabelPeaks())) for label in camera.actions}
    return ThresholdCounts("recordings", None, None, labels)


async def _from_history(services: Services, camera: WebCamera) -> Firings | None:
    """Return the counts from the history; None if there is none of this model."""
    counter, folder = services.parts.tools.counter, services.parts.history
    if counter is None or folder is None:
        return None
    folder /= folder_name(camera.name)
    manifest = camera.manifest
    question = Question(str(folder), manifest.files["head.tflite"][:8], manifest.labels, camera.rules(), 0.0)
    async with services.counting:
        key, now_s = msgspec.json.encode(question), time.monotonic()
        for old in [old for old, (at_s, _) in services.counts.items() if now_s - at_s > _KEPT_S]:
            del services.counts[old]
        if key not in services.counts:
            asked = msgspec.structs.replace(question, now_s=time.time())
            loop = asyncio.get_running_loop()
            if not await loop.run_in_executor(services.executor, day_files, folder):
                return None
            try:
                said = await loop.run_in_executor(services.executor, counter.count, msgspec.json.encode(asked))
                services.counts[key] = (now_s, msgspec.json.decode(said, type=Firings))
            except (OSError, subprocess.SubprocessError, msgspec.MsgspecError):
                return None
        firings = services.counts[key][1]
    return firings if firings.week_s > 0 else None


def _of_peaks(peaks: LabelPeaks) -> Fired:
    def counts(scores: list[float]) -> list[int]:
        return [sum(score >= threshold for score in scores) for threshold in THRESHOLDS]

    return Fired(counts(peaks.day), counts(peaks.week))
