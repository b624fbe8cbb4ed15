"""The trials of a sweep on Ray Tune: Optuna suggests settings, ASHA stops the poor ones early.

Imports Ray: import it only if Ray is installed.
"""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import optuna
from ray import tune
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.optuna import OptunaSearch

from edgehar.progress import Progress
from edgehar_training.sweep.options import Trial, is_better
from edgehar_training.sweep.space import Choice, words_of
from edgehar_training.sweep.trial import TRIALS_FOLDER, Score, TrialJob, remove_checkpoints, run_trial

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgehar_training.sweep.options import TuneOptions
    from edgehar_training.sweep.space import Parameter, Value

log = logging.getLogger(__name__)

# Folder of Ray Tune in the folder of the sweep.
_STATE_FOLDER = "tune"
# No display but ours, no other files, Ctrl-C as usual, and a state that is never older than a second.
_ENVIRONMENT = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1",
}
# After this time the end of a trial is in the stored state, in seconds.
_SAVED_S = 30.0
# Times that a trial is run again after its process or node was lost.
_RETRIES = 3
# Of the trials that have trained this long (and three times this long, and so on), the best third goes on.
_THIRDS, _FIRST_SHARE = 3, 9


def tune_trials(job: TrialJob, options: TuneOptions) -> list[Trial]:
    """Run all trials, or those that an interrupted sweep in the same folder has not finished.

    Args:
        job: the sweep. Its folder must be absolute, and every node needs it.
        options: how many trials, and how they run.

    Returns:
        The trials, in the order in which they began.
    """
    os.environ.update(_ENVIRONMENT)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    folder = job.out / _STATE_FOLDER
    trainable = tune.with_resources(tune.with_parameters(_run, job=job), {"cpu": options.cpus, "gpu": options.gpus})
    if tune.Tuner.can_restore(str(folder)):
        tuner = tune.Tuner.restore(str(folder), trainable, resume_unfinished=True, restart_errored=True)
    else:
        tuner = tune.Tuner(
            trainable,
            param_space={parameter.key: _domain(parameter) for parameter in job.space.parameters},
            tune_config=_tune_config(job, options),
            run_config=tune.RunConfig(
                name=_STATE_FOLDER,
                storage_path=str(job.out),
                verbose=0,
                callbacks=[_Display(str(job.out), options)],
                failure_config=tune.FailureConfig(max_failures=_RETRIES),
            ),
        )
    return [_trial(result) for result in tuner.fit()]


def _tune_config(job: TrialJob, options: TuneOptions) -> Any:
    mode = "max" if options.metric == "accuracy" else "min"
    own = job.space.own(job.config)
    epochs = job.config.fit.epochs
    return tune.TuneConfig(
        metric=options.metric,
        mode=mode,
        num_samples=options.trials,
        # The first trial has the settings of the recipe, if they are in the space.
        search_alg=OptunaSearch(points_to_evaluate=None if own is None else [own], seed=job.config.split.seed),
        scheduler=ASHAScheduler(max_t=epochs, grace_period=max(1, epochs // _FIRST_SHARE), reduction_factor=_THIRDS),
        max_concurrent_trials=options.jobs,
        reuse_actors=False,
    )


def _domain(parameter: Parameter) -> Any:
    domain = parameter.domain
    if isinstance(domain, Choice):
        return tune.choice(list(domain.values))
    low, high, step = domain.low, domain.high, domain.step
    if domain.whole:
        if step is not None:
            return tune.qrandint(int(low), int(high), int(step))
        return tune.lograndint(int(low), int(high) + 1) if domain.log else tune.randint(int(low), int(high) + 1)
    if step is not None:
        return tune.quniform(low, high, step)
    return tune.loguniform(low, high) if domain.log else tune.uniform(low, high)


def _run(values: dict[str, Value], *, job: TrialJob) -> None:
    """Run one trial, in a process of Ray."""
    job.setup.prepare()
    name = tune.get_context().get_trial_id()
    run_trial(job, job.out / TRIALS_FOLDER / name, values, lambda score: tune.report(msgspec.structs.asdict(score)))


def _trial(result: Any) -> Trial:
    metrics = result.metrics or {}
    names = Score.__struct_fields__
    score = Score(**{name: metrics[name] for name in names}) if all(name in metrics for name in names) else None
    problem = "" if score is None else score.problem
    if result.error is not None:
        problem = f"its process ended {_RETRIES + 1} times: {' '.join(str(result.error).split())[-500:]}"
    return Trial(str(metrics.get("trial_id", "")), dict(result.config), score, problem)


class _Display(tune.Callback):  # type: ignore[misc]
    """Shows and tidies up trials that have ended. Tune stores it, and makes it again when it restores a sweep."""

    def __init__(self, out: str, options: TuneOptions) -> None:
        self._out, self._options = Path(out), options
        # By trial, when it ended; None if its checkpoints are deleted.
        self._ended: dict[str, float | None] = {}
        self._best: Score | None = None
        self._progress: Progress | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Return what is stored: not the progress display, and nothing that its restart would not show again."""
        return {**self.__dict__, "_ended": {}, "_best": None, "_progress": None}

    def on_step_end(self, iteration: int, trials: Sequence[Any], **_: Any) -> None:  # noqa: ARG002 - Tune names it
        """Look at all trials."""
        if self._progress is None:
            self._progress = Progress("trials", self._options.trials, unit="trials")
        for trial in trials:
            if trial.is_finished() and trial.trial_id not in self._ended:
                self._ended[trial.trial_id] = time.monotonic()
                self._show(trial)
        self._tidy_up(_SAVED_S)

    def on_experiment_end(self, trials: Sequence[Any], **info: Any) -> None:
        """Look at all trials, and clear the line."""
        self.on_step_end(0, trials, **info)
        self._tidy_up(0.0)
        if self._progress is not None:
            self._progress.close()

    def _tidy_up(self, after_s: float) -> None:
        """Delete the checkpoints of trials that ended so long ago that the stored state knows of it."""
        for name, ended_s in self._ended.items():
            if ended_s is not None and time.monotonic() - ended_s >= after_s:
                self._ended[name] = None
                remove_checkpoints(self._out / TRIALS_FOLDER / name)

    def _show(self, trial: Any) -> None:
        assert self._progress is not None
        found = trial.last_result or {}
        self._progress.close()
        where = f"trial {len(self._ended)} of {self._options.trials}: {words_of(trial.config)}"
        if "accuracy" not in found or found["problem"]:
            log.warning("%s: failed: %s", where, found.get("problem") or "its process ended")
        else:
            score = Score(**{name: found[name] for name in Score.__struct_fields__})
            if self._best is None or is_better(score, self._best, self._options.metric):
                self._best = score
            reached = f"accuracy {score.accuracy:.3f}, loss {score.loss:.3f} after {score.epochs} epochs"
            log.info("%s: %s%s", where, reached, "" if score.finished else ", stopped")
        best = "" if self._best is None else f"best accuracy {self._best.accuracy:.3f}"
        self._progress.advance(note=best)
