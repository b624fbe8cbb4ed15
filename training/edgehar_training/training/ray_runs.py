"""Runs as tasks of a Ray cluster.

A task may be run twice, because Ray repeats those of a node that is lost. So each continues what it finds in its
folder, which gives the same numbers as an uninterrupted run.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgehar.errors import ConfigError, EdgeharError
from edgehar.progress import Progress
from edgehar_training.runs.run import METRICS_FILE
from edgehar_training.training.tasks import TaskSetup

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edgehar_training.data.datasets import Clip
    from edgehar_training.training.options import ExperimentOptions, Job, RunOptions

# Times that a task is run again after its process or node was lost.
_RETRIES = 3
_STAGES = ("finetune", "qat")


def make_runs(
    ray: Any, jobs: Sequence[Job], clips: Sequence[Clip], options: ExperimentOptions, on_done: Callable[[Job], object]
) -> None:
    """Make runs on a cluster: each run is a task, and so is each of its stages of quantization.

    Args:
        ray: the module, connected to a cluster.
        jobs: the runs.
        clips: the data set. Every node needs its files, the cache and `options.out` under the same paths.
        options: how to make the runs.
        on_done: called after each run.

    Raises:
        EdgeharError: a run failed, or a node does not see the folders. No more runs are started then.
    """
    options.out.mkdir(parents=True, exist_ok=True)
    tasks = _Tasks(ray, jobs, options)
    shared = ray.put(list(clips))
    how = dataclasses.replace(options.run, resume=True, bar=False)
    waiting = {tasks.submit(dataclasses.replace(job, folder=job.folder.resolve()), shared, how): job for job in jobs}
    with Progress("training", len(waiting), unit="runs") as progress:
        while waiting:
            (done,), _ = ray.wait(list(waiting), num_returns=1)
            job = waiting.pop(done)
            tasks.result(done, job)
            if not (job.folder / METRICS_FILE).exists():
                raise ConfigError(f"{job.folder}: the finished run is not here; --out must be on a shared drive")
            on_done(job)
            progress.advance()


class _Tasks:
    """The functions below as Ray tasks, with the processors and GPUs of a run."""

    def __init__(self, ray: Any, jobs: Sequence[Job], options: ExperimentOptions) -> None:
        self._ray = ray
        data = {job.config.data.folder for job in jobs} - {None}
        folders = [options.out.resolve(), *(Path(folder) for folder in data if folder is not None)]
        self._setup = TaskSetup.of(options.cpus_per_run, folders)
        self._remote = ray.remote(num_cpus=options.cpus_per_run, num_gpus=options.gpus_per_run, max_retries=_RETRIES)

    def submit(self, job: Job, clips: Any, how: RunOptions) -> Any:
        """Start a run; returns the reference of its last task."""
        float_only = dataclasses.replace(how, qat=False)
        trained = self._remote(_train).remote(self._setup, job, clips, float_only)
        if not how.qat:
            return trained
        stages = [self._remote(_train_stage).remote(self._setup, job, clips, name, trained) for name in _STAGES]
        return self._remote(_train).remote(self._setup, job, clips, how, *stages)

    def result(self, task: Any, job: Job) -> None:
        """Raise the error of a task that has ended, if it failed."""
        errors = self._ray.exceptions
        try:
            self._ray.get(task)
        except errors.RayTaskError as error:
            cause = error.cause
            raise (cause if isinstance(cause, EdgeharError | MemoryError) else error) from None
        except errors.RayError as error:
            text = " ".join(str(error).split())
            raise EdgeharError(f"{job.folder}: its process ended {_RETRIES + 1} times: {text}") from None


def _train(setup: TaskSetup, job: Job, clips: Sequence[Clip], how: RunOptions, *_after: object) -> None:
    """Make a run."""
    setup.prepare()
    from edgehar_training.training.after_run import make_run

    make_run(job.folder, job.config, clips, job.split, how)


def _train_stage(setup: TaskSetup, job: Job, clips: Sequence[Clip], stage: Any, *_after: object) -> None:
    """Train one stage of quantization of a finished run."""
    setup.prepare()
    from edgehar_training.quantize.stages import stage_config
    from edgehar_training.runs.run import load_run
    from edgehar_training.training.options import RunOptions
    from edgehar_training.training.train_run import train_run

    config = stage_config(load_run(job.folder).config, stage)
    train_run(job.folder / stage, config, clips, job.split, RunOptions(resume=True))
