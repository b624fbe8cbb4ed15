"""Find where quantization after training loses accuracy, and what QAT gains there over its float control.

python scripts/studies/quantization_study.py [--seeds 3] [--epochs 25] [--more-epochs 8] [--clips 60] [--out FILE.md]

A small synthetic problem: a bright bar on a dim, noisy picture moves left, right, up or down (4 labels, 16x16 pixels,
8 frames), with less contrast and more noise in the test clips. Every setting trains a float network for each seed, and
fine-tunes it twice with the same steps: in float, and with fake quantization. Each of the three is converted, and its
int8 files classify the same test clips. Settings:

- plain: a CNN and an LSTM, as `lrcn` in small.
- per tensor: one int8 scale for all weights of a layer.
- outliers xN: some channels of the first convolution N times as large, and the weights of the next layer N times as
  small.
- separable: a CNN of depthwise-separable convolutions, as `compact` in small.
- per tensor, separable: both.

"plain" also has the fused head, whose cell state has 16 bits instead of 8. The last column counts the clips that the
int8 file of QAT answers differently from the trained network, and how many of them are ties of that network, with a
margin of at most 1/256, a step of a score. Prints Markdown.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"

import keras
import numpy as np

from edgehar.model.interpreter import TfliteModel
from edgehar.model.manifest import Affine
from edgehar_training.models.layers import whole
from edgehar_training.quantize.export import Exporter, observe
from edgehar_training.quantize.fake_quant import FakeQuantization
from edgehar_training.quantize.heads import fused_head
from edgehar_training.quantize.ranges import FakeQuantRanges, RangeObserver
from edgehar_training.quantize.simplify import simplified
from edgehar_training.quantize.worker import to_int8
from edgehar_training.scoring.intervals import group_bootstrap

if TYPE_CHECKING:
    from collections.abc import Callable

SIDE, WINDOW, LABELS = 16, 8, 4
AFFINE = Affine(scale=1 / 255, zero_point=-128)
RATE, MORE_RATE, BATCH = 2e-3, 3e-4, 32
COLUMNS = ("float", "PTQ", "fine-tune + PTQ", "QAT", "PTQ, fused head")


@dataclasses.dataclass(frozen=True)
class Setting:
    """One difficulty for int8."""

    name: str
    separable: bool = False
    per_channel: bool = True
    outlier: float = 1.0
    fused: bool = False


SETTINGS = (
    Setting("plain", fused=True),
    Setting("per tensor", per_channel=False),
    Setting("outliers x30", outlier=30),
    Setting("outliers x300", outlier=300),
    Setting("separable", separable=True),
    Setting("per tensor, separable", separable=True, per_channel=False),
)


def clips(count: int, seed: int, *, noise: float, contrast: float) -> tuple[Any, Any]:
    """Return windows int8 `(count, 8, 16, 16, 3)` and their labels."""
    rng = np.random.default_rng(seed)
    truth = np.arange(count) % LABELS
    frames = rng.normal(90, noise, (count, WINDOW, SIDE, SIDE, 3)) + rng.normal(0, 12, (count, 1, 1, 1, 3))
    for window, label in enumerate(truth):
        start, across = rng.integers(0, SIDE), slice(corner := rng.integers(0, SIDE // 2), corner + SIDE // 2)
        for step in range(WINDOW):
            at = (start + (1 if label % 2 else -1) * step) % SIDE
            place = (across, at) if label < 2 else (at, across)
            frames[window, step][place] += contrast
    return (np.clip(frames, 0, 255).round() - 128).astype(np.int8), truth


def make_network(setting: Setting) -> keras.Model:
    """Build a small CNN and an LSTM."""
    layers = keras.layers
    x = frame = keras.Input((SIDE, SIDE, 3))
    for index, filters in enumerate((12, 16, 24)):
        if setting.separable and index:
            x = layers.BatchNormalization(momentum=0.9)(layers.DepthwiseConv2D(3, padding="same", use_bias=False)(x))
            x = layers.Conv2D(filters, 1, use_bias=False)(layers.ReLU(6.0)(x))
        else:
            x = layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
        x = layers.ReLU(6.0 if setting.separable else None)(layers.BatchNormalization(momentum=0.9)(x))
        x = layers.MaxPooling2D(2)(x)
    encoder = keras.Model(frame, layers.Flatten()(x), name="encoder")
    features = keras.Input((WINDOW, encoder.output_shape[1]))
    scores = layers.Dense(LABELS, activation="softmax")(layers.LSTM(24)(features))
    return whole(encoder, keras.Model(features, scores, name="head"), "small")


def add_outliers(network: keras.Model, factor: float) -> None:
    """Enlarge a quarter of the channels of the first convolution; the next one undoes it, so float is unchanged."""
    first, second = [layer for layer in network.get_layer("encoder").layers if isinstance(layer, keras.layers.Conv2D)][
        :2
    ]
    (kernel, bias), (after, after_bias) = first.get_weights(), second.get_weights()
    chosen = np.arange(0, kernel.shape[-1], 4)
    kernel[..., chosen] *= factor
    bias[chosen] *= factor
    after[:, :, chosen] /= factor
    first.set_weights([kernel, bias])
    second.set_weights([after, after_bias])


def train(model: keras.Model, data: tuple[Any, Any], epochs: int, rate: float, after_half: Callable[[], None]) -> None:
    """Train with the same steps in the same order for any model."""
    windows, truth = data
    model.compile(optimizer=keras.optimizers.Adam(rate), loss="categorical_crossentropy")
    for epoch in range(epochs):
        if epoch == epochs // 2:
            after_half()
        order = np.random.default_rng(epoch).permutation(len(windows))
        for begin in range(0, len(order) - BATCH + 1, BATCH):
            part = order[begin : begin + BATCH]
            model.train_on_batch(real(windows[part]), np.eye(LABELS, dtype=np.float32)[truth[part]])


def real(windows: Any) -> Any:
    """Return the float input."""
    return (windows.astype(np.float32) + 128) / 255


def int8_answers(
    network: keras.Model, setting: Setting, data: Any, test: Any, limits: Any = None, *, fused: bool
) -> Any:
    """Return the answers of the int8 files for the test windows."""
    observer = RangeObserver()
    head = network.get_layer("head")
    exporter = Exporter(network.get_layer("encoder"), head, observer)
    features = observe(exporter, data, AFFINE) if limits is None else None
    known = observer.limits if limits is None else limits
    ranges = FakeQuantRanges(known, exporter.fixed(AFFINE), per_channel=setting.per_channel)
    exporter = exporter.with_quantizer(ranges)
    encode = TfliteModel(to_int8(exporter.encode, (1, SIDE, SIDE, 3)), name="encoder")
    content = fused_head(head, ranges, features) if fused else to_int8(exporter.classify, (1, *head.input_shape[1:]))
    classify = TfliteModel(content, name="head")
    scores = [classify.run(np.concatenate([encode.run(frame) for frame in window])) for window in test]
    return np.concatenate(scores).argmax(axis=1)


def one_seed(setting: Setting, seed: int, args: argparse.Namespace) -> tuple[dict[str, Any], list[int]]:
    """Return which test clips each column answers correctly, and where the file of QAT differs from its model.

    A differing clip is given by the margin of the model: its best score minus the score of the file's answer, in 1/256.
    """
    keras.utils.set_random_seed(seed)
    data = clips(args.clips * LABELS, seed, noise=8, contrast=110)
    test, truth = clips(args.test_clips, 1000 + seed, noise=14, contrast=60)
    network = make_network(setting)
    train(network, data, args.epochs, RATE, lambda: None)
    base = whole(simplified(network.get_layer("encoder")), simplified(network.get_layer("head")), "small")
    if setting.outlier != 1:
        add_outliers(base, setting.outlier)
    weights = base.get_weights()
    right = {"float": base.predict(real(test), verbose=0).argmax(axis=1) == truth}
    right["PTQ"] = int8_answers(base, setting, data[0], test, fused=False) == truth
    if setting.fused:
        right["PTQ, fused head"] = int8_answers(base, setting, data[0], test, fused=True) == truth
    train(base, data, args.more_epochs, MORE_RATE, lambda: None)
    right["fine-tune + PTQ"] = int8_answers(base, setting, data[0], test, fused=False) == truth
    base.set_weights(weights)
    quantized = FakeQuantization(base, data[0], AFFINE, per_channel=setting.per_channel)
    train(quantized.model, data, args.more_epochs, MORE_RATE, lambda: quantized.move_ranges(moving=False))
    quantized.settle()
    # In the steps of the file, so that ties match.
    trained = np.floor(256 * quantized.model.predict(real(test), verbose=0) + 0.5).clip(0, 255).astype(int)
    answers = int8_answers(base, setting, data[0], test, quantized.limits, fused=False)
    right["QAT"] = answers == truth
    keras.backend.clear_session()
    differ = np.flatnonzero(answers != trained.argmax(axis=1))
    return right, (trained.max(axis=1)[differ] - trained[differ, answers[differ]]).tolist()


def row(setting: Setting, args: argparse.Namespace) -> str:
    """Return a line of the table: means over seeds, and the gain of QAT over its control."""
    found = [one_seed(setting, seed, args) for seed in range(args.seeds)]
    cells = []
    for column in COLUMNS:
        shares = [100 * float(right[column].mean()) for right, _ in found if column in right]
        spread = f" ({min(shares):.1f} to {max(shares):.1f})" if shares else ""
        cells.append(f"{np.mean(shares):.1f}{spread}" if shares else "")
    # Clips of different seeds are different clips.
    gains = [float(g) for right, _ in found for g in right["QAT"].astype(float) - right["fine-tune + PTQ"]]
    low, high = group_bootstrap(gains, [str(number) for number in range(len(gains))])
    gain = f"{100 * np.mean(gains):+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"
    same = f"{100 * (1 - max(len(margins) for _, margins in found) / args.test_clips):.1f}"
    margins = [margin for _, seed in found for margin in seed]
    ties = f"{len(margins)}, of them {sum(margin <= 1 for margin in margins)}"
    return f"| {setting.name} | {' | '.join(cells)} | {gain} | {same} | {ties} |"


def main() -> None:
    """Run all settings and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=25, help="of the float network")
    parser.add_argument("--more-epochs", type=int, default=8, help="of each fine-tune")
    parser.add_argument("--clips", type=int, default=60, help="training clips of each label")
    parser.add_argument("--test-clips", type=int, default=400)
    parser.add_argument("--settings", nargs="+", choices=[s.name for s in SETTINGS], default=[s.name for s in SETTINGS])
    parser.add_argument("--out", type=Path, help="write the table there too")
    args = parser.parse_args()
    started_s = time.monotonic()
    head = (
        "setting",
        *COLUMNS,
        "QAT - fine-tune, points (95 %)",
        "QAT's file as its model, %, least",
        "differ, of them ties",
    )
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    print("\n".join(lines), flush=True)
    for setting in SETTINGS:
        if setting.name in args.settings:
            lines.append(row(setting, args))
            print(lines[-1], flush=True)
    if args.out is not None:
        args.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(
        f"{args.seeds} seeds, {args.test_clips} test clips each; {time.monotonic() - started_s:.0f} s", file=sys.stderr
    )


if __name__ == "__main__":
    main()
