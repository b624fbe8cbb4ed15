"""Writes the clips, pictures and sidecars of all cameras, on one thread. No disk ever delays a frame."""

from __future__ import annotations

import contextlib
import logging
import math
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from edgehar.errors import ConfigError, SinkError
from edgehar.recording.camera import CameraRecorder
from edgehar.recording.clip import ClipInProgress
from edgehar.recording.recovery import recover
from edgehar.recording.retention import prune
from edgehar.recording.seal import Sealer
from edgehar.recording.store import Store, make_folder

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgehar.masks import View
    from edgehar.recording.chain import Line
    from edgehar.recording.options import RecordOptions
    from edgehar.recording.sidecar import Model
    from edgehar.records import Event

_log = logging.getLogger(__name__)

# How often packets of running clips are written.
_WRITE_EVERY_S = 0.25
# How often the bounds of the folder are checked.
_PRUNE_EVERY_S = 60.0
# How long recording pauses when the disk fails or is full.
_PAUSE_S = 15.0


class Recorder:
    """Records the events of some cameras into one folder.

    Attributes:
        folder: the folder.
        on_recorded: called by the recorder's thread with the ledger's line of each finished recording, and the latest
            record of its event.
        recorded: recordings finished so far.
        failed: recordings that were given up, wholly or in part, because the disk failed.
    """

    def __init__(self, options: RecordOptions, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Open the folder, finish what an earlier process left behind, and start the thread.

        Args:
            options: what to record, and where to.
            clock: monotonic seconds.

        Raises:
            ConfigError: the folder or a key cannot be used.
        """
        if options.directory is None:
            raise ConfigError("record: directory is not set; name a folder for the clips")
        self.on_recorded: Callable[[Line, Event], object] = lambda *_: None
        self.recorded = self.failed = 0
        self.folder = Path(options.directory).expanduser().resolve()
        self._options, self._clock = options, clock
        self._store = Store(self.folder, Sealer(options.seal_to) if options.seal_to else None)
        try:
            recover(self._store)
        except OSError as error:
            self._store.close()
            raise ConfigError(f"record: {self.folder}: cannot be read or written: {error.strerror}") from error
        self._cameras: list[CameraRecorder] = []
        self._clips: list[ClipInProgress] = []
        self._changed = threading.Condition()
        self._news = self._closing = False
        self._paused_until_s = -math.inf
        self._prune_s = -math.inf
        self._trouble: str | None = None
        self._thread = threading.Thread(target=self._work, name="edgehar-recorder", daemon=True)
        self._thread.start()

    @property
    def accepts(self) -> bool:
        """Whether the disk takes recordings now."""
        return self._trouble is None

    def camera(
        self,
        name: str,
        model: Model,
        view: View,
        *,
        realtime: bool = False,
        wanted: Callable[[], bool] = lambda: True,
    ) -> CameraRecorder:
        """Return the recording of a camera.

        Args:
            name: of the camera.
            model: the model that answers.
            view: what of the picture may be kept.
            realtime: whether a file is read at the pace of a camera.
            wanted: whether events are recorded at this time.
        """
        camera = CameraRecorder(
            name,
            model,
            view,
            self._options,
            accepts=lambda: self.accepts and wanted(),
            wake=self._wake,
            realtime=realtime,
            clock=self._clock,
        )
        with self._changed:
            self._cameras.append(camera)
        return camera

    def close(self, timeout_s: float = 5.0) -> None:
        """Finish the recordings of cameras that are finished, and end. What takes longer is recovered at next start."""
        with self._changed:
            cameras, self._closing = list(self._cameras), True
            self._changed.notify_all()
        for camera in cameras:
            if not camera.finished:
                camera.finish()
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            _log.warning("%s: the disk did not take all clips in time; the next start finishes them", self.folder)

    def _wake(self) -> None:
        with self._changed:
            self._news = True
            self._changed.notify_all()

    def _work(self) -> None:
        try:
            while not (self._closing and self._is_idle()):
                self._turn()
                with self._changed:
                    timeout_s = _WRITE_EVERY_S if self._clips else _PRUNE_EVERY_S
                    if self._trouble is not None:
                        timeout_s = min(timeout_s, _PAUSE_S)
                    self._changed.wait_for(lambda: self._news or self._closing, timeout_s)
                    self._news = False
        except Exception:
            self._trouble = "stopped"
            _log.exception("recording stopped; classification continues")
        finally:
            with contextlib.suppress(OSError):
                self._store.close()

    def _is_idle(self) -> bool:
        return not self._clips and not any(camera.has_new for camera in self._cameras)

    def _turn(self) -> None:
        """Begin, write and finish clips; check the bounds of the folder now and then."""
        now_s = self._clock()
        for camera in list(self._cameras):
            for recording in camera.new_recordings():
                self._clips.append(ClipInProgress(self._store, camera, recording, self._options.max_s))
        if now_s >= self._paused_until_s and (self._trouble or now_s - self._prune_s >= _PRUNE_EVERY_S):
            self._prune_s = now_s
            self._check_disk()
        for clip in list(self._clips):
            self._advance(clip, now_s)
        for camera in self._cameras:
            camera.keep_wanted()

    def _advance(self, clip: ClipInProgress, now_s: float) -> None:
        try:
            lines = clip.advance(now_s)
        except (OSError, SinkError) as error:
            self._clips.remove(clip)
            clip.camera.done(clip.recording)
            self.failed += 1
            self._pause(str(getattr(error, "strerror", None) or error))
            lines = clip.salvage()
        else:
            if clip.finished:
                self._clips.remove(clip)
                clip.camera.done(clip.recording)
        for line in lines:
            self.recorded += 1
            self._tell(line, clip.recording.events[-1])

    def _tell(self, line: Line, event: Event) -> None:
        try:
            self.on_recorded(line, event)
        except Exception:
            _log.exception("%s: recorded, but not handed on", line.path)

    def _check_disk(self) -> None:
        """Remove what is beyond the bounds, and find out whether the disk takes recordings."""
        try:
            make_folder(self.folder)
            prune(self._store, self._options)
            free = self._store.free_bytes()
        except OSError as error:
            self._pause(str(error.strerror))
            return
        if free < self._options.min_free_mb * 1e6:
            self._pause(f"only {free / 1e6:.0f} MB are free, and min_free_mb is {self._options.min_free_mb:g}")
        elif self._trouble is not None:
            self._trouble = None
            _log.info("%s: events are recorded again", self.folder)

    def _pause(self, trouble: str) -> None:
        self._paused_until_s = self._clock() + _PAUSE_S
        if self._trouble is None:
            _log.warning("%s: %s; events are not recorded until the disk takes them", self.folder, trouble)
        self._trouble = trouble
