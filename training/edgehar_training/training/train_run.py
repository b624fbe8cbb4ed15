"""Train one run: from its settings to its metrics and pictures, all in one folder."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgehar.errors import ConfigError, EdgeharError
from edgehar.files import write_text
from edgehar_training.data.datasets.splits import Split, write_splits
from edgehar_training.runs import report
from edgehar_training.runs.run import (
    BEST_FILE,
    CONFIG_FILE,
    METRICS_FILE,
    SPLITS_FILE,
    Run,
    RunConfig,
    flat,
    load_run,
    with_mean,
)
from edgehar_training.scoring.run_metrics import part_metrics, truth_of
from edgehar_training.settings.network import FUSED
from edgehar_training.training.epoch_display import EpochBar, EpochLog
from edgehar_training.training.memory import keep_freed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgehar_training.data.datasets import Clip
    from edgehar_training.training.fit import EpochRow, Training
    from edgehar_training.training.options import RunOptions

# Settings that may change when a run is resumed, because they do not affect finished epochs.
FREE_SETTINGS = frozenset({"fit.epochs", "fit.patience", "data.cache", "tools", "skipped"})


def train_run(folder: Path, config: RunConfig, clips: Sequence[Clip], split: Split, options: RunOptions) -> Run:
    """Train, evaluate and report one run. Resuming a finished run changes nothing.

    Args:
        folder: folder of the run; created if missing.
        config: all settings.
        clips: the data set.
        split: which clips are in which part.
        options: how to make the run; `int8` and `qat` are left to `after_run`.

    Returns:
        The finished run.

    Raises:
        ConfigError: the folder holds a run with other settings.
        EdgeharError: training failed.
    """
    config = with_mean(config, [clips[i] for i in split.train])
    run = Run(folder, config)
    if options.resume and _finished(folder, config):
        return run
    started_s = time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    config.write(folder)
    write_splits(folder / SPLITS_FILE, clips, split, None if config.data.folder is None else Path(config.data.folder))
    write_text(folder / "labels.txt", "".join(f"{label}\n" for label in config.labels))
    training = _fit(run, [clips[i] for i in split.train], [clips[i] for i in split.val], options)
    history = training.progress.history
    metrics: dict[str, Any] = {
        "protocol": config.protocol,
        "seed": config.split.seed,
        "fold": config.fold,
        "best_epoch": training.progress.best_epoch,
        "epochs": len(history),
        "parts": {"train": len(split.train), "val": len(split.val), "test": len(split.test)},
        "skipped": config.skipped,
    }
    for part in ("val", "test"):
        if part_clips := [clips[i] for i in getattr(split, part)]:
            result = training.score(training.streams(part_clips), truth_of(config, part_clips))
            metrics[part] = part_metrics(run, part_clips, result)
    metrics["seconds"] = round(time.monotonic() - started_s, 1)
    report.draw_curves(folder / "curves.png", history, config.protocol)
    draw_test(run, metrics)
    # Last, because a run with metrics counts as finished.
    report.write_metrics(folder / METRICS_FILE, metrics)
    return run


def _finished(folder: Path, config: RunConfig) -> bool:
    if not (folder / CONFIG_FILE).exists():
        return False
    before = load_run(folder).config
    if before.network.model == FUSED and before.stage == "float":
        raise ConfigError(f"{folder}: was made by edgehar fuse and is not trained; train its parts and fuse them again")
    old, new = flat(before), flat(config)
    # The learning rate schedule depends on the number of epochs.
    free = FREE_SETTINGS if config.fit.schedule == "constant" else FREE_SETTINGS - {"fit.epochs"}
    for name in new:
        if name not in free and old[name] != new[name]:
            raise ConfigError(
                f"{folder}: was trained with {name} {old[name]!r} and cannot be resumed with {new[name]!r}; give the "
                "same settings or another --out"
            )
    return (folder / METRICS_FILE).exists() and before.fit.epochs >= config.fit.epochs


def _fit(run: Run, train: Sequence[Clip], val: Sequence[Clip], options: RunOptions) -> Training:
    from edgehar_training.quantize.stages import write_ranges
    from edgehar_training.training.fit import save_model
    from edgehar_training.training.tensorboard import EventFile

    if run.config.fit.solver != "closed-form" and any(clip.weight != 1 for clip in train):
        raise ConfigError("weights of clips need --solver closed-form; remove weights from the table of the data")
    keep_freed()
    training = training_class(run.config)(run, train, val, resume=options.resume)
    show = EpochBar(run, training) if options.bar else EpochLog(run)
    events = EventFile(run.path / "tensorboard") if options.tensorboard else None

    def after_epoch(row: EpochRow) -> None:
        report.write_history(run.path / "history.csv", training.progress.history)
        show.epoch(row)
        if events is not None:
            events.epoch(row)

    try:
        training.fit(show.step, after_epoch)
    except EdgeharError:
        if training.progress.best_epoch:
            save_model(training.model, run.path / BEST_FILE)
        raise
    finally:
        show.close()
        if events is not None:
            events.close()
    if training.fake_quantization is not None:
        write_ranges(run, training.fake_quantization.limits)
    save_model(training.model, run.path / BEST_FILE)
    return training


def training_class(config: RunConfig) -> type[Training]:
    """Return the class that trains with these settings."""
    # Networks trained on from a run, in float or as int8, follow the gradient.
    if config.fit.solver == "closed-form" and config.stage == "float":
        from edgehar_training.training.closed_form_training import ClosedFormTraining

        return ClosedFormTraining
    from edgehar_training.training.fit import Training

    return Training


def draw_test(run: Run, metrics: dict[str, Any]) -> None:
    """Draw the confusion matrix of the test clips, or of the validation clips if there is no test part."""
    part = "test" if "test" in metrics else "val"
    title = f"{metrics[part]['top1']:.1%} of {metrics[part]['clips']} {part} clips, {run.config.protocol}"
    report.draw_confusion(run.path / "confusion.png", metrics[part]["confusion"], run.config.labels, title)
