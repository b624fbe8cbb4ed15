"""Options of how runs are made. Unlike settings, they do not change the result of the training."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgehar_training.data.datasets.splits import Split
    from edgehar_training.runs.run import RunConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Options of one run.

    Attributes:
        resume: continue the run if its folder exists.
        int8: also convert the network and test the int8 bundle.
        qat: also fine-tune the run in float and with fake quantization, and compare the int8 networks.
        bar: show a progress bar; otherwise log a line every few epochs.
        tensorboard: write loss and accuracy of every epoch for TensorBoard, to the folder `tensorboard` of the run.
    """

    resume: bool = False
    int8: bool = False
    qat: bool = False
    bar: bool = False
    tensorboard: bool = False


@dataclasses.dataclass(frozen=True)
class Job:
    """One run to make: its folder, settings and split."""

    folder: Path
    config: RunConfig
    split: Split


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExperimentOptions:
    """Options of the runs of an experiment.

    Attributes:
        out: folder of the run, or of all runs.
        seeds: one run, or one set of folds, for each seed.
        jobs: number of runs made at the same time, without Ray.
        ray: address of a Ray cluster that makes the runs, "" for one of this machine; None to make them without Ray.
        cpus_per_run: processors of a run on a cluster.
        gpus_per_run: GPUs of a run on a cluster; a part such as 0.5 shares one.
        run: how to make each run.
    """

    out: Path
    seeds: list[int]
    jobs: int = 1
    ray: str | None = None
    cpus_per_run: int = 1
    gpus_per_run: float = 0.0
    run: RunOptions = RunOptions()
