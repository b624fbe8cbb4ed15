"""A run's folder as `edgehar-train` leaves it, made in a second: real clips, a network of random weights, no training.

The labels are what the float network answers, so that its accuracy is 100 % and every loss is int8's.
"""

import json
from pathlib import Path

import keras
import numpy as np

from edgehar_training.data.datasets.clip import Clip
from edgehar_training.data.datasets.splits import Split, write_splits
from edgehar_training.models import build
from edgehar_training.runs.run import Run, RunConfig
from edgehar_training.scoring.clips import score_streams
from edgehar_training.settings import AugmentSettings, DataSettings, FitSettings, NetworkSettings, SplitSettings
from support.helpers import write_video

WINDOW, CLIPS = 4, 12
SPLIT = Split(train=[0, 1, 2, 3, 4], val=[5, 6, 7, 8], test=[9, 10, 11])


def small_run(folder: Path, *, kind="rgb", spoil_int8=False, seed=0, labels=("left", "right")) -> Run:
    """Make the folder; `kind` is the network's input, `spoil_int8` gives weights that int8 cannot hold."""
    config = _config(folder, kind, seed, labels)
    (folder / "clips").mkdir(parents=True)
    rng = np.random.default_rng(seed)
    clips = [Clip(str(_write_clip(folder / "clips", rng, i)), labels[0], f"group-{i}") for i in range(CLIPS)]
    keras.utils.set_random_seed(seed)
    model = build(config.network, len(labels))
    _make_decided(model)
    if spoil_int8:
        _add_outlier(model)
    run = Run(folder, config)
    answers = _balance(model, run, clips)
    clips = [Clip(clip.path, labels[answer], clip.group) for clip, answer in zip(clips, answers, strict=True)]
    write_splits(folder / "splits.csv", clips, SPLIT, Path(config.data.folder))
    model.save(folder / "best.keras")
    config.write(folder)
    _write_metrics(folder, config)
    return run


def _config(folder, kind, seed, labels):
    return RunConfig(
        data=DataSettings(folder=str(folder / "clips"), cache=str(folder / "cache")),
        split=SplitSettings(test_fraction=0.25, val_fraction=0.25, seed=seed),
        network=NetworkSettings(input=kind, window=WINDOW, size=60, rate_hz=25.0),
        fit=FitSettings(epochs=1, batch_size=4, patience=1),
        augment=AugmentSettings(on=False),
        labels=list(labels),
        protocol="group-disjoint hold-out of 25%",
        tools={"keras": keras.__version__},
    )


def _write_clip(folder, rng, number):
    """Eight frames of a block that moves over noise, each clip with its own brightness and speed."""
    frames = rng.integers(0, 40 + 15 * number, (8, 48, 64, 3)).astype(np.uint8)
    for step, frame in enumerate(frames):
        left = (step * (1 + number % 4)) % 40
        frame[10:34, left : left + 20] = 255 - 18 * number
    return write_video(folder / f"clip-{number:02}.mp4", frames)


def _make_decided(model):
    """Random weights give nearly the same scores for everything; larger ones tell clips apart."""
    for layer in (*model.get_layer("encoder").layers, *model.get_layer("head").layers):
        if layer.weights:
            kernel, *rest = layer.get_weights()
            layer.set_weights([kernel * (4.0 if type(layer).__name__ == "Dense" else 1.6), *rest])


def _add_outlier(model):
    """A feature ten thousand times larger than the others, which the head does not look at, takes the seam's range."""
    conv = [layer for layer in model.get_layer("encoder").layers if layer.weights][-1]
    kernel, bias = conv.get_weights()
    bias[0] = 1e4
    conv.set_weights([kernel, bias])
    lstm = next(layer for layer in model.get_layer("head").layers if type(layer).__name__ == "LSTM")
    matrix, *rest = lstm.get_weights()
    matrix[0] = 0
    lstm.set_weights([matrix, *rest])


def _balance(model, run, clips):
    """Shift the last bias so that half of the clips get either label; the answers."""
    streams = [run.stream(clip) for clip in clips]
    dense = model.get_layer("head").layers[-1]
    scores = [s.mean(axis=0) for s in score_streams(model, run.preprocessor, streams, WINDOW)]
    margins = np.array([np.log(s[0] / s[1]) for s in scores])
    kernel, bias = dense.get_weights()
    bias[0] -= np.median(margins)
    dense.set_weights([kernel, bias])
    scores = [s.mean(axis=0) for s in score_streams(model, run.preprocessor, streams, WINDOW)]
    return [int(s.argmax()) for s in scores]


def _write_metrics(folder, config):
    test = {"clips": len(SPLIT.test), "top1": 1.0, "interval_95": [1.0, 1.0]}
    metrics = {"protocol": config.protocol, "seed": config.split.seed, "val": test, "test": test}
    (folder / "metrics.json").write_text(json.dumps(metrics))
