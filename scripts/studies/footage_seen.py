"""What the studies of teaching share: recordings as an encoder sees them, bundles of runs, and lessons accepted anyway.

A recording is decoded and encoded once; any head of the same encoder then answers.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import math
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import numpy as np

from edgehar import Classifier, ModelBundle, open_source
from edgehar.model.bundle import write_bundle
from edgehar.model.remembered import REMEMBERED_FILE
from edgehar.teaching.verdict import Verdict
from edgehar_training.alarms.watching import Watched

if TYPE_CHECKING:
    import numpy.typing as npt

    from edgehar.model.network import Network


@dataclasses.dataclass(frozen=True)
class Seen:
    """A recording as an encoder sees it.

    Attributes:
        features: int8 `(frames, features)`.
        times_s: of the frames, from the start of the recording.
        ends: index of the last frame of the window of each answer.
    """

    features: npt.NDArray[np.int8]
    times_s: npt.NDArray[np.float64]
    ends: npt.NDArray[np.intp]

    @property
    def length_s(self) -> float:
        """Time of the last frame."""
        return float(self.times_s[-1])

    def watched(self, network: Network, since_s: float = 0.0) -> Watched:
        """Return the answers of a network's head to windows that begin at `since_s` or later; times count from it."""
        window, labels = network.bundle.manifest.temporal.window, network.bundle.manifest.labels
        seam = network.head.output_quantization
        rows = np.maximum(self.ends[:, None] + np.arange(1 - window, 1), 0)
        rows = rows[self.times_s[rows[:, 0]] >= since_s]
        raw = np.stack([network.head.run(self.features[own]).reshape(-1) for own in rows])
        scores = (raw.astype(np.float64) - seam.zero_point) * seam.scale
        return Watched(tuple(labels), self.times_s[rows[:, 0]] - since_s, self.times_s[rows[:, -1]] - since_s, scores)


def see(network: Network, recording: str, folder: Path) -> Seen:
    """Return the features of a recording, as `edgehar-run` makes them; from the folder if they are there."""
    manifest = network.bundle.manifest
    word = f"{manifest.files['encoder.tflite']} {manifest.temporal} {manifest.input} {recording}"
    path = folder / f"{hashlib.sha256(word.encode()).hexdigest()[:24]}.npz"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with path.with_suffix(".tmp").open("wb") as file:
            np.savez(file, **_encoded(network, recording))
        path.with_suffix(".tmp").replace(path)
    with np.load(path) as stored:
        return Seen(stored["features"], stored["times_s"], stored["ends"])


def _encoded(network: Network, recording: str) -> dict[str, npt.NDArray[Any]]:
    features, times_s, ends = list[Any](), list[float](), list[int]()
    classifier, first_s = Classifier(network), math.nan
    with open_source(recording, target_size=network.bundle.manifest.input.source_size) as video:
        for frame in video:
            before = classifier.frames_seen
            answer = classifier.push(frame)
            if classifier.frames_seen != before:
                first_s = frame.captured_s if math.isnan(first_s) else first_s
                features.append(classifier.features()[-1].copy())
                times_s.append(frame.captured_s - first_s)
            if answer is not None:
                ends.append(len(features) - 1)
    # A clip that is shorter than a window gets one answer.
    return {
        "features": np.stack(features),
        "times_s": np.array(times_s),
        "ends": np.array(ends or [len(features) - 1]),
    }


def converted(run: Path, out: Path, *options: str, memory: bool = True) -> ModelBundle:
    """Return the bundle of a run, made by `edgehar-convert` unless it is there, with or without remembered windows."""
    if not out.exists():
        out.parent.mkdir(parents=True, exist_ok=True)
        command = [str(Path(sys.executable).with_name("edgehar-convert")), str(run), "--out", str(out), *options]
        subprocess.run(command, check=True)
    bundle = ModelBundle.open(out)
    if memory:
        return bundle
    bare = out.with_name(f"{out.stem}-no-memory.edgehar")
    files = {name: content for name, content in bundle.files.items() if name not in ("labels.txt", REMEMBERED_FILE)}
    write_bundle(bare, bundle.manifest, files)
    return ModelBundle.open(bare)


def accepting(*, asked: bool) -> contextlib.AbstractContextManager[Any]:
    """Within it, if asked, `teach` also writes heads that are not better; it still refuses those that forget much."""
    return patch.object(Verdict, "problem", property(_forgets)) if asked else contextlib.nullcontext()


def _forgets(verdict: Verdict) -> str | None:
    return "it forgets too much" if any(kept.forgotten for kept in (verdict.kept or {}).values()) else None
