"""Classification of one file of an archive, in a process or actor that keeps the network loaded."""

from __future__ import annotations

import enum
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from edgehar._version import __version__
from edgehar.batch.stores import StoreUnreachableError, is_stored, local_copy
from edgehar.batch.table import RowWriter
from edgehar.errors import EdgeharError, SourceError
from edgehar.events.decider import Decider
from edgehar.model.classifier import Classifier
from edgehar.model.network import Network
from edgehar.sources import open_source

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgehar.batch.listing import BatchFile
    from edgehar.events.options import DecisionOptions
    from edgehar.frames import Frame
    from edgehar.model.bundle import ModelBundle
    from edgehar.records import Event, Prediction

# Time between two reports about a file in progress, in seconds.
_REPORT_S = 1.0


@dataclass(frozen=True)
class ClipJob:
    """Options of classifying files; the same for every file of a batch.

    Attributes:
        bundle: the model, which need not exist as a file where the worker runs.
        model_sha256: hash of the bundle's file; part of the event ids.
        decision: rules of events, over those of the model.
        every_s: seconds of video between two rows of predictions; 0 for all predictions.
        events_only: whether to leave predictions out of the rows.
    """

    bundle: ModelBundle
    model_sha256: str
    decision: DecisionOptions
    every_s: float = 0.0
    events_only: bool = False


class ClipStatus(enum.StrEnum):
    """The result of a file.

    Attributes:
        DONE: it was classified to its end.
        DAMAGED: it cannot be read, or only a part of it.
        CRASHED: it ended its process, or no frame came for too long.
    """

    DONE = "done"
    DAMAGED = "damaged"
    CRASHED = "crashed"


class Outcome(msgspec.Struct, frozen=True):
    """Counts of one file, and whether it was classified.

    Attributes:
        source: name of the file.
        status: whether it was classified.
        error: the reason, if it was not.
        frames: frames decoded.
        damaged_frames: frames left out because they were damaged.
        video_s: time of the last frame in the file, in seconds.
        predictions: predictions made, stored or not.
        events: events found.
        labels: number of predictions of each label, as decided.
        seconds: wall time spent on it.
        rows: rows in the table.
        stamp: `BatchFile.stamp` when the batch began with it.
    """

    source: str
    status: ClipStatus = ClipStatus.DONE
    error: str = ""
    frames: int = 0
    damaged_frames: int = 0
    video_s: float = 0.0
    predictions: int = 0
    events: int = 0
    labels: dict[str, int] = {}
    seconds: float = 0.0
    rows: int = 0
    stamp: str = ""


@dataclass(frozen=True)
class Reply:
    """Answer of a worker.

    Attributes:
        outcome: counts of the file.
        rows: its rows, as an Arrow stream.
        missing: whether the file does not exist where the worker runs, or its store cannot be reached from there.
    """

    outcome: Outcome
    rows: bytes = b""
    missing: bool = False


class ClipWorker:
    """Classifies one file after the other. Holds one frame, one window, and the compressed rows of a file."""

    def __init__(self, job: ClipJob) -> None:
        """Load the network.

        Raises:
            BundleError: the model cannot be used.
            RuntimeUnavailableError: no TFLite runtime is installed here.
        """
        self.version = __version__
        self._job = job
        self._network = Network(job.bundle)

    def classify(self, file: BatchFile, on_progress: Callable[[], object] = lambda: None) -> Reply:
        """Classify a file.

        Args:
            file: the file.
            on_progress: called at most once a second while frames arrive.

        Returns:
            The rows and the outcome. A file that cannot be read is an outcome too; what was found before the damage is
            kept.
        """
        clip = _Clip(self._job, self._network, file.name)
        started_s, error, missing = time.monotonic(), "", False
        try:
            if is_stored(file.address):
                clip.read_stored(file.address, on_progress)
            else:
                clip.read(file.address, on_progress)
        except (EdgeharError, OSError, RuntimeError, ValueError) as reason:
            error = str(reason)
            missing = file.is_missing or isinstance(reason, StoreUnreachableError)
        return Reply(*clip.finish(error, time.monotonic() - started_s), missing=missing)


class _Clip:
    """One file on its way through the classifier and the decider into rows."""

    def __init__(self, job: ClipJob, network: Network, name: str) -> None:
        manifest = job.bundle.manifest
        self._job, self._name = job, name
        self._classifier = Classifier(network, source_name=name)
        self._decider = Decider(manifest.labels, job.decision, manifest.decision, new_id=self._new_id, utc=lambda: "")
        self._writer = RowWriter(manifest.labels)
        self._labels: dict[str, int] = {}
        self._predictions = self._frames = self._damaged = self._events = 0
        self._video_s = 0.0
        self._next_row_s = float("-inf")

    def read_stored(self, address: str, on_progress: Callable[[], object]) -> None:
        """Read a copy of an object of a store; raises as `read`."""
        with local_copy(address, on_progress) as path:
            try:
                self.read(path, on_progress)
            except EdgeharError as error:
                raise SourceError(str(error).replace(path, self._name)) from None

    def read(self, address: str, on_progress: Callable[[], object]) -> None:
        """Read the file to its end. Raises SourceError if that fails, after writing what came before."""
        reported_s = time.monotonic()
        with open_source(address) as source:
            if source.live:
                raise SourceError(f"{self._name}: a live source does not end; batch classifies files")
            try:
                for frame in source:
                    self._push(frame)
                    if time.monotonic() - reported_s >= _REPORT_S:
                        on_progress()
                        reported_s = time.monotonic()
                if (prediction := self._classifier.flush()) is not None:
                    self._take(prediction)
            finally:
                self._damaged = source.damaged
                self._write_ended(self._decider.finish())
        if not self._frames:
            raise SourceError(f"{self._name}: contains no frames")

    def finish(self, error: str, seconds: float) -> tuple[Outcome, bytes]:
        """Free the classifier; returns the counts and the rows."""
        self._classifier.close()
        rows, count = self._writer.finish()
        outcome = Outcome(
            source=self._name,
            status=ClipStatus.DAMAGED if error else ClipStatus.DONE,
            error=error,
            frames=self._frames,
            damaged_frames=self._damaged,
            video_s=self._video_s,
            predictions=self._predictions,
            events=self._events,
            labels=self._labels,
            seconds=round(seconds, 3),
            rows=count,
        )
        return outcome, rows

    def _push(self, frame: Frame) -> None:
        if frame.cut:
            self._write_ended(self._decider.finish())
        self._frames += 1
        self._video_s = frame.captured_s
        if (prediction := self._classifier.push(frame)) is not None:
            self._take(prediction)

    def _take(self, prediction: Prediction) -> None:
        prediction, events = self._decider.update(prediction)
        self._predictions += 1
        self._labels[prediction.label] = self._labels.get(prediction.label, 0) + 1
        self._write_ended(events)
        if self._job.events_only or prediction.window.end_s < self._next_row_s - 1e-6:
            return
        self._next_row_s = prediction.window.end_s + self._job.every_s
        self._writer.add_prediction(prediction)

    def _write_ended(self, events: list[Event]) -> None:
        """Write a row for each event that has ended."""
        for event in events:
            if event.phase == "end":
                self._writer.add_event(event)

    def _new_id(self) -> str:
        # Not random, so that the same files give the same table however often and wherever they are classified.
        self._events += 1
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"edgehar:{self._job.model_sha256}/{self._name}#{self._events}"))
