"""A recording folder: files grow under temporary names, get their own name when complete, and are on the chain then.

A program that is killed leaves temporary files; the next start makes recordings of them.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import logging
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edgehar._version import __version__
from edgehar.errors import ConfigError
from edgehar.files import sync_folder
from edgehar.recording.chain import Chain, Line
from edgehar.recording.clip_file import PlainOutput
from edgehar.recording.seal import SUFFIX, Sealer
from edgehar.recording.sidecar import LABEL_SUFFIX, Clip, Picture, Sidecar

if TYPE_CHECKING:
    from edgehar.recording.clip_file import ClipFacts, Output
    from edgehar.records import Event

_log = logging.getLogger(__name__)

SOFTWARE = f"edgehar {__version__}"
_PART = ".part"
_LOCK = ".lock"
_LONGEST_LABEL = 60


class Archive:
    """The finished recordings of a folder. Several processes may read and remove them.

    Attributes:
        folder: the folder.
        chain: its ledger.
    """

    def __init__(self, folder: Path) -> None:
        """Use a folder, whether a process records into it or not."""
        self.folder = folder
        self.chain = Chain(folder)

    def free_bytes(self) -> int:
        """Return the bytes that are free on the disk; OSError if the folder is gone."""
        disk = os.statvfs(self.folder)
        return disk.f_bavail * disk.f_frsize

    def files_of(self, line: Line) -> list[Path]:
        """Return the paths of a recording's files."""
        return [self.folder / (line.path + suffix) for suffix in line.files]

    def sidecar_of(self, line: Line) -> Sidecar | None:
        """Return the sidecar of a recording; None if it is encrypted, missing, altered, or of a damaged recording."""
        try:
            return msgspec.json.decode((self.folder / f"{line.path}.json").read_bytes(), type=Sidecar)
        except (OSError, msgspec.MsgspecError):
            return None

    def events_of(self, line: Line) -> list[Event]:
        """Return the event records of a recording: its start and, if it has ended, its end; empty if unknown."""
        sidecar = self.sidecar_of(line)
        return [] if sidecar is None else sidecar.events

    def size_of(self, line: Line) -> int:
        """Return the bytes of a recording's files that are there."""
        return sum(path.stat().st_size for path in self.files_of(line) if path.exists())

    def remove(self, line: Line, why: str) -> None:
        """Remove the files of a recording and put that on the chain; OSError if the disk fails."""
        logged = False
        # A full disk has no room for the line before the files are gone.
        with contextlib.suppress(OSError):
            self.chain.append("removed", line.path, why=why)
            logged = True
        for path in self.files_of(line):
            path.unlink(missing_ok=True)
        (self.folder / (line.path + LABEL_SUFFIX)).unlink(missing_ok=True)
        if not logged:
            self.chain.append("removed", line.path, why=why)
        with contextlib.suppress(OSError):
            (self.folder / line.path).parent.rmdir()


class Store(Archive):
    """A folder that this process records into.

    Attributes:
        sealer: encrypts all that is written; None to write in clear.
        last_sidecar: SHA-256 of the newest sidecar as stored; None before the first.
    """

    def __init__(self, folder: Path, sealer: Sealer | None = None) -> None:
        """Make the folder if it is missing, and lock it.

        Raises:
            ConfigError: the folder cannot be made or written, or another process records into it.
        """
        self._lock = _lock(folder)
        super().__init__(folder)
        self.sealer = sealer
        self.last_sidecar = self._newest_sidecar()

    def close(self) -> None:
        """Unlock the folder."""
        os.close(self._lock)

    def begin(self, base: str, sidecar: Sidecar) -> Draft:
        """Begin a recording.

        Args:
            base: path of its files in the folder, without suffix.
            sidecar: known facts, for the case that this process is killed before `Draft.commit`.

        Raises:
            OSError: the disk is full or fails.
        """
        make_folder((self.folder / base).parent)
        draft = Draft(self, base, sealed=self.sealer is not None)
        draft.note(sidecar)
        # Before any other file: without these facts nobody would know what that file is.
        sync_folder((self.folder / base).parent)
        return draft

    def _newest_sidecar(self) -> str | None:
        newest = None
        for _, line, _ in self.chain.lines():
            if line is not None and line.kind == "clip":
                newest = next((sha for suffix, sha in line.files.items() if suffix.startswith(".json")), newest)
        return newest


