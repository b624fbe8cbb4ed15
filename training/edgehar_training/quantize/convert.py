"""From a run's folder to a bundle that the device can load."""

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
    Decision,
    Manifest,
    Provenance,
    Quantization,
    Stateful,
    Temporal,
    least_schema_version,
)
from edgehar.model.merge import merge, with_associated_files
from edgehar_training.quantize import provenance, step
from edgehar_training.quantize.card import CardFacts, model_card
from edgehar_training.quantize.child import Int8Files, Options, convert_networks
from edgehar_training.quantize.cost import macs
from edgehar_training.quantize.file_checks import check_identity, check_int8
from edgehar_training.quantize.parity import Comparison, compare, score_int8
from edgehar_training.quantize.stages import as_it_was_trained, chosen_stage, read_ranges
from edgehar_training.quantize.temperature import tempered, tempered_ranges
from edgehar_training.runs.run import BEST_FILE, load_run
from edgehar_training.scoring.clips import Result, group_bootstrap

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import keras
    import numpy.typing as npt

    from edgehar_training.data.datasets import Clip
    from edgehar_training.quantize.ranges import Limits
    from edgehar_training.quantize.stages import Stage
    from edgehar_training.runs.run import Run, RunConfig
    from edgehar_training.settings.quantize import HeadKind

# Windows that show the ranges of all values; one of each clip while there are enough clips.
CALIBRATION_WINDOWS = 128
# Windows on which streaming is compared with the whole-window model, byte for byte.
IDENTITY_WINDOWS = 64
OUTPUT = Affine(scale=1 / 256, zero_point=-128)


@dataclasses.dataclass(frozen=True)
class Conversion:
    """What was converted.

    Attributes:
        path: the bundle.
        manifest: what is in it.
        files: the TFLite files by name.
        comparison: int8 against float on the validation clips.
        seconds: how long it took.
    """

    path: Path
    manifest: Manifest
    files: dict[str, bytes]
    comparison: Comparison
    seconds: float


