"""Show recordings to a bundle once, as `edgehar-run` does, and keep the scores: rules are then tried in no time."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from edgehar import Classifier, open_source
from edgehar.errors import SourceError
from edgehar.files import whole_file
from edgehar.model.bundle import ModelBundle
from edgehar.records import Prediction, TimingMs, Window
from edgehar_training.data.contents import Contents
from edgehar_training.data.filling import CacheJob
from edgehar_training.data.frames_cache import KERNEL, LOOKS

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from edgehar_training.data.datasets import Clip

_NO_RAW = np.zeros(0, np.int8)
_NO_TIME = TimingMs(0.0, 0.0, 0.0)


@dataclasses.dataclass(frozen=True, eq=False)
class Watched:
    """The scores of a recording.

    Attributes:
        labels: the classes, in the order of the scores.
        start_s: capture time of the first frame of each window, float64 `(n,)`, from the start of the recording.
        end_s: the same of the last frame.
        scores: float64 `(n, classes)`.
    """

    labels: tuple[str, ...]
    start_s: npt.NDArray[np.float64]
    end_s: npt.NDArray[np.float64]
    scores: npt.NDArray[np.float64]

    @property
    def length_s(self) -> float:
        """Seconds that were watched."""
        return float(self.end_s[-1])

    @functools.cached_property
    def predictions(self) -> list[Prediction]:
        """The predictions, for a decider."""
        rows = zip(self.start_s.tolist(), self.end_s.tolist(), self.scores.tolist(), strict=True)
        return [prediction_of(self.labels, scores, start_s, end_s) for start_s, end_s, scores in rows]


def prediction_of(labels: Sequence[str], scores: Sequence[float], start_s: float, end_s: float) -> Prediction:
    """Return a prediction with these scores, and nothing that a decider does not look at."""
    best = max(range(len(labels)), key=scores.__getitem__)
    return Prediction(
        seq=0,
        time="",
        source="",
        model="",
        label=labels[best],
        score=scores[best],
        scores=dict(zip(labels, scores, strict=True)),
        window=Window(0, start_s, end_s),
        frame_age_ms=0.0,
        timing_ms=_NO_TIME,
        dropped=0,
        rate_ok=True,
    ).with_raw(_NO_RAW)


class ScoreCache:
    """Scores of recordings by one bundle, kept in a folder; a cache as `edgehar_training.data.filling` fills it.

    An entry depends on the content of the recording, on the networks and the input of the bundle, and on the hop. Its
    name, its card and its rules of decision make no difference.
    """

    made = "scored"

    def __init__(self, folder: Path, model: Path, hop: int | None = None) -> None:
        """Open the cache of a bundle.

        Args:
            folder: where scores are kept; created when needed.
            model: the bundle.
            hop: frames between answers; the bundle's own when None.

        Raises:
            BundleError: the bundle cannot be used.
        """
        self.bundle = ModelBundle.open(model)
        self._folder, self._contents = folder, Contents(folder)
        self._hop = self.bundle.manifest.temporal.hop if hop is None else hop
        self._classifier: Classifier | None = None

    @property
    def period_s(self) -> float:
        """Seconds from one answer to the next."""
        return self._hop / self.bundle.manifest.temporal.rate_hz

    def has(self, clip: Clip) -> bool:
        """Whether a recording's scores are there; its file is not read to find out."""
        word = self._contents.known(clip.path)
        return word is not None and self._path_of(word).exists()

    def make_missing(self, clip: Clip) -> int:
        """Score a recording unless its scores are there; returns the number of its frames, 0 if they were.

        Raises:
            SourceError: it cannot be read.
            OSError: the folder cannot be written.
        """
        path = self._path(clip.path)
        return 0 if path.exists() else self._make(clip.path, path)

    def load(self, clip: Clip) -> Watched:
        """Return the scores of a recording; it is scored now if they are not there, or damaged.

        Raises:
            SourceError: it cannot be read.
            OSError: the folder cannot be written.
        """
        path = self._path(clip.path)
        for attempt in range(2):
            if attempt or not path.exists():
                self._make(clip.path, path)
            try:
                with np.load(path, allow_pickle=False) as stored:
                    labels = tuple(self.bundle.manifest.labels)
                    return Watched(labels, stored["start_s"], stored["end_s"], stored["scores"])
            except (ValueError, KeyError, EOFError, zipfile.BadZipFile):
                continue
        raise SourceError(f"{path}: its scores cannot be read back; check the disk")

    def job(self) -> CacheJob:
        """Return what another process needs to open the same cache."""
        return CacheJob(
            f"{__name__}:open_cache",
            {"folder": str(self._folder), "model": str(self.bundle.path.resolve()), "hop": self._hop},
        )

    def close(self) -> None:
        """Free the networks."""
        if self._classifier is not None:
            self._classifier.close()
            self._classifier = None

    @functools.cached_property
    def _model_word(self) -> str:
        manifest = self.bundle.manifest
        networks = {name: manifest.files[name] for name in ("encoder.tflite", "head.tflite")}
        seen = [manifest.input, manifest.temporal, manifest.quantization, manifest.labels]
        identity = [networks, *(msgspec.to_builtins(part) for part in seen), self._hop, KERNEL, LOOKS]
        return json.dumps(identity, sort_keys=True)

    def _path(self, source: str) -> Path:
        try:
            return self._path_of(self._contents.word(source))
        except OSError as error:
            if error.filename is not None and Path(error.filename).parent == self._folder:
                raise
            raise SourceError(f"{source}: cannot be read: {error.strerror or error}") from error

    def _path_of(self, word: str) -> Path:
        digest = hashlib.sha256(json.dumps([word, self._model_word]).encode()).hexdigest()
        return self._folder / f"{digest[:32]}.npz"

    def _make(self, source: str, path: Path) -> int:
        answers, frames = self._watch(source)
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as temporary, temporary.open("wb") as file:
            np.savez(
                file,
                start_s=np.array([answer.window.start_s for answer in answers]),
                end_s=np.array([answer.window.end_s for answer in answers]),
                scores=np.array([list(answer.scores.values()) for answer in answers]),
            )
        return frames

    def _watch(self, source: str) -> tuple[list[Prediction], int]:
        if self._classifier is None:
            self._classifier = Classifier(self.bundle, hop=self._hop)
        classifier = self._classifier
        classifier.reset()
        answers, frames = [], 0
        with open_source(source, target_size=self.bundle.manifest.input.source_size) as video:
            for frame in video:
                frames += 1
                if (answer := classifier.push(frame)) is not None:
                    answers.append(answer)
        if (last := classifier.flush()) is not None:
            answers.append(last)
        if not answers:
            raise SourceError(f"{source}: holds no frame")
        return answers, frames


def open_cache(folder: str, model: str, hop: int) -> ScoreCache:
    """Open the cache of a `CacheJob`, in a worker process."""
    return ScoreCache(Path(folder), Path(model), hop)
