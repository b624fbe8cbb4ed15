"""Bias correction of an encoder: its biases compensate the mean error of each channel that rounding causes.

A rounded weight has the same error in every frame, and so has a rounded value that most pixels have. Pooling and a
recurrent head average out errors that vary between frames, but keep the mean error, which therefore costs most. A bias
compensates it at no cost (empirical bias correction: Nagel et al., "Data-Free Quantization Through Weight Equalization
and Bias Correction", ICCV 2019, section 4.2 and appendix D).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from edgehar_training.quantize.ranges import RangeObserver
from edgehar_training.quantize.steps import step_of

if TYPE_CHECKING:
    import numpy.typing as npt

    from edgehar.model.manifest import Affine
    from edgehar_training.quantize.graph import Node
    from edgehar_training.quantize.plan import Plan
    from edgehar_training.quantize.quantizer import Quantizer, Step

CORRECTED = ("Conv2D", "DepthwiseConv2D", "Dense")
# Number of frames for the means: all at once, so fewer if the output of a layer is large.
MOST_FRAMES, MOST_BYTES = 512, 1 << 27


def correct_biases(plan: Plan, windows: npt.NDArray[np.int8], affine: Affine, quantizer: Quantizer) -> None:
    """Change the biases of a network so that int8 shifts no channel's mean before its activation.

    Corrects one layer after the other, each with the int8 output of the corrected layers before it.

    Args:
        plan: an encoder; the biases of its network are changed.
        windows: windows on which the means are corrected, int8 `(n, window, height, width, channels)`.
        affine: quantization of the windows.
        quantizer: the int8 rounding of places and weights.
    """
    from keras import ops

    frames = _some_frames(plan, windows)
    inputs = ops.convert_to_tensor((frames.astype(np.float32) - affine.zero_point) * np.float32(affine.scale))
    exact, rounded, as_float = {-1: inputs}, {-1: inputs}, RangeObserver()
    last_reader = {source: index for index, (node, _) in enumerate(plan.steps) for source in node.inputs}
    for index, (node, step) in enumerate(plan.steps):
        before, after = ([values[source] for source in node.inputs] for values in (exact, rounded))
        exact[index] = step(before, as_float)
        if node.kind in CORRECTED and node.layer.use_bias:
            linear = _before_activation(node)
            shift = _means(linear(before, as_float)) - _means(linear(after, quantizer))
            node.layer.bias.assign_add(ops.cast(shift, "float32"))
        rounded[index] = step(after, quantizer)
        for source in {source for source in node.inputs if last_reader[source] == index}:
            del exact[source], rounded[source]


def _some_frames(plan: Plan, windows: npt.NDArray[np.int8]) -> npt.NDArray[np.int8]:
    """Return frames evenly spread over all windows, int8 `(n, height, width, channels)`."""
    frames = windows.reshape(-1, *windows.shape[2:])
    largest = max(4 * math.prod(node.layer.output.shape[1:]) for node, _ in plan.steps)  # bytes of float32
    count = max(1, min(len(frames), MOST_FRAMES, MOST_BYTES // largest))
    return frames[np.linspace(0, len(frames) - 1, count).astype(np.intp)]


def _before_activation(node: Node) -> Step:
    """Return the function of a layer without its activation and rounding."""
    import keras

    layer = node.layer
    activation, layer.activation = layer.activation, keras.activations.linear
    try:
        return step_of(node, layer.name, quiet=True, alone=[False])
    finally:
        layer.activation = activation


def _means(values: Any) -> Any:
    """Return the mean of every channel, float64 `(channels,)`."""
    from keras import ops

    return ops.mean(ops.cast(values, "float64"), axis=tuple(range(len(values.shape) - 1)))
