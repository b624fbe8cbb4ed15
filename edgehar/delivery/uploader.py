"""Copies recordings to a server: the most important first, each until the server has it, verified.

The ledger of the folder is the queue: a recording without a line that it was uploaded waits. So nothing is lost over
outages, crashes and power cuts.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

import msgspec

from edgehar.backoff import Backoff
from edgehar.delivery.servers import open_target
from edgehar.delivery.target import UploadError, read_address
from edgehar.recording.seal import SUFFIX
from edgehar.records import utc_now

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from edgehar.delivery.options import UploadOptions
    from edgehar.delivery.target import Target
    from edgehar.recording.chain import Line
    from edgehar.recording.store import Archive
    from edgehar.records import Event

_log = logging.getLogger(__name__)

_CHUNK_BYTES = 65_536
# Above every revision of an event that lasts, and the same each time.
_UPLOADED_REVISION = 1_000_000
# Records of sealed events that are kept in memory while the server is unreachable.
_MOST_SEALED = 10_000


class _EndedError(UploadError):
    """The program ends."""


class Uploader:
    """Uploads the recordings of a folder, on its own thread.

    Attributes:
        uploaded: recordings that the server has, since the start.
        waiting: recordings that it has not.
    """

    def __init__(
        self,
        archive: Archive,
        options: UploadOptions,
        *,
        on_uploaded: Callable[[Event], bool] = lambda _: True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Read the settings; `start` starts the thread.

        Args:
            archive: the folder.
            options: where to, and how.
            on_uploaded: called by the thread with the record of each clip that the server has, before that is on the
                chain. If it returns False, because the program ends, the recording is uploaded again next time.
            clock: monotonic seconds.

        Raises:
            ConfigError: the settings cannot be used, or a library is missing.
        """
        self.uploaded = self.waiting = 0
        self._archive, self._options, self._clock = archive, options, clock
        self._on_uploaded = on_uploaded
        # Latest records of sealed events, whose sidecars cannot be read here, by the path of the recording.
        self._sealed: dict[str, Event] = {}
        self._address = read_address(options)
        self._target: Target = open_target(self._address, options)
        self._backoff = Backoff(options.first_delay_s, options.max_delay_s)
        self._sent: dict[str, set[str]] = {}
        self._missing: dict[str, set[str]] = {}
        self._told: set[str] = set()
        self._changed = threading.Condition()
        self._news, self._closing = True, False
        self._free_s = 0.0
        self._thread = threading.Thread(target=self._work, name="edgehar-upload", daemon=True)

    def start(self) -> None:
        """Begin to upload, in the background."""
        self._thread.start()

    def add(self, line: Line, event: Event) -> None:
        """Take a new recording: its line of the ledger, and the latest record of its event."""
        with self._changed:
            self.waiting += 1
            if any(suffix.endswith(SUFFIX) for suffix in line.files):
                self._sealed[line.path] = event
                if len(self._sealed) > _MOST_SEALED:
                    del self._sealed[next(iter(self._sealed))]
            self._news = True
            self._changed.notify_all()

    def close(self, timeout_s: float = 2.0) -> None:
        """End; what is not uploaded waits for the next start."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(timeout_s)
        if self.waiting:
            _log.info("%s: %d recordings wait for the next run", self._address.where, self.waiting)

    def upload_all(self) -> None:
        """Upload everything that waits, in this thread. Raises UploadError at the first failure."""
        for line, suffix in self.pending():
            self._upload(line, suffix)

    def pending(self) -> list[tuple[Line, str]]:
        """Return the files to upload, the most important first, each with its recording.

        Sidecars and pictures come before clips, because they are small; then the event with the highest score; then
        the newest.
        """
        waiting = waiting_in(self._archive)
        self.waiting = len(waiting)
        files = [
            (line, suffix) for line in waiting for suffix in line.files if suffix not in self._sent.get(line.path, ())
        ]
        scores = {line.path: _score(self._archive, line) for line in waiting}
        return sorted(files, key=lambda file: (file[1].startswith(".mp4"), -scores[file[0].path], -file[0].number))

    def chunks(self, path: Path, start: int = 0) -> Iterator[bytes]:
        """Yield the bytes of a file from `start` on, at the pace of `max_kb_s`. UploadError when this is closed."""
        with path.open("rb") as file:
            file.seek(start)
            while chunk := file.read(_CHUNK_BYTES):
                self._wait_for_turn(len(chunk))
                yield chunk

    def _wait_for_turn(self, size: int) -> None:
        limit = self._options.max_kb_s * 1e3
        now_s = self._clock()
        self._free_s = max(self._free_s, now_s) + (size / limit if limit else 0.0)
        with self._changed:
            if self._changed.wait_for(lambda: self._closing, max(0.0, self._free_s - now_s)):
                raise _EndedError("ended")

    def _work(self) -> None:
        while not self._closing:
            with self._changed:
                self._news = False
            delay_s: float | None = None
            try:
                self.upload_all()
            except _EndedError:
                break
            except UploadError as error:
                delay_s = self._backoff.next_delay_s()
                self._tell(str(error))
            except Exception as error:
                # Whatever it is, recording goes on, and uploading is tried again.
                _log.debug("%s: unexpected", self._address.where, exc_info=True)
                delay_s = self._backoff.next_delay_s()
                self._tell(f"{type(error).__name__}: {error}")
            with self._changed:
                if delay_s is None:
                    self._changed.wait_for(lambda: self._news or self._closing)
                else:
                    self._changed.wait_for(lambda: self._closing, delay_s)
        self._target.close()

    def _upload(self, line: Line, suffix: str) -> None:
        path = self._archive.folder / (line.path + suffix)
        if self._closing:
            raise _EndedError("ended")
        if not path.exists():
            # Removed meanwhile; `edgehar clips verify` says which. The receipt does not name it.
            self._missing.setdefault(line.path, set()).add(suffix)
            self._finish(line)
            return
        name = line.path + suffix
        self._target.put(name, path, self)
        if self._options.verify and self._target.sha256(name) != line.files[suffix]:
            raise UploadError(f"gives back other bytes for {name} than were sent")
        sent = self._sent.setdefault(line.path, set())
        sent.add(suffix)
        self._backoff.reset()
        if self._told:
            self._told.clear()
            _log.info("%s: takes recordings again", self._address.where)
        self._finish(line)

    def _finish(self, line: Line) -> None:
        """Write the receipt when the server has every file of a recording that is there."""
        sent, missing = self._sent.get(line.path, set()), self._missing.get(line.path, set())
        if not sent or not sent | missing >= set(line.files):
            return
        event = uploaded_event(self._archive, line, self._address.where, self._sealed.get(line.path))
        if event is not None and not self._on_uploaded(event):
            raise _EndedError("ended")
        files = {suffix: line.files[suffix] for suffix in line.files if suffix in sent}
        self._archive.chain.append("uploaded", line.path, files, why=self._address.where)
        del self._sent[line.path]
        self._sealed.pop(line.path, None)
        self.uploaded += 1
        self.waiting -= 1
        if self._options.delete_after and not missing:
            self._archive.remove(line, "uploaded")

    def _tell(self, trouble: str) -> None:
        if trouble not in self._told and not self._closing:
            self._told.add(trouble)
            _log.warning("%s: %s; recordings wait, and are uploaded later", self._address.where, trouble)


def waiting_in(archive: Archive) -> list[Line]:
    """Return the recordings that are there and were not uploaded, oldest first."""
    uploaded = archive.chain.uploaded()
    return [line for path, line in archive.chain.recordings().items() if path not in uploaded]


def uploaded_event(archive: Archive, line: Line, where: str, event: Event | None = None) -> Event | None:
    """Return the record of an event whose clip is at a server; None if it has no clip or its event is not known.

    Args:
        archive: the folder.
        line: the recording's line of the ledger.
        where: address of the folder at the server, without credentials.
        event: the latest record of the event; None to read it from the sidecar.
    """
    suffix = next((suffix for suffix in line.files if suffix.startswith(".mp4")), None)
    if event is None:
        events = archive.events_of(line)
        event = events[-1] if events else None
    if suffix is None or event is None:
        return None
    clip = line.path + suffix
    # The name of a later part ends in its number.
    part = 1 if clip == event.clip else int(line.path.rpartition("-")[2])
    return msgspec.structs.replace(
        event,
        phase="uploaded",
        revision=_UPLOADED_REVISION + part,
        time=utc_now(),
        clip=clip,
        clip_url=f"{where}/{clip}",
    )


def _score(archive: Archive, line: Line) -> float:
    """Return the peak score of an event; 0 if its sidecar cannot be read here, for example because it is sealed."""
    return max((event.peak_score for event in archive.events_of(line)), default=0.0)
