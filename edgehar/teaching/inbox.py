"""The inbox: moments that are worth a label, on disk, within a bound.

A moment of a camera is up to three files in the camera's folder: `ID.npy` (the encoder's int8 features of every frame),
`ID.mp4` (a clip, if clips are kept) and `ID.json` (`Facts`), which is written last: without it the others do not count.
Its label is in `ID.label.json` (`edgehar.teaching.labels`).
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import io
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec
import numpy as np

from edgehar.errors import ConfigError, SourceError
from edgehar.files import put_in_place
from edgehar.recording.sidecar import LABEL_SUFFIX
from edgehar.sinks.spool.options import folder_beside_queues
from edgehar.teaching.labels import label_path
from edgehar.teaching.score_log import folder_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from edgehar.teaching.options import InboxOptions

Why = Literal["event", "unsure", "unusual", "random"]

_FEATURES, _CLIP, _FACTS = ".npy", ".mp4", ".json"
_PARTIAL = ".tmp"
_LARGEST_FACTS = 1 << 20
# Of a moment: time, why, and a number if several have both.
_FOLDER = re.compile(r"[A-Za-z0-9_-]+")
_NAME = re.compile(r"[0-9]{8}T[0-9]*-(event|unsure|unusual|random)(-[0-9]+)?")


class Facts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Facts about a moment.

    Attributes:
        source: name of the camera.
        time: wall clock of the answer that it was kept for (UTC, ISO 8601).
        why: an event, an answer near a threshold, features unlike those seen before, or chance.
        model: name of the bundle.
        encoder: SHA-256 of its encoder; features of one encoder mean nothing to another.
        head: first digits of the SHA-256 of its head.
        answer: what the model said, smoothed.
        score: the score of that.
        scores: the smoothed score of every label.
        hop: frames between answers.
        frames: frames in it.
        sha256: of the file of features.
        event: id of the event.
        start_s: capture time of the first frame, in seconds on the source's clock.
        end_s: capture time of the last one.
        clip_offset_s: seconds of the clip before the first frame, because a clip begins with a key frame.
    """

    source: str
    time: str
    why: Why
    model: str
    encoder: str
    head: str
    answer: str
    score: float
    scores: dict[str, float]
    hop: int
    frames: int
    sha256: str = ""
    event: str | None = None
    start_s: float = 0.0
    end_s: float = 0.0
    clip_offset_s: float = 0.0


@dataclass(frozen=True)
class Item:
    """A moment in the inbox.

    Attributes:
        base: path of its files, without suffix; `edgehar.teaching.labels.write_label` takes it.
        facts: what is known of it.
    """

    base: Path
    facts: Facts

    @property
    def id(self) -> str:
        """Folder and name, which is unique in an inbox."""
        return f"{self.base.parent.name}/{self.base.name}"

    @property
    def clip(self) -> Path | None:
        """The clip; None if only features are kept."""
        path = _with(self.base, _CLIP)
        return path if path.is_file() else None

    @property
    def labeled(self) -> bool:
        """Whether it has a label."""
        return label_path(self.base).exists()

    @property
    def size(self) -> int:
        """Bytes of its files."""
        total = 0
        for path in _files(self.base):
            with contextlib.suppress(FileNotFoundError):
                total += path.stat().st_size
        return total

    def features(self) -> npt.NDArray[np.int8]:
        """Read the encoder's output of every frame, int8 `(frames, features)`.

        Raises:
            SourceError: the file is missing or damaged.
        """
        path = _with(self.base, _FEATURES)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise SourceError(f"{path}: cannot be read: {error.strerror}") from error
        if hashlib.sha256(content).hexdigest() != self.facts.sha256:
            raise SourceError(f"{path}: damaged: its checksum differs")
        try:
            table = np.load(io.BytesIO(content), allow_pickle=False)
        except ValueError as error:
            raise SourceError(f"{path}: damaged: {error}") from error
        if table.dtype != np.int8 or table.ndim != 2 or not len(table):
            raise SourceError(f"{path}: holds {table.dtype} of shape {table.shape}, int8 of two axes is needed")
        return np.asarray(table)

    def remove(self) -> None:
        """Delete it, with its label. The facts go first, so that a part of it is never taken for the whole."""
        for path in _files(self.base):
            path.unlink(missing_ok=True)


def inbox_folder(options: InboxOptions, spool_directory: str | None) -> Path:
    """Return the folder of the inbox.

    Raises:
        ConfigError: none is set, and there is no home folder.
    """
    return folder_beside_queues(options.directory, spool_directory, "inbox")