class Draft:
    """One recording in the making."""

    def __init__(self, store: Store, base: str, *, sealed: bool) -> None:
        """Use `Store.begin`; `sealed` says whether its files are encrypted."""
        self._store, self.base, self._suffix = store, base, SUFFIX if sealed else ""
        self._path = store.folder / base
        self.clip: Clip | None = None
        self.picture: Picture | None = None

    def _file(self, suffix: str) -> Path:
        return self._path.with_name(self._path.name + suffix + self._suffix)

    def _temporary(self, suffix: str) -> Path:
        final = self._file(suffix)
        return final.with_name(f".{final.name}{_PART}")

    def note(self, sidecar: Sidecar) -> None:
        """Keep facts for recovery, under a temporary name; OSError if the disk fails."""
        self._write(self._temporary(".json"), msgspec.json.encode(sidecar))

    def output(self) -> Output:
        """Create the file of the clip under a temporary name; OSError if the disk fails."""
        path = self._temporary(".mp4")
        return PlainOutput(path) if self._store.sealer is None else self._store.sealer.output(path)

    def finish_clip(self, output: Output, facts: ClipFacts) -> None:
        """Give the closed clip its own name; OSError if the disk fails."""
        final = self._file(".mp4")
        self._temporary(".mp4").rename(final)
        self.clip = Clip(
            file=final.name,
            sha256=output.sha256,
            bytes=output.size,
            codec=facts.codec,
            width=facts.width,
            height=facts.height,
            frames=facts.frames,
            start_s=round(facts.start_s, 3),
            end_s=round(facts.end_s, 3),
            gaps=facts.gaps,
        )

    def drop_clip(self) -> None:
        """Remove the temporary file of the clip."""
        self._temporary(".mp4").unlink(missing_ok=True)

    def write_picture(self, jpeg: bytes, captured_s: float) -> None:
        """Write the picture, in place of an earlier one; OSError if the disk fails."""
        final, temporary = self._file(".jpg"), self._temporary(".jpg")
        self._write(temporary, jpeg)
        temporary.rename(final)
        self.picture = Picture(final.name, hashlib.sha256(jpeg).hexdigest(), round(captured_s, 3))

    def commit(self, sidecar: Sidecar) -> Line:
        """Write the sidecar and put the recording on the chain; OSError if the disk fails.

        The sidecar gets the facts of the clip and of the picture, and the hash of the sidecar before it.
        """
        store = self._store
        whole = msgspec.structs.replace(
            sidecar, clip=self.clip, picture=self.picture, previous_sha256=store.last_sidecar
        )
        temporary = self._temporary(".json").with_name(f".{self._file('.json').name}.new")
        self._write(temporary, msgspec.json.format(msgspec.json.encode(whole), indent=1) + b"\n")
        # Or a power cut may keep the name of the sidecar, and lose those of the clip and the picture it is about.
        sync_folder(self._path.parent)
        temporary.rename(self._file(".json"))
        return self.log()

    def log(self) -> Line:
        """Put the files that are there on the chain; OSError if the disk fails."""
        store = self._store
        files = {}
        for suffix in (".mp4", ".jpg", ".json"):
            path = self._file(suffix)
            if path.exists():
                files[suffix + self._suffix] = sha256_of(path)
        sync_folder(self._path.parent)
        line = store.chain.append("clip", self.base, files)
        store.last_sidecar = files[".json" + self._suffix]
        self._temporary(".json").unlink(missing_ok=True)
        return line

    def _write(self, path: Path, data: bytes) -> None:
        if self._store.sealer is not None:
            data = self._store.sealer.seal(data)
        path.unlink(missing_ok=True)
        output = PlainOutput(path)
        try:
            output.write(data)
            output.close()
        except OSError:
            path.unlink(missing_ok=True)
            raise


def recording_name(source: str, time: str, label: str, event_id: str, part: int, *, sealed: bool) -> str:
    """Return the path of a recording's files in the folder, without suffix.

    Args:
        source: name of the camera.
        time: UTC time of the event's start, ISO 8601.
        label: the action; it is left out of the names of sealed files.
        event_id: UUID of the event.
        part: 1 for the first file of an event.
        sealed: whether the files are encrypted.
    """
    day, clock = time[:10], time[11:19].replace(":", "")
    words = [f"{clock}Z", *([] if sealed else [safe_name(label)]), event_id, *([str(part)] if part > 1 else [])]
    return f"{safe_name(source)}/{day}/{'-'.join(words)}"


def safe_name(text: str) -> str:
    """Return a file name for any text: letters, digits, `.`, `_` and `-`, at most 60 characters, never hidden."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "_", text).strip("._-")
    return plain[:_LONGEST_LABEL] or "_"


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, for this user only, and flush that to the disk; OSError if that fails."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True, mode=0o700)
        # Or a power cut may lose the folder, and with it the files that were flushed.
        sync_folder(folder.parent)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal; OSError if it cannot be read."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _lock(folder: Path) -> int:
    try:
        make_folder(folder)
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise ConfigError(
            f"record: {folder}: cannot be written: {error.strerror}; name a folder that this user can write"
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise ConfigError(f"record: {folder}: another process records into it; give each its own folder") from None
    return lock
