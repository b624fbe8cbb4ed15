"""Convert one network to int8, in a process of its own, because the converter can crash.

`python -m edgehar_training.quantize.worker JOB`, with JOB a folder made by `edgehar_training.quantize.child`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from edgehar.errors import EdgeharError
from edgehar.model.interpreter import TfliteModel
from edgehar.model.manifest import Affine
from edgehar_training.quantize.child import (
    CALIBRATION_FILE,
    ENCODER_FILE,
    ENCODER_NETWORK,
    ERROR_FILE,
    HEAD_FILE,
    HEAD_NETWORK,
    OPTIONS_FILE,
    STEP_FILE,
    ConvertJob,
)
from edgehar_training.quantize.export import Exporter, observe
from edgehar_training.quantize.heads import float_head, fused_head
from edgehar_training.quantize.ranges import FakeQuantRanges, RangeObserver
from edgehar_training.quantize.step import convert_step, has_step
from edgehar_training.quiet import quiet_tensorflow

if TYPE_CHECKING:
    from collections.abc import Callable


def main() -> int:
    """Convert the network of a job. A known error is written to `ERROR_FILE` of the job."""
    job = Path(sys.argv[1])
    # An error message shows the last lines of its output.
    quiet_tensorflow()
    try:
        _convert(job)
    except EdgeharError as error:
        (job / ERROR_FILE).write_text(str(error), encoding="utf-8")
        return 1
    return 0


def _convert(job: Path) -> None:
    import keras

    import edgehar_training.models.layers  # noqa: F401 - they are registered by the import

    with np.load(job / CALIBRATION_FILE) as calibration:
        windows = calibration["windows"]
        affine = Affine(scale=float(calibration["scale"]), zero_point=int(calibration["zero_point"]))
    options = msgspec.json.decode((job / OPTIONS_FILE).read_bytes(), type=ConvertJob)
    encoder, head = (keras.saving.load_model(job / name, compile=False) for name in (ENCODER_NETWORK, HEAD_NETWORK))
    observer = RangeObserver()
    exporter = Exporter(encoder, head, observer)
    features = None if options.limits is not None else observe(exporter, windows, affine)
    limits = observer.limits if options.limits is None else options.limits
    ranges = FakeQuantRanges(limits, exporter.fixed(affine), per_channel=options.per_channel)
    exporter = exporter.with_quantizer(ranges)
    if options.limits is None:
        # QAT has already learned its biases.
        exporter.correct(windows, affine)
    made = to_int8(exporter.encode, (1, *windows.shape[2:]))
    (job / ENCODER_FILE).write_bytes(made)
    if options.head == "unrolled":
        content = to_int8(exporter.classify, (1, *head.input_shape[1:]))
    elif options.head == "float":
        content = float_head(head, TfliteModel(made, name=ENCODER_FILE).output_quantization)
    else:
        content = fused_head(head, ranges, observe(exporter, windows, affine) if features is None else features)
    (job / HEAD_FILE).write_bytes(content)
    if has_step(head) and options.head == "unrolled":
        (job / STEP_FILE).write_bytes(convert_step(head, ranges, exporter.fixed(affine)))


def to_int8(function: Callable[[Any], Any], shape: tuple[int, ...]) -> bytes:
    """Convert a function with fake quantization at every place to TFLite, int8 throughout.

    Args:
        function: a function of a float32 tensor to a float32 tensor.
        shape: shape of the input.
    """
    import tensorflow as tf

    graph = tf.function(function, input_signature=[tf.TensorSpec(shape, tf.float32)], autograph=False)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([graph.get_concrete_function()])
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    content: bytes = converter.convert()
    return content


if __name__ == "__main__":
    sys.exit(main())
