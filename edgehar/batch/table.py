"""The table of results: its columns, and its rows as Arrow record batches. Needs pyarrow, from the extra `batch`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgehar.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgehar.records import Event, Prediction

# Rows of a record batch. They are held in memory uncompressed.
_BATCH_ROWS = 2048


def load_pyarrow() -> Any:
    """Return the pyarrow module, with its parts `ipc` and `parquet`. Raises ConfigError if it is not installed."""
    try:
        import pyarrow
        import pyarrow.ipc
        import pyarrow.parquet
    except ImportError:
        raise ConfigError("batch needs pyarrow; run: pip install 'edgehar[batch]'") from None
    return pyarrow


def row_schema(labels: Sequence[str]) -> Any:
    """Return the schema of the table, with a field in `scores` for each label of the model.

    - `type`: "prediction" or "event".
    - `source`: name of the file.
    - `seq`: number of the prediction in its file, from 0; null for events.
    - `id`: UUID of the event; null for predictions.
    - `label`: the answer, or "unknown"; of an event, its action.
    - `score`: score of the answer; of an event, its highest score.
    - `start_s`, `end_s`: the window of the prediction, or the event, in seconds of the file.
    - `rate_ok`: False if the file has fewer frames per second than the model needs; null for events.
    - `scores`: score of every label; null for events.
    """
    pa = load_pyarrow()
    return pa.schema(
        [
            pa.field("type", pa.string(), nullable=False),
            pa.field("source", pa.string(), nullable=False),
            pa.field("seq", pa.int32()),
            pa.field("id", pa.string()),
            pa.field("label", pa.string(), nullable=False),
            pa.field("score", pa.float32(), nullable=False),
            pa.field("start_s", pa.float64(), nullable=False),
            pa.field("end_s", pa.float64(), nullable=False),
            pa.field("rate_ok", pa.bool_()),
            pa.field("scores", pa.struct([pa.field(label, pa.float32()) for label in labels])),
        ]
    )


def outcome_schema() -> Any:
    """Return the schema of the table of files: attributes of `Outcome`, without `rows` and `stamp`, one row a file."""
    pa = load_pyarrow()
    return pa.schema(
        [
            pa.field("source", pa.string(), nullable=False),
            pa.field("status", pa.string(), nullable=False),
            pa.field("error", pa.string(), nullable=False),
            pa.field("frames", pa.int64(), nullable=False),
            pa.field("damaged_frames", pa.int64(), nullable=False),
            pa.field("video_s", pa.float64(), nullable=False),
            pa.field("predictions", pa.int64(), nullable=False),
            pa.field("events", pa.int64(), nullable=False),
            pa.field("labels", pa.map_(pa.string(), pa.int64()), nullable=False),
            pa.field("seconds", pa.float64(), nullable=False),
        ]
    )


class RowWriter:
    """Collects rows and compresses them, so that a file of many hours takes a few megabytes."""

    def __init__(self, labels: Sequence[str]) -> None:
        """Start without rows. Raises ConfigError if pyarrow is not installed."""
        self._pa = load_pyarrow()
        self._schema = row_schema(labels)
        self._waiting: list[dict[str, Any]] = []
        self._written = 0
        self._sink = self._pa.BufferOutputStream()
        options = self._pa.ipc.IpcWriteOptions(compression="zstd")
        self._stream = self._pa.ipc.new_stream(self._sink, self._schema, options=options)

    def add_prediction(self, prediction: Prediction) -> None:
        """Add the row of a prediction."""
        window = prediction.window
        self._add(
            {
                "type": "prediction",
                "source": prediction.source,
                "seq": prediction.seq,
                "label": prediction.label,
                "score": prediction.score,
                "start_s": window.start_s,
                "end_s": window.end_s,
                "rate_ok": prediction.rate_ok,
                "scores": prediction.scores,
            }
        )

    def add_event(self, event: Event) -> None:
        """Add the row of an event that has ended."""
        self._add(
            {
                "type": "event",
                "source": event.source,
                "id": event.id,
                "label": event.label,
                "score": event.peak_score,
                "start_s": event.start_s,
                "end_s": event.end_s,
            }
        )

    def finish(self) -> tuple[bytes, int]:
        """Return all rows as an Arrow stream, and their number."""
        self._write()
        self._stream.close()
        return self._sink.getvalue().to_pybytes(), self._written

    def _add(self, row: dict[str, Any]) -> None:
        self._waiting.append(row)
        if len(self._waiting) >= _BATCH_ROWS:
            self._write()

    def _write(self) -> None:
        if self._waiting:
            self._stream.write_batch(self._pa.RecordBatch.from_pylist(self._waiting, self._schema))
            self._written += len(self._waiting)
            self._waiting = []


def read_rows(rows: bytes) -> Any:
    """Return the rows that a `RowWriter` made, as an Arrow table."""
    return load_pyarrow().ipc.open_stream(rows).read_all()
