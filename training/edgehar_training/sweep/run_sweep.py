"""A sweep from its recipe to its table of trials and the recipe of the best."""

from __future__ import annotations

import csv
import json
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from edgehar.cluster import ray_cluster
from edgehar.config.words import key, toml
from edgehar.errors import ConfigError, EdgeharError
from edgehar.files import whole_file, write_text
from edgehar_training.data.datasets.splits import inner_splits, make_splits
from edgehar_training.runs.run import GROUPS, flat
from edgehar_training.sweep.options import is_better
from edgehar_training.sweep.trial import TrialJob
from edgehar_training.training.experiment import prepare_clips
from edgehar_training.training.tasks import TaskSetup

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgehar_training.runs.run import RunConfig
    from edgehar_training.sweep.options import SweepOptions, Trial
    from edgehar_training.sweep.space import Space
    from edgehar_training.sweep.trial import Score

log = logging.getLogger(__name__)

SETTINGS_FILE, TABLE_FILE, BEST_FILE = "sweep.json", "trials.csv", "best.toml"
# What may change when a sweep goes on: `data.cache` may move, and libraries change.
_FREE = frozenset({"data.cache", "tools", "skipped"})


@dataclass(frozen=True)
class Found:
    """Result of a sweep.

    Attributes:
        best: the best trial.
        score: of the best trial.
        trials: all trials.
        recipe: the recipe with the settings of the best.
    """

    best: Trial
    score: Score
    recipe: Path
    trials: Sequence[Trial] = field(default_factory=list)


def run_sweep(template: RunConfig, space: Space, options: SweepOptions) -> Found:
    """Search settings on inner folds. Test clips are set aside first, and no trial gets them.

    Args:
        template: the settings; those in the space are searched.
        space: the settings to search, and their values.
        options: how.

    Raises:
        ConfigError: the settings do not fit each other, or the folder holds another sweep.
        DatasetError: the data cannot be used.
        EdgeharError: all trials failed.
    """
    with ray_cluster(options.ray):
        return _swept(template, space, options)


def make_job(template: RunConfig, space: Space, options: SweepOptions) -> TrialJob:
    """Load the clips, set aside those that edgehar-train would test, and deal the others into inner folds.

    Args:
        template: the settings.
        space: the settings to search.
        options: folder and number of inner folds.

    Raises:
        ConfigError: the settings do not fit each other.
        DatasetError: the data cannot be used.
    """
    config, clips = prepare_clips(template, resume=options.resume)
    settings = config.split
    split = make_splits(
        clips,
        protocol=settings.kind,
        seed=settings.seed,
        test_fraction=settings.test_fraction,
        val_fraction=settings.val_fraction,
        dataset=config.data.dataset,
    )[0]
    kept = [clips[i] for i in sorted([*split.train, *split.val])]
    inner = inner_splits(kept, random=settings.kind == "random", folds=options.inner_folds, seed=settings.seed)
    log.info("%d clips in %d inner folds; %d test clips are set aside", len(kept), options.inner_folds, len(split.test))
    out = options.out.resolve()
    data = [] if config.data.folder is None else [Path(config.data.folder)]
    return TrialJob(TaskSetup.of(options.tuning.cpus, [out, *data]), out, config, kept, inner, space)


def _swept(template: RunConfig, space: Space, options: SweepOptions) -> Found:
    from edgehar_training.sweep.tuning import tune_trials

    _check_folder(template, space, options)
    trials = tune_trials(make_job(template, space, options), options.tuning)
    _write_table(options.out / TABLE_FILE, trials, space)
    best = _best(trials, options)
    assert best.score is not None
    recipe = options.out / BEST_FILE
    write_text(recipe, _recipe_text(space.applied(template, best.values), best, len(trials), options))
    return Found(best, best.score, recipe, trials)


def _check_folder(template: RunConfig, space: Space, options: SweepOptions) -> None:
    """Write the settings of the sweep to its folder, or compare them with those of the sweep that goes on."""
    if not options.resume and options.out.exists() and any(options.out.iterdir()):
        raise ConfigError(f"{options.out}: is not empty; continue it with --resume, or give another --out")
    settings = {
        **{name: value for name, value in flat(template).items() if name not in _FREE},
        "trials": options.tuning.trials,
        "metric": options.tuning.metric,
        "inner folds": options.inner_folds,
        "space": [msgspec.to_builtins(parameter) for parameter in space.parameters],
    }
    new, path = json.loads(json.dumps(settings)), options.out / SETTINGS_FILE
    if not path.exists():
        options.out.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(new, indent=1) + "\n")
        return
    try:
        old = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: {error}; give another --out") from None
    for name, value in new.items():
        if old.get(name) != value:
            raise ConfigError(
                f"{options.out}: was begun with {name} {old.get(name)!r} and cannot go on with {value!r}; give the "
                "same, or another --out"
            )


def _best(trials: Sequence[Trial], options: SweepOptions) -> Trial:
    best: Trial | None = None
    for trial in trials:
        if trial.score is None or trial.problem:
            continue
        if best is None or best.score is None or is_better(trial.score, best.score, options.tuning.metric):
            best = trial
    if best is None:
        raise EdgeharError(f"all {len(trials)} trials failed; the first: {trials[0].problem if trials else 'none'}")
    return best


def _write_table(path: Path, trials: Sequence[Trial], space: Space) -> None:
    keys = [parameter.key for parameter in space.parameters]
    with whole_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["trial", "state", "epochs", "accuracy", "loss", *keys, "problem"])
        for trial in trials:
            score = trial.score
            figures: list[Any] = ["", "", ""]
            if score is not None and not trial.problem:
                figures = [score.epochs, f"{score.accuracy:.4f}", f"{score.loss:.4f}"]
            writer.writerow([trial.name, _state(trial), *figures, *(trial.values[k] for k in keys), trial.problem])


def _state(trial: Trial) -> str:
    if trial.problem or trial.score is None:
        return "failed"
    return "done" if trial.score.finished else "stopped"


def _recipe_text(config: RunConfig, best: Trial, trials: int, options: SweepOptions) -> str:
    assert best.score is not None
    lines = [
        f"# The best of {trials} trials of edgehar sweep, on {options.inner_folds} inner folds. Train it with:",
        "# edgehar-train --recipe best.toml --out RUN",
        "",
        "[sweep]",
        f"trials = {trials}",
        f"accuracy = {best.score.accuracy:.4f}",
        f"loss = {best.score.loss:.4f}",
    ]
    groups = {name: getattr(config, name) for name in GROUPS}
    if options.run is not None:
        groups["run"] = options.run
    for name, struct in groups.items():
        values = {
            setting: value for setting, value in msgspec.structs.asdict(struct).items() if value not in (None, [], {})
        }
        # One split with one seed, because the clips that others test were seen by trials.
        for left_out in {"split": ("folds",), "run": ("seeds", "jobs"), "data": ("cache",)}.get(name, ()):
            values.pop(left_out, None)
        if values:
            rows = [f"{key(setting)} = {toml(value, masked=False)}" for setting, value in values.items()]
            lines += ["", f"[{name}]", *rows]
    return "\n".join(lines) + "\n"
