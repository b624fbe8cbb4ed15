"""Fake quantization: train a network as its int8 file will compute it (Jacob et al., CVPR 2018).

The forward pass rounds every int8 place, and gradients pass straight through for values inside their range. The places
are those of the export (`plan`), and between them `exact` computes as XNNPACK does, so the trained network and its file
are the same function.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from edgehar_training.models.layers import FoldTime, UnfoldTime
from edgehar_training.quantize.export import SEAM, Exporter, observe
from edgehar_training.quantize.fake_quantizer import FakeQuantizer, steps_of, steps_of_affine
from edgehar_training.quantize.ranges import RangeObserver, exact

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy.typing as npt

    from edgehar.model.manifest import Affine
    from edgehar_training.quantize.ranges import Limits


class FakeQuantization:
    """A network of windows with fake quantization, over the weights of a float network.

    Args:
        network: with layers "encoder" and "head" that are `simplified` already; its weights learn.
        first: windows of network input on which the first ranges are observed, int8 `(n, window, height, width,
            channels)`; or the ranges of another such network.
        affine: quantization of the network's input.
        momentum: momentum of the running mean of a range over steps.
        per_channel: one scale of weights for each output channel; otherwise one for all.
        float_head: the head's file computes in float, on int8 features.
        round_scores: round scores to the steps of the file, 1/256, so that ties match. Not for training, because a
            score rounded to 0 or 1 has no gradient.

    Attributes:
        model: `(batch, window, height, width, channels)` to `(batch, classes)`, with layers "encoder" and "head".

    Raises:
        ConversionError: the network has a layer that is not exported, or values that are not finite.
    """

    def __init__(
        self,
        network: keras.Model,
        first: npt.NDArray[np.int8] | Mapping[str, Limits],
        affine: Affine,
        *,
        momentum: float = 0.95,
        per_channel: bool = True,
        float_head: bool = False,
        round_scores: bool = False,
    ) -> None:
        encoder, head = network.get_layer("encoder"), network.get_layer("head")
        ranges = RangeObserver()
        exporter = Exporter(encoder, head, ranges, training=True)
        if isinstance(first, np.ndarray):
            observe(exporter, first, affine)
            first = ranges.limits
        fixed = exporter.fixed(affine)
        limits = {place: exact(*limits) for place, limits in first.items() if place not in fixed}
        # The same values share a range: a second range would follow clipped values, and cost one more rounding.
        same = {SEAM: exporter.before_seam} if {SEAM, exporter.before_seam} <= set(limits) else {}
        limits |= {place: limits[other] for place, other in same.items()}
        # If the encoder only flattens frames, the head takes the same input.
        seam = None if SEAM in limits else affine
        of_head = {place: limits.pop(place) for place in list(limits) if place.startswith("head/")}
        self._momentum, self._round_scores = momentum, round_scores
        self._parts = [
            _Quantized(encoder, exporter.encode_with, limits, same, per_channel, affine, name="encoder_places")
        ]
        if not float_head:
            places = _Quantized(head, exporter.classify_with, of_head, {}, per_channel, seam, name="head_places")
            self._parts.append(places)
        self.model = self._whole(network, encoder, head)
        self.move_ranges(moving=True)

    def _whole(self, network: keras.Model, encoder: keras.Model, head: keras.Model) -> keras.Model:
        window = head.input_shape[1]
        frame, features = keras.Input(encoder.input_shape[1:]), keras.Input(head.input_shape[1:])
        encode = keras.Model(frame, self._parts[0](frame), name="encoder")
        scores = self._parts[1](features) if self._parts[1:] else head(features)
        if self._round_scores:
            scores = _Scores(name="rounded")(scores)
        classify = keras.Model(features, scores, name="head")
        frames = keras.Input((window, *encoder.input_shape[1:]), name="window")
        codes = UnfoldTime(window, name="unfold_time")(encode(FoldTime(name="fold_time")(frames)))
        return keras.Model(frames, classify(codes), name=network.name)

    @property
    def limits(self) -> dict[str, Limits]:
        """The learned range of every place."""
        return {place: limits for part in self._parts for place, limits in part.limits.items()}

    def move_ranges(self, *, moving: bool) -> None:
        """Let ranges follow the values of training steps, or freeze them.

        The ranges of a frozen encoder never move, because its features do not change.
        """
        for part in self._parts:
            learns = bool(part.network.trainable_variables)
            part.momentum.assign(self._momentum if moving and learns else 1.0)
        self._tell_seam()

    def settle(self) -> None:
        """Round ranges to the scales of the file."""
        for part in self._parts:
            part.settle()
        self._tell_seam()

    def _tell_seam(self) -> None:
        """Copy the range of the seam, which may have moved, to the head."""
        if self._parts[1:] and (seam := self._parts[0].limits.get(SEAM)) is not None:
            self._parts[1].entry.assign([seam])


class _Scores(keras.layers.Layer):  # type: ignore[misc]
    """Scores in steps of 1/256."""

    def call(self, inputs: Any) -> Any:
        """Round the scores."""
        return keras.ops.clip(keras.ops.floor(256.0 * inputs + 0.5), 0.0, 255.0) / 256.0

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape, which does not change."""
        return input_shape


class _Quantized(keras.layers.Layer):  # type: ignore[misc]
    """Encoder or head with fake quantization.

    Args:
        network: the float network; its variables are those of this layer.
        compute: runs the network with a quantizer.
        limits: first range of every place.
        same: places that share the range of another place.
        per_channel: weights have a scale for each output channel.
        affine: quantization of the input; None if `entry` has its range.
    """

    def __init__(
        self,
        network: keras.Model,
        compute: Callable[[Any, Any], Any],
        limits: Mapping[str, Limits],
        same: Mapping[str, str],
        per_channel: bool,
        affine: Affine | None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._same = dict(same)
        self.network, self._compute, self._per_channel = network, compute, per_channel
        self._rows = {place: row for row, place in enumerate(limits)}
        first = np.array(list(limits.values()), np.float32).reshape(-1, 2)
        self.ranges = self.add_weight(name="ranges", shape=first.shape, initializer="zeros", trainable=False)
        self.ranges.assign(first)
        self.momentum = self.add_weight(name="momentum", shape=(), initializer="ones", trainable=False)
        self._affine = affine
        self.entry = self.add_weight(name="entry", shape=(1, 2), initializer="ones", trainable=False)

    def get_config(self) -> dict[str, Any]:
        """Return the settings besides network and weights. The layer is never loaded from them."""
        return {"name": self.name, "places": list(self._rows), "per_channel": self._per_channel}

    @property
    def limits(self) -> dict[str, Limits]:
        """The range of every place."""
        values = keras.ops.convert_to_numpy(self.ranges)
        return {place: (float(values[row, 0]), float(values[row, 1])) for place, row in self._rows.items()}

    def settle(self) -> None:
        """Round ranges to the scales of the file."""
        if self._rows:
            self.ranges.assign(np.array([exact(*limits) for limits in self.limits.values()], np.float32))

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Return the output of the part, real numbers; in training, the ranges then follow the values seen."""
        entry = steps_of(self.entry, [""])[""] if self._affine is None else steps_of_affine(self._affine)
        quantizer = FakeQuantizer(self.ranges, self._rows, entry, per_channel=self._per_channel, training=training)
        outputs = self._compute(inputs, quantizer)
        if training and self._rows:
            self.ranges.assign(self.momentum * self.ranges + (1 - self.momentum) * quantizer.seen(self._same))
        return outputs.real()

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape of the output."""
        return (input_shape[0], *self.network.output_shape[1:])
