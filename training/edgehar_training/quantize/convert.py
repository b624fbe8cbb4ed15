"""Convert a run to a bundle that the device can load."""

from __future__ import annotations

import dataclasses
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from msgspec.structs import replace

from edgehar.errors import ConfigError, ConversionError, DatasetError
from edgehar.model.bundle import STEP_FILE, SUFFIX, is_bundle_name, manifest_json, write_bundle
from edgehar.model.interpreter import TfliteModel
from edgehar.model.manifest import (
    Accuracy,
    Affine,
    Manifest,
    Provenance,
    Quantization,
    Stateful,
    Temporal,
    least_schema_version,
)
from edgehar.model.merge import merge, with_associated_files
from edgehar.model.remembered import REMEMBERED_FILE
from edgehar_training.data.datasets import describe_data
from edgehar_training.quantize import step
from edgehar_training.quantize.calibration import calibration_windows
from edgehar_training.quantize.card import CardFacts, model_card
from edgehar_training.quantize.child import ConvertJob, Int8Files, convert_networks
from edgehar_training.quantize.cost import macs
from edgehar_training.quantize.file_checks import check_identity, check_int8
from edgehar_training.quantize.options import DEFAULT, ConvertOptions
from edgehar_training.quantize.parity import Comparison, compare, score_int8
from edgehar_training.quantize.provenance import commit, evaluation_accuracy, run_accuracy, tools
from edgehar_training.quantize.qat import reference_network
from edgehar_training.quantize.remember import remembered
from edgehar_training.quantize.stages import chosen_stage, read_ranges
from edgehar_training.quantize.steps import REAL_ONLY
from edgehar_training.quantize.temperature import tempered, tempered_ranges
from edgehar_training.runs.run import BEST_FILE, load_run
from edgehar_training.scoring.clips import Result
from edgehar_training.scoring.intervals import group_bootstrap
from edgehar_training.scoring.run_metrics import truth_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    import keras

    from edgehar_training.quantize.ranges import Limits
    from edgehar_training.runs.run import Run, RunConfig
    from edgehar_training.settings.quantize import HeadKind

# Windows on which streaming is compared with the whole-window model, byte for byte.
IDENTITY_WINDOWS = 64
OUTPUT = Affine(scale=1 / 256, zero_point=-128)


@dataclasses.dataclass(frozen=True)
class Conversion:
    """A finished conversion.

    Attributes:
        path: the bundle.
        manifest: manifest of the bundle.
        files: the TFLite files by name.
        comparison: int8 compared with float on the validation clips.
        seconds: duration.
    """

    path: Path
    manifest: Manifest
    files: dict[str, bytes]
    comparison: Comparison
    seconds: float


def convert_run(
    run_dir: str | os.PathLike[str], out: str | os.PathLike[str], options: ConvertOptions = DEFAULT
) -> Conversion:
    """Convert the network of a run to int8, measure the loss, and write a bundle.

    Args:
        run_dir: a folder that `edgehar-train` wrote.
        out: path of the bundle, `NAME.edgehar`; an existing file is replaced.
        options: how to convert, and how much accuracy int8 may lose.

    Raises:
        ConfigError: an option is invalid.
        ConversionError: the network cannot be converted, or int8 loses more than allowed; nothing is written.
        EdgeharError: the run or its clips cannot be read, or the bundle cannot be written.
    """
    started_s = time.monotonic()
    out = Path(out)
    name = out.stem if options.name is None else options.name
    _check_out(out, name)
    run, stage, reason = chosen_stage(_open_run(Path(run_dir)), options.stage)
    options.check(run.config)
    accuracy = [] if options.evaluation is None else [evaluation_accuracy(Path(options.evaluation), run.config)]
    network = _convert_network(run, options)
    comparison = _measure(run, network)
    options.check_losses(comparison, run.config.labels)
    # A run may be its own evaluation.
    accuracy += [own for own in _own_accuracy(run, network.int8) if own not in accuracy]
    origin = replace(
        _origin(run, comparison, accuracy),
        quantized=stage,
        reason=reason,
        temperature=options.temperature,
        alarms=options.alarms,
    )
    manifest = Manifest(
        schema_version=1,
        version=options.version,
        name=name,
        labels=run.config.labels,
        input=run.config.frame,
        temporal=Temporal(
            window=run.config.network.window,
            rate_hz=run.config.network.rate_hz,
            hop=options.hop_of(run.config),
            lead_in=run.config.network.lead_in,
        ),
        quantization=network.quantization,
        files={},
        decision=options.decision,
        provenance=origin,
        stateful=_stateful(network),
    )
    manifest = replace(manifest, schema_version=least_schema_version(manifest))
    files = network.files(manifest)
    text = model_card(manifest, _facts(run, network.model, files, comparison, options.notes))
    memory = remembered(run, network.int8, options.decision.background) if options.remember else None
    others = {"MODEL_CARD.md": text.encode(), **({} if memory is None else {REMEMBERED_FILE: memory})}
    manifest = write_bundle(out, manifest, {**files, **others})
    return Conversion(out, manifest, files, comparison, time.monotonic() - started_s)


