"""A batch from its list of files to its table: resumed, classified, merged and summarized."""

from __future__ import annotations

import contextlib
import hashlib
import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import msgspec

from edgehar._version import __version__
from edgehar.batch.clip_worker import ClipJob, ClipStatus, Outcome
from edgehar.batch.dispatch import Dispatch
from edgehar.batch.parts import PartLimits, Parts
from edgehar.batch.table import load_pyarrow, outcome_schema
from edgehar.errors import ConfigError
from edgehar.events.decider import Decider
from edgehar.events.options import DecisionOptions
from edgehar.files import whole_file
from edgehar.inspect import trial
from edgehar.progress import Progress

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from edgehar.batch.dispatch import Workers
    from edgehar.batch.listing import BatchFile

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class BatchOptions:
    """Options of a batch.

    Attributes:
        model: path of a bundle, or the name of a shipped model.
        out: the table, NAME.parquet.
        jobs: number of workers.
        every_s: seconds of video between two rows of predictions; 0 for all predictions.
        events_only: whether to leave predictions out.
        decision: rules of events, over those of the model.
        stall_s: end a worker that made no progress for this many seconds.
        limits: how much is lost if the batch is killed.
    """

    model: str | os.PathLike[str]
    out: Path
    jobs: int
    every_s: float = 0.0
    events_only: bool = False
    decision: DecisionOptions = field(default_factory=DecisionOptions)
    stall_s: float = 300.0
    limits: PartLimits = field(default_factory=PartLimits)


@dataclass(frozen=True)
class Summary:
    """Result of a batch.

    Attributes:
        outcomes: of every file, in the order of the list.
        rows: rows of the table.
        sources: the table of outcomes.
    """

    outcomes: list[Outcome]
    rows: int
    sources: Path

    @property
    def failed(self) -> list[Outcome]:
        """Files that were not classified to their end."""
        return [outcome for outcome in self.outcomes if outcome.status is not ClipStatus.DONE]


def run_batch(
    files: Sequence[BatchFile], options: BatchOptions, make_workers: Callable[[ClipJob], Workers[Any]]
) -> Summary:
    """Classify files and write the table. What an interrupted batch with the same settings has done is kept.

    Args:
        files: the files, each with a name of its own.
        options: how.
        make_workers: makes what starts the workers.

    Raises:
        ConfigError: the table exists, a setting is invalid, or the interrupted batch had other settings.
        BundleError: the model cannot be used.
        OSError: the results cannot be written.
    """
    load_pyarrow()
    bundle = trial.open_bundle(options.model)
    manifest = bundle.manifest
    # Raises ConfigError before anything is started.
    Decider(manifest.labels, options.decision, manifest.decision)
    folder = options.out.with_name(f"{options.out.name}.parts")
    if options.out.exists() and not folder.exists():
        raise ConfigError(f"{options.out}: exists; give another --out, or remove it")
    sha256 = hashlib.sha256(bundle.path.read_bytes()).hexdigest()
    job = ClipJob(bundle, sha256, options.decision, options.every_s, options.events_only)
    settings = {
        "model": manifest.name,
        "model_sha256": sha256,
        "edgehar": __version__,
        "every_s": options.every_s,
        "events_only": options.events_only,
        "decision": msgspec.to_builtins(options.decision),
    }
    with Parts(folder, settings, manifest.labels, limits=options.limits) as parts:
        _classify(files, parts, options, lambda: make_workers(job))
        names = [file.name for file in files]
        done = parts.done
        outcomes = [done[name] for name in names]
        sources = options.out.with_name(f"{options.out.stem}.sources.parquet")
        _write_outcomes(sources, outcomes)
        rows = parts.write_table(options.out, names, {f"edgehar.{key}": str(settings[key]) for key in settings})
        parts.remove()
    return Summary(outcomes, rows, sources)


def _classify(
    files: Sequence[BatchFile], parts: Parts, options: BatchOptions, make_workers: Callable[[], Workers[Any]]
) -> None:
    """Classify the files that are not done yet."""
    done, stamps = parts.done, {file.name: file.stamp for file in files}
    changed = {name for name, outcome in done.items() if stamps.get(name, "") not in ("", outcome.stamp)}
    missing = [file for file in files if file.name not in done or file.name in changed]
    if done:
        _log.info("%s: continuing; %d of %d files are done", options.out, len(files) - len(missing), len(files))
    if changed:
        _log.info("%s: %d files have changed since, and are classified again", options.out, len(changed))
    if not missing:
        return
    replies = Dispatch(make_workers(), options.jobs, stall_s=options.stall_s).run(missing)
    before = len(files) - len(missing)
    with (
        Progress("classifying", len(files), unit="files", done=before, lines=10) as progress,
        contextlib.closing(replies),
    ):
        failed = 0
        for reply in replies:
            outcome = msgspec.structs.replace(reply.outcome, stamp=stamps[reply.outcome.source])
            parts.add(replace(reply, outcome=outcome))
            failed += reply.outcome.status is not ClipStatus.DONE
            progress.advance(note=f"{failed} failed" if failed else "")


def _write_outcomes(path: Path, outcomes: list[Outcome]) -> None:
    pa = load_pyarrow()
    rows = []
    for outcome in outcomes:
        row = msgspec.structs.asdict(outcome)
        row["labels"] = sorted(outcome.labels.items())
        rows.append(row)
    with whole_file(path) as temporary:
        pa.parquet.write_table(pa.Table.from_pylist(rows, outcome_schema()), temporary, compression="zstd")
