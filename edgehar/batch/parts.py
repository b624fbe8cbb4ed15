"""Part files: what a batch has done so far, and the table made of them in the end.

A part holds the rows of some files, and their outcomes in its metadata. It is renamed into place in one step, so a file
is either done, with all of its rows, or not begun.
"""

from __future__ import annotations

import fcntl
import json
import shutil
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import msgspec

from edgehar.batch.clip_worker import Outcome
from edgehar.batch.table import load_pyarrow, read_rows, row_schema
from edgehar.errors import ConfigError, SinkError
from edgehar.files import whole_file, write_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from edgehar.batch.clip_worker import Reply

_OUTCOMES = b"edgehar.outcomes"
# Rows of a row group of the table, held in memory while it is written.
_GROUP_ROWS = 100_000
_OPEN_PARTS = 4


@dataclass(frozen=True)
class PartLimits:
    """Limits of the rows that wait in memory, and are lost if the batch is killed.

    Attributes:
        size: compressed rows, in bytes.
        files: number of files.
        seconds: time since the last part, when another file is done.
    """

    size: int = 8_000_000
    files: int = 256
    seconds: float = 10.0


@dataclass(frozen=True)
class _Place:
    """The place of a file's rows."""

    part: Path
    first_row: int
    outcome: Outcome


class Parts:
    """The folder of part files of one batch. Use it as a context manager: it is locked, and keeps finished work."""

    def __init__(
        self,
        folder: Path,
        settings: dict[str, Any],
        labels: Sequence[str],
        *,
        limits: PartLimits = PartLimits(),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Open or create the folder.

        Args:
            folder: the folder.
            settings: what the rows depend on; JSON values.
            labels: labels of the model.
            limits: when to write a part.
            clock: monotonic seconds.

        Raises:
            ConfigError: another batch uses the folder, or it was begun with other settings.
            SinkError: a part, or the file of settings, is damaged.
        """
        self._pa = load_pyarrow()
        self._folder, self._schema = folder, row_schema(labels)
        self._limits, self._clock = limits, clock
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = (folder / "lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            raise ConfigError(f"{folder}: is in use by another batch; wait for it, or give another --out") from None
        _check_settings(folder / "settings.json", settings)
        self._places: dict[str, _Place] = {}
        self._waiting: list[Reply] = []
        self._waiting_bytes, self._committed_s = 0, clock()
        self._next_part = 0
        self._load()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.commit()
        finally:
            self._lock.close()

    @property
    def done(self) -> dict[str, Outcome]:
        """The outcome of every file that is done, by its name. The latest ones may not be on disk yet."""
        outcomes = {name: place.outcome for name, place in self._places.items()}
        return outcomes | {reply.outcome.source: reply.outcome for reply in self._waiting}

    def add(self, reply: Reply) -> None:
        """Add the rows of a file. They are written to disk with those of other files, as soon as a limit is reached."""
        self._waiting.append(reply)
        self._waiting_bytes += len(reply.rows)
        late = self._clock() - self._committed_s >= self._limits.seconds
        if late or self._waiting_bytes >= self._limits.size or len(self._waiting) >= self._limits.files:
            self.commit()

    def commit(self) -> None:
        """Write what waits as a part. Raises OSError if that fails; it waits on then."""
        self._committed_s = self._clock()
        if not self._waiting:
            return
        part = self._folder / f"part-{self._next_part:06}.parquet"
        outcomes = [reply.outcome for reply in self._waiting]
        schema = self._schema.with_metadata({_OUTCOMES: msgspec.json.encode(outcomes)})
        tables = [read_rows(reply.rows) for reply in self._waiting if reply.rows]
        table = self._pa.concat_tables([self._schema.empty_table(), *tables]).replace_schema_metadata(schema.metadata)
        with whole_file(part) as temporary:
            self._pa.parquet.write_table(table, temporary, compression="zstd")
        self._place(part, outcomes)
        self._waiting, self._waiting_bytes = [], 0
        self._next_part += 1

    def write_table(self, path: Path, names: Sequence[str], metadata: dict[str, str]) -> int:
        """Write the rows of files, in this order, as one Parquet file; returns the number of rows.

        Args:
            path: the file, which is replaced.
            names: names of files that are done.
            metadata: texts to store in the file.
        """
        self.commit()
        schema = self._schema.with_metadata(metadata)
        written, waiting, waiting_rows = 0, [], 0
        with (
            whole_file(path) as temporary,
            self._pa.parquet.ParquetWriter(temporary, schema, compression="zstd") as writer,
        ):
            for rows in self._rows(names):
                waiting.append(rows)
                waiting_rows += rows.num_rows
                if waiting_rows >= _GROUP_ROWS:
                    writer.write_table(self._pa.concat_tables(waiting).cast(schema))
                    written, waiting, waiting_rows = written + waiting_rows, [], 0
            if waiting:
                writer.write_table(self._pa.concat_tables(waiting).cast(schema))
        return written + waiting_rows

    def remove(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self._folder)

    def _rows(self, names: Sequence[str]) -> Iterator[Any]:
        """Yield the rows of each file as a table. Files that were done together are in few parts, read once each."""
        parts: dict[Path, Any] = {}
        for name in names:
            place = self._places[name]
            if not place.outcome.rows:
                continue
            if place.part not in parts:
                if len(parts) == _OPEN_PARTS:
                    del parts[next(iter(parts))]
                parts[place.part] = self._pa.parquet.read_table(place.part)
            yield parts[place.part].slice(place.first_row, place.outcome.rows)

    def _load(self) -> None:
        for path in self._folder.glob("*.tmp*"):
            path.unlink()
        for part in sorted(self._folder.glob("part-*.parquet")):
            try:
                metadata = self._pa.parquet.read_metadata(part).metadata
                outcomes = msgspec.json.decode(metadata[_OUTCOMES], type=list[Outcome])
            except (OSError, KeyError, msgspec.MsgspecError, self._pa.ArrowException) as error:
                raise SinkError(f"{part}: damaged ({error}); delete it, and its files are classified again") from None
            self._place(part, outcomes)
            self._next_part = int(part.stem.partition("-")[2]) + 1

    def _place(self, part: Path, outcomes: list[Outcome]) -> None:
        row = 0
        for outcome in outcomes:
            self._places[outcome.source] = _Place(part, row, outcome)
            row += outcome.rows


def _check_settings(path: Path, settings: dict[str, Any]) -> None:
    """Write the settings of a new batch, or compare them with the settings that it was started with."""
    before = _read_settings(path)
    if before is None:
        if any(path.parent.glob("part-*.parquet")):
            raise SinkError(f"{path}: missing or damaged; remove the folder to start over")
        write_text(path, json.dumps(settings, indent=1) + "\n")
        return
    for key, value in settings.items():
        if before.get(key) != value:
            raise ConfigError(
                f"{path.parent}: was begun with {key} {before.get(key)!r}, not {value!r}; repeat the command as it "
                f"was, or remove the folder to start over"
            )


def _read_settings(path: Path) -> dict[str, Any] | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except (FileNotFoundError, msgspec.DecodeError):
        return None