@dataclasses.dataclass(frozen=True)
class _Int8Network:
    """A converted network.

    Attributes:
        model: the float network it was converted from.
        reference: the network to compare it with, see `reference_network`.
        int8: the converted files.
        whole: encoder and head merged into one file for a whole window.
        quantization: quantization of input, seam and output.
    """

    model: keras.Model
    reference: keras.Model
    int8: Int8Files
    whole: bytes
    quantization: Quantization

    def files(self, manifest: Manifest) -> dict[str, bytes]:
        """Return the TFLite files of the bundle by name."""
        return {
            "encoder.tflite": self.int8.encoder,
            "head.tflite": self.int8.head,
            "window.tflite": _self_contained(self.whole, manifest),
            **({} if self.int8.step is None else {STEP_FILE: self.int8.step}),
        }


def _convert_network(run: Run, options: ConvertOptions) -> _Int8Network:
    head = run.config.quantize.head if options.head is None else options.head
    model = tempered(_load_model(run), options.temperature)
    limits = tempered_ranges(model.get_layer("head"), read_ranges(run), options.temperature)
    int8 = _convert(run, model, head, limits)
    return _Int8Network(
        model,
        reference_network(run, model, limits, float_head=head == "float"),
        int8,
        merge(int8.encoder, int8.head, run.config.network.window),
        _quantization(int8, run.config, head),
    )


def _check_out(out: Path, name: str) -> None:
    if out.suffix != SUFFIX:
        raise ConfigError(f"{out}: a bundle's name ends in {SUFFIX}")
    if not is_bundle_name(name):
        raise ConfigError(
            f"{name!r} cannot name a model: use letters, digits, '.', '_' and '-', or give another --name"
        )
    if out.is_dir():
        raise ConfigError(f"{out}: is a folder; give the name of a file")
    if not out.parent.is_dir():
        raise ConfigError(f"{out.parent}: no such folder; make it first")
    if not os.access(out.parent, os.W_OK):
        raise ConversionError(f"{out.parent}: cannot be written to; choose another folder")


def _open_run(folder: Path) -> Run:
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no such folder; give the --out folder of edgehar-train")
    run = load_run(folder)
    labels = run.config.labels
    if len(labels) < 2 or len(set(labels)) < len(labels) or not all(label.strip() for label in labels):
        raise ConversionError(
            f"{folder}: its labels are {labels}; two or more different ones are needed, train it again"
        )
    if not run.clips("val"):
        raise ConversionError(f"{folder}: the validation split has no clip to measure int8 on; train the run again")
    return run


def _load_model(run: Run) -> keras.Model:
    try:
        model = run.model()
        classes = model.get_layer("head").output.shape[-1]
    except DatasetError as error:
        if not (run.path / BEST_FILE).exists():
            raise
        raise ConversionError(f"{error}; train the run again") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConversionError(f"{run.path / BEST_FILE}: cannot be loaded ({error}); train the run again") from error
    if classes != len(run.config.labels):
        raise ConversionError(
            f"{run.path}: the network has {classes} classes, the settings {len(run.config.labels)} labels; "
            "train the run again"
        )
    return model


def _convert(run: Run, model: keras.Model, head: HeadKind, limits: dict[str, Limits] | None) -> Int8Files:
    trained = run.config.quantize.head
    if run.config.stage == "qat" and head == "fused":
        raise ConfigError("a QAT network has an unrolled or float head; use --stage finetune")
    if run.config.stage == "qat" and trained == "float" != head:
        raise ConfigError(
            f"the run has a float head, so the ranges of a {head} head were not learned; use --head float"
        )
    options = ConvertJob(head=head, per_channel=run.config.quantize.per_channel, limits=limits)
    encoder, classifier = model.get_layer("encoder"), model.get_layer("head")
    if head != "float" and any(type(layer).__name__ == REAL_ONLY for layer in classifier.layers):
        raise ConfigError(f"a head of statistics over time has no {head} form; use --head float")
    return convert_networks(encoder, classifier, calibration_windows(run), run.config.affine, options)


