"""Dry run: what a training would do and cost, without decoding or writing anything."""

from __future__ import annotations

import math
import resource
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from edgehar.errors import DatasetError
from edgehar_training import models
from edgehar_training.data.datasets import labels_of, load_dataset
from edgehar_training.data.datasets.splits import make_splits
from edgehar_training.data.pixels import caches
from edgehar_training.training.checks import check_start

if TYPE_CHECKING:
    from collections.abc import Sequence

    import keras

    from edgehar_training.data.datasets import Clip
    from edgehar_training.runs.run import RunConfig
    from edgehar_training.training.options import ExperimentOptions

# Number of files whose headers are read, and of training steps timed after the first, which compiles.
PROBED, TIMED = 64, 3


def describe_plan(config: RunConfig, options: ExperimentOptions) -> str:
    """Return the plan of an experiment in words. Decodes and writes nothing; builds and times a network.

    Args:
        config: settings.
        options: how to make the runs.

    Raises:
        ConfigError: the settings do not fit each other, or --init-from does not exist.
        DatasetError: the data cannot be used.
        EdgeharError: out of memory.
    """
    check_start(config, resume=options.run.resume)
    clips = load_dataset(config.data)
    labels = labels_of(clips)
    splits = make_splits(
        clips,
        protocol=config.split.kind,
        folds=config.split.folds,
        seed=options.seeds[0],
        test_fraction=config.split.test_fraction,
        val_fraction=config.split.val_fraction,
        dataset=config.data.dataset,
    )
    parts = {part: [clips[i] for i in getattr(splits[0], part)] for part in ("train", "val", "test")}
    if not parts["train"] or not parts["val"]:
        raise DatasetError("no clip is left to train or validate on; add clips")
    windows = len(parts["train"]) * config.fit.windows_per_clip
    steps, runs = math.ceil(windows / config.fit.batch_size), len(splits) * len(options.seeds)
    lines = ["dry run: nothing is decoded or written (unreadable clips will be left out)", ""]
    lines += _table(labels, parts, config, runs)
    lines += ["", f"windows: {windows:,} an epoch, {steps:,} steps of up to {config.fit.batch_size}"]
    model = _network(config, len(labels))
    lines += [_cost(model, config), _cache(clips, config)]
    step_s, memory = _timed(model, config, len(labels), min(config.fit.batch_size, windows), steps)
    return "\n".join([*lines, memory, _duration(step_s, steps, runs, config, options)])


def _table(labels: Sequence[str], parts: dict[str, list[Clip]], config: RunConfig, runs: int) -> list[str]:
    width = max(len(name) for name in (*labels, "all"))
    counts = {part: Counter(clip.label for clip in clips) for part, clips in parts.items()}
    rows = [f"{'clips':<{width}}" + "".join(f"{part:>8}" for part in parts)]
    rows += [f"{label:<{width}}" + "".join(f"{counts[part][label]:>8,}" for part in parts) for label in labels]
    rows.append(f"{'all':<{width}}" + "".join(f"{len(clips):>8,}" for clips in parts.values()))
    if runs > 1:
        rows.append(f"(the first of {runs} runs: {config.split.folds or 1} folds, each seed)")
    return rows


def _network(config: RunConfig, classes: int) -> keras.Model:
    settings = config.network
    if settings.scaling == "mean" and settings.mean is None:
        # The mean of clips is unknown before decoding, and its value does not affect the cost.
        settings = msgspec.structs.replace(settings, scaling="imagenet")
    return models.build(settings, classes)


def _cost(model: keras.Model, config: RunConfig) -> str:
    from edgehar_training.quantize.cost import macs

    encoder, head = model.get_layer("encoder"), model.get_layer("head")
    shape = "x".join(map(str, encoder.input_shape[1:]))
    return (
        f"network: {config.network.model} on {config.network.window} frames of {shape}, {model.count_params():,} "
        f"parameters, {macs(encoder):,} multiply-accumulates a frame and {macs(head):,} a window"
    )


def _cache(clips: Sequence[Clip], config: RunConfig) -> str:
    paths = list(dict.fromkeys(clip.path for clip in clips))
    probed = paths[:: math.ceil(len(paths) / PROBED)]
    known = [frames for path in probed if (frames := _frames(path))]
    if not known:
        return f"cache: unknown before the clips are decoded, in {config.cache_folder}"
    cache, _ = caches(config.cache_folder, config.data.crop, config.network)
    size = float(np.mean(known)) * len(paths) * math.prod(cache.picture_shape)
    return (
        f"cache: {_bytes(size)} of small frames in {config.cache_folder} (estimate, from the headers of {len(known)} "
        f"of {len(paths)} files)"
    )


def _frames(path: str) -> int:
    """Return the number of frames of a video from its header; 0 if it does not say."""
    import av

    try:
        with av.open(path, metadata_errors="replace") as container:
            stream = container.streams.video[0]
            if stream.frames:
                return int(stream.frames)
            if container.duration is None or stream.average_rate is None:
                return 0
            return int(container.duration / 1e6 * stream.average_rate)
    except (OSError, ValueError, IndexError):
        return 0


def _timed(model: keras.Model, config: RunConfig, classes: int, batch: int, steps: int) -> tuple[float, str]:
    """Return the seconds of a training step on random windows, and the memory it took, in words."""
    from edgehar_training.models.layer_names import freeze, named_layers
    from edgehar_training.models.stem import with_compiled_stem
    from edgehar_training.training import accelerators
    from edgehar_training.training.optimisation import make_loss, make_optimizer

    if config.fit.freeze:
        freeze(model, config.fit.freeze)
    fast = model if config.fit.jit else with_compiled_stem(model)
    optimizer = make_optimizer(config.fit, fast.trainable_variables, steps)
    jit = accelerators.jit(config.fit, list(named_layers(model).values()))
    fast.compile(optimizer=optimizer, loss=make_loss(config.fit), jit_compile=jit)
    rng = np.random.default_rng(0)
    with accelerators.memory_errors():
        windows = rng.random((batch, *model.input_shape[1:]), np.float32)
        truth = np.eye(classes, dtype=np.float32)[rng.integers(0, classes, batch)]
        times_s = []
        for _ in range(1 + TIMED):
            started_s = time.perf_counter()
            fast.train_on_batch(windows, truth)
            times_s.append(time.perf_counter() - started_s)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    memory = f"memory: {_bytes(peak)}{_gpu()} (estimate: from {TIMED} steps on random windows)"
    return float(np.median(times_s[1:])), memory


def _gpu() -> str:
    import keras

    from edgehar_training.training.accelerators import gpus

    found: list[Any] = gpus()
    if not found or keras.backend.backend() != "tensorflow":
        return ""
    import tensorflow as tf

    used = tf.config.experimental.get_memory_info("GPU:0")["peak"]
    return f", and {_bytes(used)} of the GPU"


def _duration(step_s: float, steps: int, runs: int, config: RunConfig, options: ExperimentOptions) -> str:
    total_s = step_s * steps * config.fit.epochs * runs / min(options.jobs, runs)
    words = f"{total_s / 3600:.1f} h" if total_s >= 5400 else f"{max(1, round(total_s / 60))} min"
    return (
        f"time: at most {words} (estimate: {step_s * 1e3:.0f} ms a step, {steps:,} steps, {config.fit.epochs} epochs, "
        f"{runs} {'run' if runs == 1 else 'runs'}; plus decoding and validation, less with early stopping)"
    )


def _bytes(count: float) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{max(1, round(count / 1e6))} MB"
