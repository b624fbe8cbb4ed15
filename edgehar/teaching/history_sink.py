"""Writes every answer's scores to the history on disk."""

from __future__ import annotations

import datetime
import logging
import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edgehar.records import Prediction
from edgehar.sinks.base import Sink
from edgehar.teaching.score_log import BlockBuilder, day_file, folder_name, prune

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from edgehar.model.manifest import Manifest
    from edgehar.records import Record
    from edgehar.teaching.options import HistoryOptions

_log = logging.getLogger(__name__)


@dataclass
class _Camera:
    """The state of one camera's history.

    Attributes:
        folder: where its files are.
        builder: the answers that are not written yet.
        head: the first digits of the head's SHA-256.
        day: the file that was written last.
    """

    folder: Path
    builder: BlockBuilder
    head: str
    day: Path | None = field(default=None)


class HistorySink(Sink):
    """Keeps the scores of every answer, some bytes each, in blocks that are appended to one file for each day.

    A disk that fails or is full costs history and nothing else: the loss is counted, and logged once.

    Attributes:
        dropped: answers that could not be written.
    """

    name = "history"
    essential = False

    def __init__(
        self,
        folder: Path,
        options: HistoryOptions,
        models: Mapping[str, Manifest],
        *,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        """Create a sink; nothing is written before the first block is full.

        Args:
            folder: where the folders of the cameras go.
            options: how long history is kept.
            models: manifests by the first eight digits of the SHA-256 of their head; may grow during the run.
            now_s: the wall clock, in seconds since 1970 UTC.
        """
        self._folder, self._options, self._models, self._now_s = folder, options, models, now_s
        self._cameras: dict[str, _Camera] = {}
        self.dropped = 0
        self._in_trouble = False

    def write(self, record: Record) -> None:
        """Add an answer; never raises for what the disk does."""
        if not isinstance(record, Prediction) or record.raw is None or record.head not in self._models:
            return
        camera = self._cameras.get(record.source)
        if camera is None or camera.head != record.head:
            camera = self._new_camera(record.source, record.head)
        unix_ms = round(self._now_s() * 1e3)
        if not camera.builder.fits(record.window.end_s, unix_ms):
            self._flush(camera)
        camera.builder.add(record.window.end_s, unix_ms, record.raw)

    def close(self) -> None:
        """Write what is held back."""
        for camera in self._cameras.values():
            self._flush(camera)
        if self.dropped:
            _log.warning("history: %d answers were not written", self.dropped)

    def _new_camera(self, source: str, head: str) -> _Camera:
        if source in self._cameras:
            # Another head has taken over.
            self._flush(self._cameras[source])
        manifest = self._models[head]
        output = manifest.quantization.output
        builder = BlockBuilder(manifest.name, head, tuple(manifest.labels), output.scale, output.zero_point)
        camera = self._cameras[source] = _Camera(self._folder / folder_name(source), builder, head)
        return camera

    def _flush(self, camera: _Camera) -> None:
        count = len(camera.builder)
        block = camera.builder.take()
        if block is None:
            return
        path = day_file(camera.folder, block.started_ms)
        try:
            if path != camera.day:
                self._begin_day(camera, path)
            _append(path, block.encode())
        except OSError as error:
            self.dropped += count
            if not self._in_trouble:
                _log.warning("%s: cannot be written: %s; scores are left out of the history", path, error.strerror)
            self._in_trouble = True
        else:
            if self._in_trouble:
                _log.info("%s: writing again; %d answers were left out of the history", path, self.dropped)
            self._in_trouble = False

    def _begin_day(self, camera: _Camera, path: Path) -> None:
        camera.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        today = datetime.datetime.fromtimestamp(self._now_s(), datetime.UTC).date()
        prune(camera.folder, keep_days=self._options.keep_days, max_bytes=int(self._options.max_mb * 1e6), today=today)
        camera.day = path


def _append(path: Path, content: bytes) -> None:
    """Append a block in one write; a part of it that fitted on a full disk is cut off again."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        size = os.fstat(descriptor).st_size
        if os.write(descriptor, content) < len(content):
            os.ftruncate(descriptor, size)
            raise OSError(28, os.strerror(28), str(path))
    finally:
        os.close(descriptor)