def convert_run(
    run_dir: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    name: str | None = None,
    max_drop: float | None = 1.0,
    max_class_drop: float | None = None,
    max_difference: float | None = None,
    evaluation: str | os.PathLike[str] | None = None,
    hop: int | None = None,
    notes: str = "",
    stage: Stage | None = None,
    head: HeadKind | None = None,
    decision: Decision | None = None,
    temperature: float = 1.0,
) -> Conversion:
    """Convert the network of a run to int8, measure what that costs, and write a bundle.

    Args:
        run_dir: what `edgehar-train` wrote.
        out: where the bundle goes, `NAME.edgehar`; replaced when it is there.
        name: name in the bundle; that of the file when None.
        max_drop: most percentage points of top-1 on the validation clips that int8 may lose; any when None.
        max_class_drop: the same for the clips of each label.
        max_difference: most by which int8 may change a score of a validation window; any when None.
        evaluation: folder of a run (most often of folds) of the same network, whose accuracy is told too.
        hop: frames between answers by default; a quarter of the window when None.
        notes: Markdown about the data set, for the model card.
        stage: which network of a run that was trained on (`stages`); the best one when None.
        head: the kind of head, see `heads`; that of the run's settings when None.
        decision: defaults for turning scores into answers.
        temperature: what the logits are divided by, in the weights, so that scores say how often they are right.

    Raises:
        ConfigError: an argument is wrong.
        ConversionError: the network cannot be converted, or int8 loses more than it may; nothing is written then.
        EdgeharError: the run or its clips cannot be read, or the bundle cannot be written.
    """
    started_s = time.monotonic()
    out, decision = Path(out), decision or Decision()
    name = out.stem if name is None else name
    _check_out(out, name)
    run, stage, reason = chosen_stage(_open_run(Path(run_dir)), stage)
    head = run.config.quantize.head if head is None else head
    hop = max(1, run.config.network.window // 4) if hop is None else hop
    _check_options(run.config, hop, max_drop, decision)
    if not 0 < temperature < float("inf"):
        raise ConfigError(f"temperature is {temperature:g}, it must be more than 0")
    accuracy = [] if evaluation is None else [provenance.evaluation_accuracy(Path(evaluation), run.config)]
    model = tempered(_load_model(run), temperature)
    limits = tempered_ranges(model.get_layer("head"), read_ranges(run), temperature)
    int8 = _convert(run, model, head, limits)
    quantization = _quantization(int8, run.config, head)
    whole = merge(int8.encoder, int8.head, run.config.network.window)
    comparison = _measure(run, as_it_was_trained(run, model, limits, float_head=head == "float"), int8, whole)
    _check_drop(comparison, max_drop)
    _check_classes_and_scores(comparison, run.config.labels, max_class_drop, max_difference)
    # A run may be its own evaluation.
    accuracy += [own for own in _own_accuracy(run, int8) if own not in accuracy]
    manifest = Manifest(
        schema_version=1,
        name=name,
        labels=run.config.labels,
        input=run.config.frame,
        temporal=Temporal(window=run.config.network.window, rate_hz=run.config.network.rate_hz, hop=hop),
        quantization=quantization,
        files={},
        decision=decision,
        provenance=replace(_origin(run, comparison, accuracy), quantized=stage, reason=reason, temperature=temperature),
        stateful=_stateful(int8, model),
    )
    manifest = replace(manifest, schema_version=least_schema_version(manifest))
    files = {
        "encoder.tflite": int8.encoder,
        "head.tflite": int8.head,
        "window.tflite": _self_contained(whole, manifest),
        **({} if int8.step is None else {STEP_FILE: int8.step}),
    }
    text = model_card(manifest, _facts(run, model, files, comparison, notes))
    manifest = write_bundle(out, manifest, {**files, "MODEL_CARD.md": text.encode()})
    return Conversion(out, manifest, files, comparison, time.monotonic() - started_s)


def calibration_windows(run: Run) -> npt.NDArray[np.int8]:
    """Windows of the training split that the ranges are taken from, drawn with the seed of the run.

    Returns:
        int8 `(n, window, height, width, 3)`.

    Raises:
        ConversionError: the training split has no clip.
    """
    clips, window = run.clips("train"), run.config.network.window
    if not clips:
        raise ConversionError(f"{run.path}: the training split has no clip to take ranges from; train the run again")
    rng = np.random.default_rng(run.config.split.seed)
    order = rng.permutation(len(clips))[:CALIBRATION_WINDOWS]
    windows = []
    for count, index in enumerate(order):
        stream = run.stream(clips[index])
        # Few clips give several windows each.
        share = CALIBRATION_WINDOWS // len(order) + (count < CALIBRATION_WINDOWS % len(order))
        windows += [stream[start : start + window] for start in rng.integers(len(stream) - window + 1, size=share)]
    return np.stack(windows)


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


def _check_options(config: RunConfig, hop: int, max_drop: float | None, decision: Decision) -> None:
    config.check_device()
    if not 1 <= hop <= config.network.window:
        raise ConfigError(f"hop is {hop}, it must be 1 to {config.network.window} (the window)")
    if max_drop is not None and not max_drop >= 0:
        raise ConfigError(f"the largest drop is {max_drop:g} points, it must be 0 or more")
    if not 0 <= decision.threshold <= 1:
        raise ConfigError(f"threshold is {decision.threshold:g}, it must be 0 to 1")
    if unknown := [label for label in decision.background if label not in config.labels]:
        raise ConfigError(f"background label {unknown[0]!r} is not one of {', '.join(config.labels)}")
    if unknown := [label for label in decision.thresholds if label not in config.labels]:
        raise ConfigError(f"thresholds label {unknown[0]!r} is not one of {', '.join(config.labels)}")


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
        raise ConfigError("a network that was trained as int8 has an unrolled or float head; use --stage finetune")
    if run.config.stage == "qat" and trained == "float" != head:
        raise ConfigError(f"the ranges of a {head} head were not learned, as the run's head is float; use --head float")
    options = Options(head=head, per_channel=run.config.quantize.per_channel, limits=limits)
    encoder, classifier = model.get_layer("encoder"), model.get_layer("head")
    return convert_networks(encoder, classifier, calibration_windows(run), run.config.affine, options)


def _quantization(int8: Int8Files, config: RunConfig, kind: HeadKind) -> Quantization:
    """Quantization as it is in the files, checked to be what the device's preprocessing makes."""
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
            raise ConversionError(f"the {what} came out as {found}, it should be {expected}; use another TensorFlow")
    return Quantization(input=wanted, seam=encoder.output_quantization, output=OUTPUT, head=kind)


def _stateful(int8: Int8Files, model: keras.Model) -> Stateful | None:
    """What the manifest says of the network of one step, None without one."""
    if int8.step is None:
        return None
    check_int8(int8.step, STEP_FILE)
    return step.describe(int8.step, step.state_names(model.get_layer("head")))


def _measure(run: Run, trained: keras.Model, int8: Int8Files, whole: bytes) -> Comparison:
    """int8 against float on the validation clips, after checking that streaming equals the whole-window model there."""
    clips = run.clips("val")
    streams = [run.stream(clip) for clip in clips]
    windows = (stream[: run.config.network.window] for stream in streams[:IDENTITY_WINDOWS])
    check_identity(int8.encoder, int8.head, whole, windows)
    return compare(trained, int8, run.preprocessor, streams, _truth(run, clips), run.config.network.window)


def _truth(run: Run, clips: Sequence[Clip]) -> npt.NDArray[np.intp]:
    return np.array([run.config.labels.index(clip.label) for clip in clips], np.intp)


def _check_drop(comparison: Comparison, max_drop: float | None) -> None:
    drop = comparison.drop_points
    # A share of clips is not exact in binary: 1.0 is not to be refused for 1.0000000001.
    if max_drop is not None and drop > max_drop + 1e-9:
        parity = comparison.parity()
        raise ConversionError(
            f"int8 loses {drop:.1f} points of top-1 on {parity.clips} validation clips ({parity.float_top1:.1%} to "
            f"{parity.int8_top1:.1%}), more than {max_drop:g}: nothing was written; train longer, or raise --max-drop"
        )


def _check_classes_and_scores(
    comparison: Comparison, labels: Sequence[str], max_class_drop: float | None, max_difference: float | None
) -> None:
    drops = comparison.class_drops(labels)
    worst = max(drops, key=lambda label: drops[label])
    if max_class_drop is not None and drops[worst] > max_class_drop + 1e-9:
        raise ConversionError(
            f"int8 loses {drops[worst]:.1f} points on the validation clips of {worst!r}, more than {max_class_drop:g}: "
            "nothing was written; train longer, or raise --max-class-drop"
        )
    largest = comparison.parity().max_score_difference
    if max_difference is not None and largest > max_difference:
        raise ConversionError(
            f"int8 changes a score by {largest:.3f}, more than {max_difference:g}: nothing was written; train longer, "
            "or raise --max-difference"
        )


def _own_accuracy(run: Run, int8: Int8Files) -> list[Accuracy]:
    """Accuracy on the run's own test part, float as it was measured in training, int8 measured now."""
    known = provenance.run_accuracy(run.path)
    clips = run.clips("test")
    if not known or known[0].int8_top1 is not None or not clips:
        return known
    streams = [run.stream(clip) for clip in clips]
    result = Result(_truth(run, clips), score_int8(int8, streams, run.config.network.window))
    interval = group_bootstrap(result.correct.tolist(), [clip.group for clip in clips], run.config.split.seed)
    return [replace(known[0], int8_top1=float(result.correct.mean()), interval_95=interval)]


def _origin(run: Run, comparison: Comparison, accuracy: list[Accuracy]) -> Provenance:
    config = run.config
    return Provenance(
        dataset=config.data.dataset
        if config.data.folder is None
        else f"{Path(config.data.folder).name} ({config.data.dataset})",
        split=config.protocol,
        seed=config.split.seed,
        parity=comparison.parity(),
        accuracy=accuracy,
        tools=provenance.tools(config),
        commit=provenance.commit(),
    )


def _self_contained(whole: bytes, manifest: Manifest) -> bytes:
    """The whole-window model with its labels and manifest, without checksums of files that are not beside it."""
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