class Inbox:
    """A folder of moments. One process adds; others may read, label and remove meanwhile.

    Attributes:
        folder: the folder.
        damaged: moments that the last reading left out, because their facts cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        """Use a folder; it is made when the first moment is added."""
        self.folder = folder
        self.damaged: list[Path] = []

    def items(self) -> list[Item]:
        """Return all moments, the oldest first."""
        self.damaged = []
        found = [item for path in self._facts_files() if (item := self._item(path)) is not None]
        return sorted(found, key=lambda item: (item.facts.time, item.id))

    def unlabeled(self) -> list[Item]:
        """Return what waits for a label: events first, then by time."""
        waiting = [item for item in self.items() if not item.labeled]
        return sorted(waiting, key=lambda item: item.facts.why != "event")

    def find(self, item_id: str) -> Item:
        """Return a moment by its id.

        Raises:
            ConfigError: there is none.
        """
        for item in self.items():
            if item.id == item_id:
                return item
        raise ConfigError(f"{self.folder}: no moment {item_id!r}; list them with: edgehar label {self.folder} --list")

    def get(self, item_id: str) -> Item | None:
        """Return a moment by its id, without reading the others; None if there is none."""
        folder, _, name = item_id.partition("/")
        if not (_FOLDER.fullmatch(folder) and _NAME.fullmatch(name)):
            return None
        return self._item(self.folder / folder / f"{name}{_FACTS}")

    def add(self, facts: Facts, features: npt.NDArray[np.int8], clip: Path | None = None) -> Item:
        """Add a moment.

        Args:
            facts: what is known of it; the checksum is filled in here.
            features: int8 `(frames, features)`.
            clip: a finished file in the same file system, which is moved here.

        Raises:
            OSError: the disk is full or fails; nothing of the moment stays, but the clip where it was.
        """
        base = self.base_for(facts)
        base.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        buffer = io.BytesIO()
        np.save(buffer, np.ascontiguousarray(features), allow_pickle=False)
        content = buffer.getvalue()
        facts = msgspec.structs.replace(facts, sha256=hashlib.sha256(content).hexdigest())
        try:
            _write(_with(base, _FEATURES), content)
            if clip is not None:
                put_in_place(clip, _with(base, _CLIP))
            _write(_with(base, _FACTS), msgspec.json.format(msgspec.json.encode(facts), indent=1) + b"\n")
        except OSError:
            for path in _files(base):
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)
            raise
        return Item(base, facts)

    def base_for(self, facts: Facts) -> Path:
        """Return a path without suffix for a moment that no other has."""
        stamp = "".join(character for character in facts.time[:23] if character.isdigit())
        folder = self.folder / folder_name(facts.source)
        name = f"{stamp[:8]}T{stamp[8:]}-{facts.why}"
        numbered = (f"{name}-{number}" if number else name for number in range(10_000))
        return next(base for each in numbered if not _with(base := folder / each, _FEATURES).exists())

    def make_room(self, max_bytes: int) -> tuple[int, int]:
        """Remove moments until the rest fits: those without a label first, the oldest first.

        Returns:
            The number of moments removed, and the bytes of the rest.
        """
        items = self.items()
        sizes = {item.id: item.size for item in items}
        total, gone = sum(sizes.values()), 0
        for item in sorted(items, key=lambda item: item.labeled):
            if total <= max_bytes:
                break
            item.remove()
            total -= sizes[item.id]
            gone += 1
        return gone, total

    def sweep(self) -> None:
        """Remove what a process that was killed has left: temporary files, and files of moments without facts.

        The folder may hold files of others, which have other names.
        """
        for path in [*self.folder.glob(f".*{_PARTIAL}"), *self.folder.glob(f"*/.*{_PARTIAL}")]:
            path.unlink(missing_ok=True)
        for path in self.folder.glob("*/*"):
            own = path.suffix in (_FEATURES, _CLIP) and _NAME.fullmatch(path.stem)
            if own and not path.with_suffix(_FACTS).exists():
                path.unlink(missing_ok=True)

    def _facts_files(self) -> Iterator[Path]:
        for path in sorted(self.folder.glob(f"*/*{_FACTS}")):
            if not path.name.endswith(LABEL_SUFFIX) and not path.name.startswith("."):
                yield path

    def _item(self, path: Path) -> Item | None:
        try:
            if path.stat().st_size > _LARGEST_FACTS:
                raise ValueError("too large")
            return Item(path.with_suffix(""), msgspec.json.decode(path.read_bytes(), type=Facts))
        except FileNotFoundError:
            return None
        except (OSError, ValueError):
            # msgspec's errors are ValueErrors.
            self.damaged.append(path)
            return None


def day_of(facts: Facts) -> str:
    """Return the UTC day of a moment, as ISO 8601; "" if its time cannot be read."""
    try:
        return datetime.datetime.fromisoformat(facts.time).date().isoformat()
    except ValueError:
        return ""


def _with(base: Path, suffix: str) -> Path:
    return base.with_name(base.name + suffix)


def _files(base: Path) -> list[Path]:
    return [*(_with(base, suffix) for suffix in (_FACTS, _FEATURES, _CLIP)), label_path(base)]


def _write(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}{_PARTIAL}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        put_in_place(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
