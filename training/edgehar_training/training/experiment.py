"""Make one run for each fold and seed, in parallel if asked for, and pool their figures."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import functools
import importlib.metadata
import logging
import multiprocessing
import os
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from edgehar.errors import ConfigError, DatasetError
from edgehar.progress import Progress
from edgehar_training import models
from edgehar_training.data.datasets import Clip, labels_of, load_dataset
from edgehar_training.data.datasets.official import check_official
from edgehar_training.data.datasets.splits import UNGROUPED_WARNING, describe_split, is_ungrouped, make_splits
from edgehar_training.data.pixels import caches
from edgehar_training.quantize import stages
from edgehar_training.quantize.stage_comparison import pooled_differences
from edgehar_training.quiet import quiet_tensorflow
from edgehar_training.runs import report
from edgehar_training.runs.run import METRICS_FILE, RunConfig
from edgehar_training.scoring.clips import per_class
from edgehar_training.scoring.intervals import group_bootstrap
from edgehar_training.training.after_run import make_run
from edgehar_training.training.checks import check_start
from edgehar_training.training.options import Job

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgehar_training.training.options import ExperimentOptions, RunOptions

log = logging.getLogger(__name__)

LIBRARIES = ("edgehar", "keras", "tensorflow", "tensorflow-cpu", "numpy", "scikit-learn")


def run_experiment(template: RunConfig, options: ExperimentOptions) -> dict[str, Any]:
    """Train and test on every fold with every seed.

    Args:
        template: the settings; labels, protocol, fold, seed, skipped and tools are filled in here.
        options: how to make the runs.

    Returns:
        The content of `metrics.json` of `options.out`.

    Raises:
        ConfigError: the settings do not fit each other, or `out` is not empty and not resumed.
        DatasetError: the data cannot be used.
    """
    if options.run.int8 or options.run.qat:
        template.check_device()
    if options.run.qat:
        stages.check_stages(template)
    if not options.run.resume and options.out.exists() and any(options.out.iterdir()):
        raise ConfigError(f"{options.out}: is not empty; continue it with --resume, or give another --out")
    template, clips = prepare_clips(template, resume=options.run.resume)
    jobs = _jobs(template, options, clips)
    _train_all(jobs, clips, options)
    if len(jobs) == 1 and jobs[0].folder == options.out:
        return report.read_metrics(options.out / METRICS_FILE)
    return write_pooled(options.out, [(job.folder, job.config) for job in jobs])


def prepare_clips(template: RunConfig, *, resume: bool) -> tuple[RunConfig, list[Clip]]:
    """Check the settings, fetch what the network needs, and decode all clips.

    Args:
        template: the settings.
        resume: whether the training has begun before, so that it needs no `--init-from`.

    Returns:
        The settings with labels, protocol, skipped and tools filled in, and the readable clips.

    Raises:
        ConfigError: the settings do not fit each other.
        DatasetError: the data cannot be used.
    """
    check_start(template, resume=resume)
    models.prepare(template.network)
    clips = load_dataset(template.data)
    if template.split.kind == "official":
        for leak in check_official(clips, template.data.dataset, template.split.folds):
            log.warning("warning: %s", leak)
    clips, skipped = _decode(clips, template)
    template = msgspec.structs.replace(
        template,
        labels=labels_of(clips),
        skipped=skipped,
        tools=_tools(),
        protocol=_protocol(template, clips),
    )
    if template.split.kind == "random":
        log.warning("warning: a random split puts clips of one group on both sides; its accuracy is too high (leaky)")
    if template.split.kind == "group" and is_ungrouped(clips):
        log.warning("warning: %s", UNGROUPED_WARNING)
    return template, clips


def write_pooled(out: Path, runs: Sequence[tuple[Path, RunConfig]]) -> dict[str, Any]:
    """Write the figures over finished runs of one experiment, and draw them.

    Args:
        out: folder of all runs.
        runs: folder and settings of each run.

    Returns:
        The content of `metrics.json` of `out`.
    """
    metrics, first = _pool(runs), runs[0][1]
    if "confusion" in metrics:
        title = f"{metrics['top1']:.1%}, {first.protocol}, {len(metrics['seeds'])} seeds"
        report.draw_confusion(out / "confusion.png", metrics["confusion"], first.labels, title)
    report.write_metrics(out / METRICS_FILE, metrics)
    return metrics


def _protocol(template: RunConfig, clips: Sequence[Clip]) -> str:
    """Return the words to show beside every accuracy: the split, and the kind of control if it is one."""
    split = template.split
    words = describe_split(split.kind, split.folds, clips, split.test_fraction, template.data.dataset)
    return ", ".join(filter(None, [words, template.frame_order.words]))


def _decode(clips: list[Clip], template: RunConfig) -> tuple[list[Clip], dict[str, str]]:
    """Fill the cache. Returns the readable clips, and the reasons for the others."""
    frames, flow = caches(template.cache_folder, template.data.crop, template.network)
    with Progress("decoding", len({clip.path for clip in clips}), unit="clips") as progress:
        skipped = frames.fill(clips, progress.advance)
    if flow is not None:
        readable = [clip for clip in clips if clip.path not in skipped]
        with Progress("optical flow", len({clip.path for clip in readable}), unit="clips") as progress:
            flow.fill(readable, progress.advance)
    for path, reason in skipped.items():
        log.warning("skipped: %s", reason if path in reason else f"{path}: {reason}")
    if skipped:
        log.warning("%d of %d clips cannot be read and were left out", len(skipped), len(clips))
    left = [clip for clip in clips if clip.path not in skipped]
    counts = Counter(clip.label for clip in left)
    for label in labels_of(clips):
        if counts[label] < 2:
            raise DatasetError(f"class {label!r} has {counts[label]} readable clips; at least 2 are needed")
    return left, skipped


def _jobs(template: RunConfig, options: ExperimentOptions, clips: Sequence[Clip]) -> list[Job]:
    single = len(options.seeds) == 1 and template.split.folds is None
    jobs = []
    for seed in options.seeds:
        splits = make_splits(
            clips,
            protocol=template.split.kind,
            folds=template.split.folds,
            seed=seed,
            test_fraction=template.split.test_fraction,
            val_fraction=template.split.val_fraction,
            dataset=template.data.dataset,
        )
        for fold, split in enumerate(splits):
            folder = options.out if single else options.out / f"seed-{seed}"
            fold_number = None if template.split.folds is None else fold
            if fold_number is not None:
                folder = folder / f"fold-{fold_number}"
            seeded = msgspec.structs.replace(template.split, seed=seed)
            config = msgspec.structs.replace(template, split=seeded, fold=fold_number)
            jobs.append(Job(folder, config, split))
    return jobs


def _train_all(jobs: Sequence[Job], clips: Sequence[Clip], options: ExperimentOptions) -> None:
    if options.ray is not None:
        from edgehar.cluster import ray_cluster
        from edgehar_training.training.ray_runs import make_runs

        cpus = None if options.jobs == 1 else options.jobs * options.cpus_per_run
        with ray_cluster(options.ray, cpus) as ray:
            make_runs(ray, jobs, clips, options, lambda job: say_done(job.folder))
        return
    if options.jobs == 1 or len(jobs) == 1:
        run_options = dataclasses.replace(options.run, bar=sys.stderr.isatty())
        for job in jobs:
            _train_one(job, clips=clips, options=run_options)
            say_done(job.folder)
        return
    train = functools.partial(_train_one, clips=clips, options=options.run)
    _share_cores(options.jobs)
    with concurrent.futures.ProcessPoolExecutor(
        options.jobs, multiprocessing.get_context("spawn"), _start_worker, (log.getEffectiveLevel(),)
    ) as pool:
        waiting = {pool.submit(train, job): job for job in jobs}
        try:
            for done in concurrent.futures.as_completed(waiting):
                done.result()
                say_done(waiting[done].folder)
        except BaseException:
            # The first failure, or Ctrl-C (which reaches running workers too): start no more runs.
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _train_one(job: Job, *, clips: Sequence[Clip], options: RunOptions) -> None:
    make_run(job.folder, job.config, clips, job.split, options)


def _share_cores(jobs: int) -> None:
    """Give each process its share of the cores; one thread each is fastest if each core has a run."""
    threads = str(max(1, len(os.sched_getaffinity(0)) // jobs))
    for name in ("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS"):
        os.environ.setdefault(name, threads)
    os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")


def _start_worker(level: int) -> None:
    logging.basicConfig(level=level, format="edgehar-train: %(message)s", stream=sys.stderr)
    quiet_tensorflow()


def say_done(folder: Path) -> None:
    """Log the accuracy of a finished run."""
    metrics = report.read_metrics(folder / METRICS_FILE)
    part = "test" if "test" in metrics else "val"
    log.info("%s: %s accuracy %.3f in %.0f s", folder, part, metrics[part]["top1"], metrics["seconds"])


def _pool(folders: Sequence[tuple[Path, RunConfig]]) -> dict[str, Any]:
    """Return figures over all runs: every clip counts once in each seed."""
    runs = [(config.split.seed, report.read_metrics(folder / METRICS_FILE)) for folder, config in folders]
    first = folders[0][1]
    metrics: dict[str, Any] = {
        "protocol": first.protocol,
        "seeds": sorted({seed for seed, _ in runs}),
        "folds": first.split.folds,
        "labels": first.labels,
        "skipped": first.skipped,
        "seconds": round(sum(run["seconds"] for _, run in runs), 1),
    }
    part = "test" if all("test" in run for _, run in runs) else "val"
    metrics["part"] = part
    metrics |= _pooled([(seed, run[part]["predictions"]) for seed, run in runs], first.labels)
    if all("int8" in run for _, run in runs):
        metrics["int8"] = _pooled([(seed, run["int8"]["predictions"]) for seed, run in runs], first.labels)
    if all(stages.KEY in run for _, run in runs):
        metrics[stages.KEY] = _pooled_stages(runs, part, first.labels)
    return metrics


def _pooled_stages(runs: Sequence[tuple[int, dict[str, Any]]], part: str, labels: list[str]) -> dict[str, Any]:
    """Return the figures of the int8 stages over all runs, and the chosen stages."""
    pooled: dict[str, Any] = {}
    for name in ("float", *stages.STAGES):
        rows = [(seed, run[stages.KEY][name][part]["predictions"]) for seed, run in runs]
        pooled[name] = _pooled(rows, labels)
    pooled["gains"] = pooled_differences([run[stages.KEY] for _, run in runs], part)
    pooled["chosen"] = dict(Counter(run[stages.KEY]["best"] for _, run in runs))
    return pooled


def _pooled(runs: Sequence[tuple[int, list[dict[str, Any]]]], labels: list[str]) -> dict[str, Any]:
    rows = [(seed, row) for seed, predictions in runs for row in predictions]
    confusion = np.zeros((len(labels), len(labels)), int)
    # Several clips may be parts of one video.
    by_clip: dict[tuple[str, str], list[float]] = {}
    by_seed: dict[int, list[float]] = {}
    for seed, row in rows:
        right = float(row["label"] == row["predicted"])
        part = f"{row['clip']}#{row.get('start_s')},{row.get('end_s')}"
        by_clip.setdefault((part, row["group"]), []).append(right)
        by_seed.setdefault(seed, []).append(right)
        confusion[labels.index(row["label"]), labels.index(row["predicted"])] += 1
    per_seed = {seed: float(np.mean(right)) for seed, right in by_seed.items()}
    correct = [float(np.mean(right)) for right in by_clip.values()]
    return {
        "clips": len(by_clip),
        "groups": len({group for _, group in by_clip}),
        "top1": float(np.mean(list(per_seed.values()))),
        "interval_95": group_bootstrap(correct, [group for _, group in by_clip]),
        "per_seed": [{"seed": seed, "top1": top1} for seed, top1 in per_seed.items()],
        "per_class": per_class(confusion, labels),
        "confusion": confusion.tolist(),
    }


def _tools() -> dict[str, str]:
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
