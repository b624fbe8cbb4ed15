"""Quantization-aware training: the network a stage starts from, and the network its int8 files are compared with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgehar_training.quantize.calibration import calibration_windows
from edgehar_training.runs.run import BEST_FILE, Run, load_network

if TYPE_CHECKING:
    from collections.abc import Mapping

    import keras

    from edgehar_training.quantize.fake_quant import FakeQuantization
    from edgehar_training.quantize.ranges import Limits


def start_network(run: Run) -> keras.Model:
    """Return the network a stage starts from: the network of the float run, simplified as for export.

    Raises:
        DatasetError: the float run does not exist.
        ConversionError: its network cannot be exported.
    """
    from edgehar_training.models.layer_names import freeze
    from edgehar_training.models.layers import whole
    from edgehar_training.quantize.simplify import simplified

    model = load_network(run.path.parent / BEST_FILE)
    network = whole(simplified(model.get_layer("encoder")), simplified(model.get_layer("head")), model.name)
    if run.config.fit.freeze:
        freeze(network, run.config.fit.freeze)
    return network


def fake_quantization(run: Run, network: keras.Model) -> FakeQuantization:
    """Return a network with fake quantization that shares the weights of `network`, as the settings of the run say.

    The ranges are observed first. The encoder starts with the corrected biases of the `ptq` stage; they are changed in
    `network`.

    Args:
        run: the run of the stage.
        network: the simplified float network, see `start_network`.
    """
    from edgehar_training.quantize.export import Exporter
    from edgehar_training.quantize.fake_quant import FakeQuantization
    from edgehar_training.quantize.ranges import FakeQuantRanges

    settings, windows = run.config.quantize, calibration_windows(run)
    quantized = FakeQuantization(
        network,
        windows,
        run.config.affine,
        momentum=settings.range_momentum,
        per_channel=settings.per_channel,
        float_head=settings.head == "float",
    )
    ranges = FakeQuantRanges(quantized.limits, per_channel=settings.per_channel)
    Exporter(network.get_layer("encoder"), network.get_layer("head"), ranges).correct(windows, run.config.affine)
    return quantized


def reference_network(
    run: Run, model: keras.Model, limits: Mapping[str, Limits] | None, *, float_head: bool
) -> keras.Model:
    """Return the network to compare the int8 files with: the float network, or for QAT the fake-quantized network.

    Args:
        run: the run of the network.
        model: the float network.
        limits: the ranges that QAT learned; None for other stages.
        float_head: whether the head of the files computes in float.
    """
    if limits is None:
        return model
    from edgehar_training.quantize.fake_quant import FakeQuantization

    return FakeQuantization(
        model,
        limits,
        run.config.affine,
        per_channel=run.config.quantize.per_channel,
        float_head=float_head,
        round_scores=True,
    ).model
