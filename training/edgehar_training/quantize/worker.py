"""Converts one network to int8; runs as a process of its own, because a crash of the converter takes its process along.

`python -m edgehar_training.quantize.worker JOB`, with JOB a folder made by `edgehar_training.quantize.child`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgehar.errors import EdgeharError
from edgehar.manifest import Affine
from edgehar_training.quantize.child import (
    CALIBRATION_FILE,
    ENCODER_FILE,
    ENCODER_NETWORK,
    ERROR_FILE,
    HEAD_FILE,
    HEAD_NETWORK,
)
from edgehar_training.quantize.export import INPUT, Exporter
from edgehar_training.quantize.ranges import Ranges

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

# Frames encoded at once while ranges are observed: bounds the memory.
CHUNK = 128


def main() -> int:
    """Convert; an error that is understood goes into `ERROR_FILE` of the job."""
    job = Path(sys.argv[1])
    try:
        _convert(job)
    except EdgeharError as error:
        (job / ERROR_FILE).write_text(str(error), encoding="utf-8")
        return 1
    return 0


def _convert(job: Path) -> None:
    import keras

    with np.load(job / CALIBRATION_FILE) as calibration:
        windows = calibration["windows"]
        affine = Affine(scale=float(calibration["scale"]), zero_point=int(calibration["zero_point"]))
    ranges = Ranges()
    exporter = Exporter(
        keras.saving.load_model(job / ENCODER_NETWORK), keras.saving.load_model(job / HEAD_NETWORK), ranges
    )
    features = _observe(exporter, windows, affine)
    ranges.freeze({INPUT: affine})
    (job / ENCODER_FILE).write_bytes(_to_int8(exporter.encode, (1, *windows.shape[2:])))
    (job / HEAD_FILE).write_bytes(_to_int8(exporter.classify, (1, *features.shape[1:])))


def _observe(exporter: Exporter, windows: npt.NDArray[np.int8], affine: Affine) -> npt.NDArray[np.float32]:
    """Run the float network on the windows, so that ranges are seen.

    Returns:
        The features, float32 `(windows, window, features)`.
    """
    import tensorflow as tf

    frames = windows.reshape(-1, *windows.shape[2:])
    features = []
    for begin in range(0, len(frames), CHUNK):
        real = (frames[begin : begin + CHUNK].astype(np.float32) - affine.zero_point) * np.float32(affine.scale)
        features.append(exporter.encode(tf.constant(real)).numpy())
    sequences = np.concatenate(features).reshape(*windows.shape[:2], -1)
    exporter.classify(tf.constant(sequences))
    return sequences


def _to_int8(function: Callable[[Any], Any], shape: tuple[int, ...]) -> bytes:
    import tensorflow as tf

    graph = tf.function(function, input_signature=[tf.TensorSpec(shape, tf.float32)], autograph=False)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([graph.get_concrete_function()])
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    content: bytes = converter.convert()
    return content


if __name__ == "__main__":
    sys.exit(main())