def _quantization(int8: Int8Files, config: RunConfig, kind: HeadKind) -> Quantization:
    """Return the quantization found in the files, after checking that the device's preprocessing produces it."""
    encoder = TfliteModel(int8.encoder, name="encoder.tflite")
    head = TfliteModel(int8.head, name="head.tflite")
    for name, content in (("encoder.tflite", int8.encoder), ("head.tflite", int8.head)):
        if name != "head.tflite" or kind != "float":
            check_int8(content, name)
    # Files hold scales as float32.
    wanted = Affine(scale=float(np.float32(config.affine.scale)), zero_point=config.affine.zero_point)
    for what, found, expected in (
        ("input of the encoder", encoder.input_quantization, wanted),
        ("input of the head", head.input_quantization, encoder.output_quantization),
        ("output of the head", head.output_quantization, OUTPUT),
    ):
        if found != expected:
            raise ConversionError(
                f"the {what} came out as {found}, expected {expected}; use another version of TensorFlow"
            )
    return Quantization(input=wanted, seam=encoder.output_quantization, output=OUTPUT, head=kind)


def _stateful(network: _Int8Network) -> Stateful | None:
    """Return the manifest entry of the network of one step. Returns None if there is none."""
    if network.int8.step is None:
        return None
    check_int8(network.int8.step, STEP_FILE)
    return step.describe(network.int8.step, step.state_names(network.model.get_layer("head")))


def _measure(run: Run, network: _Int8Network) -> Comparison:
    """Compare int8 with float on the validation clips, after checking that streaming equals the whole-window file."""
    clips, window = run.clips("val"), run.config.network.window
    streams = [run.stream(clip) for clip in clips]
    windows = (stream[:window] for stream in streams[:IDENTITY_WINDOWS])
    check_identity(network.int8.encoder, network.int8.head, network.whole, windows)
    truth = truth_of(run.config, clips)
    return compare(network.reference, network.int8, run.preprocessor, streams, truth, run.config.network)


def _own_accuracy(run: Run, int8: Int8Files) -> list[Accuracy]:
    """Return the accuracy on the test part of the run: float as measured in training, int8 measured now."""
    known = run_accuracy(run.path)
    clips = run.clips("test")
    if not known or known[0].int8_top1 is not None or not clips:
        return known
    streams = [run.stream(clip) for clip in clips]
    result = Result(truth_of(run.config, clips), score_int8(int8, streams, run.config.network))
    interval = group_bootstrap(result.correct.tolist(), [clip.group for clip in clips], run.config.split.seed)
    return [replace(known[0], int8_top1=float(result.correct.mean()), interval_95=interval)]


def _origin(run: Run, comparison: Comparison, accuracy: list[Accuracy]) -> Provenance:
    config = run.config
    return Provenance(
        dataset=describe_data(config.data.dataset, config.data.folder),
        split=run.protocol,
        seed=config.split.seed,
        parity=comparison.parity(),
        accuracy=accuracy,
        tools=tools(config),
        commit=commit(),
    )


def _self_contained(whole: bytes, manifest: Manifest) -> bytes:
    """Return the whole-window model with labels and manifest attached, but without checksums of other files."""
    labels = "".join(f"{label}\n" for label in manifest.labels).encode()
    return with_associated_files(whole, {"labels.txt": labels, "manifest.json": manifest_json(manifest)})


def _facts(run: Run, model: keras.Model, files: Mapping[str, bytes], comparison: Comparison, notes: str) -> CardFacts:
    encoder, head = model.get_layer("encoder"), model.get_layer("head")
    return CardFacts(
        network=run.config.network.title,
        parameters=encoder.count_params() + head.count_params(),
        encoder_macs=macs(encoder),
        head_macs=macs(head),
        sizes={name: len(content) for name, content in files.items()},
        comparison=comparison,
        clips={part: len(run.clips(part)) for part in ("train", "val", "test")},
        skipped=len(run.config.skipped),
        notes=notes,
    )
