"""Compare the three kinds of int8 head on one run: accuracy, agreement, size, time and instructions.

python scripts/bench/heads.py RUN [--rounds N] [--no-callgrind]

Times are medians of one call on one thread, with the heads taking turns, for the window of the run and, with the same
weights, for windows of 20 and 40 frames. If valgrind is installed, its callgrind counts instructions as the difference
between 2N and N calls. Valgrind emulates an AVX2 processor, so XNNPACK runs its AVX2 kernels.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"

WINDOWS = (20, 40)
CALLS = 20
COUNTED = """
import sys
from pathlib import Path
from edgehar.model.interpreter import TfliteModel
model = TfliteModel(Path(sys.argv[1]).read_bytes(), name="head")
for _ in range(int(sys.argv[2])):
    model.invoke()
"""


def main() -> None:
    """Measure and print two Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder written by edgehar-train")
    parser.add_argument("--rounds", type=int, default=2000, help="calls of each head (default: 2000)")
    parser.add_argument("--no-callgrind", action="store_true", help="do not count instructions")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        heads = _accuracy(args.run, Path(folder))
        print()
        _cost(
            args.run, heads, Path(folder), args.rounds, count=not args.no_callgrind and bool(shutil.which("valgrind"))
        )


def _accuracy(run: Path, folder: Path) -> dict[str, bytes]:
    """Convert the run with each head, and print its accuracy on the validation clips."""
    from edgehar_training.quantize.convert import convert_run
    from edgehar_training.quantize.heads import HEADS
    from edgehar_training.quantize.options import ConvertOptions

    heads = {}
    print("| head | top-1 float | top-1 int8 | windows as float | largest score difference | head.tflite bytes |")
    print("|---|---|---|---|---|---|")
    for kind in HEADS:
        made = convert_run(run, folder / f"{kind}.edgehar", ConvertOptions(head=kind, max_drop=None, stage="ptq"))
        heads[kind] = made.files["head.tflite"]
        parity = made.comparison.parity()
        shares = f"{parity.float_top1:.1%} | {parity.int8_top1:.1%} | {made.comparison.window_agreement:.1%}"
        print(f"| {kind} | {shares} | {parity.max_score_difference:.3f} | {len(heads[kind]):,} |", flush=True)
    return heads


def _cost(run: Path, own: dict[str, bytes], folder: Path, rounds: int, *, count: bool) -> None:
    from edgehar.model.interpreter import TfliteModel
    from edgehar_training.runs.run import load_run

    print("| window | head | ms, median of a call | instructions of a call | bytes |")
    print("|---|---|---|---|---|")
    window = load_run(run).config.network.window
    for length in sorted({window, *WINDOWS}):
        heads = own if length == window else _of_window(run, length)
        models = {kind: TfliteModel(content, name=kind) for kind, content in heads.items()}
        times = _medians(models, rounds)
        for kind, content in heads.items():
            counted = f"{_instructions(content, folder):,}" if count else "not counted"
            print(f"| {length} | {kind} | {1e3 * times[kind]:.4f} | {counted} | {len(content):,} |", flush=True)


def _of_window(path: Path, window: int) -> dict[str, bytes]:
    """Return heads with the weights of the run and another window; ranges come from repeated training windows."""
    import keras

    from edgehar_training.models import build
    from edgehar_training.quantize.calibration import calibration_windows
    from edgehar_training.quantize.child import ConvertJob, convert_networks
    from edgehar_training.quantize.heads import HEADS
    from edgehar_training.runs.run import load_run

    run = load_run(path)
    settings = run.config.network
    from msgspec.structs import replace

    model, trained = build(replace(settings, window=window), len(run.config.labels)), run.model()
    for name in ("encoder", "head"):
        model.get_layer(name).set_weights(trained.get_layer(name).get_weights())
    windows = calibration_windows(run)
    longer = np.concatenate([windows] * -(-window // settings.window), axis=1)[:, :window]
    parts = model.get_layer("encoder"), model.get_layer("head")
    made = {k: convert_networks(*parts, longer, run.config.affine, ConvertJob(head=k)).head for k in HEADS}
    keras.backend.clear_session()
    return made


def _medians(models: dict[str, object], rounds: int) -> dict[str, float]:
    """Return the median seconds of a call, with the models taking turns."""
    times: dict[str, list[float]] = {kind: [] for kind in models}
    rng = np.random.default_rng(0)
    for model in models.values():
        model.input_view()[...] = rng.integers(-128, 128, model.input_shape).astype(np.int8)
    for _ in range(rounds):
        for kind, model in models.items():
            started_s = time.perf_counter()
            model.invoke()
            times[kind].append(time.perf_counter() - started_s)
    return {kind: float(np.median(values)) for kind, values in times.items()}


def _instructions(content: bytes, folder: Path) -> int:
    """Return the instructions of one call, without loading."""
    file = folder / "counted.tflite"
    file.write_bytes(content)
    few, many = (_count(file, calls, folder) for calls in (CALLS, 2 * CALLS))
    return (many - few) // CALLS


def _count(file: Path, calls: int, folder: Path) -> int:
    command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder / 'callgrind.out'}"]
    done = subprocess.run(
        [*command, sys.executable, "-c", COUNTED, str(file), str(calls)], capture_output=True, text=True, check=False
    )
    found = re.search(r"Collected : (\d+)", done.stderr)
    if found is None:
        raise SystemExit(f"valgrind counted nothing: {done.stderr[-300:]}")
    return int(found[1])


if __name__ == "__main__":
    main()
