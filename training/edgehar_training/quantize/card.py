"""The model card (Mitchell et al., FAT* 2019): Markdown with the front matter that Hugging Face's hub reads."""

from __future__ import annotations

import json
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgehar.model.measured import false_alarms_text, found_text
from edgehar_training.data.datasets.splits import UNGROUPED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgehar.model.manifest import Accuracy, Input, Manifest
    from edgehar_training.quantize.parity import Comparison

INPUT_TEXT = {
    "none": "its pixels in RGB, divided by 255",
    "grey-difference": "three channels of motion: the difference of the gray frame from the previous frame, from the "
    "frame before that, and the absolute value of the first difference, divided by 255",
}
INPUT_LIMITS = {
    "none": "It learns appearance as well as motion: a background similar to one in the training data can bias it.",
    "grey-difference": "It sees only change: camera shake, flicker and switched lights look like motion, and still "
    "objects are invisible.",
}
STABILIZED_LIMITS = (
    "It sees only change: still objects are invisible, and flicker and switched lights look like motion. So does a "
    "camera that turns, zooms, or shakes by more than 23 pixels of the 320x240 picture."
)
LIT_LIMITS = (
    "It sees only change: camera shake and light that changes in a part of the picture look like motion, and still "
    "objects are invisible."
)
STEADY_LIMITS = (
    "It sees only change: still objects are invisible, and light that changes in a part of the picture looks like "
    "motion. So does a camera that turns, zooms, or shakes by more than 23 pixels of the 320x240 picture."
)
HEAD_TEXT = {
    "unrolled": "every TFLite file in this bundle is int8",
    "fused": "every TFLite file in this bundle is int8, and the state of its LSTM is reset before each window",
    "float": "the encoder is int8, the head computes in 32-bit floats between int8 features and scores",
}
STAGE_TEXT = {
    "ptq": "",
    "finetune": "It was fine-tuned in float before it was quantized",
    "qat": "It was fine-tuned with fake quantization (QAT), and is compared with the fake-quantized network",
}
ETHICS = """
Frames are classified on the device. Only labels, scores and times are printed or published, no frames or encodings. The
model holds no identities and cannot distinguish people. Filming people is regulated in most places: inform them, keep
as little as possible, and check the law. Errors are more frequent for people and scenes that the training data lacks.
Never use its answer as the sole basis for an action against or about a person.
"""


@dataclass(frozen=True)
class CardFacts:
    """Facts of the card that are not in the manifest.

    Attributes:
        network: name of the network.
        parameters: number of parameters of encoder and head.
        encoder_macs: multiply-accumulates of one frame.
        head_macs: multiply-accumulates of one window.
        sizes: bytes of each TFLite file.
        comparison: int8 against float on the validation clips.
        clips: number of clips of each part of the split.
        skipped: number of unreadable clips that were left out.
        notes: Markdown about the data set, for the section on data; may be empty. If it has a line `---`, what is above
            that line is placed at the top of the card, in place of the table of alarms.
    """

    network: str
    parameters: int
    encoder_macs: int
    head_macs: int
    sizes: Mapping[str, int]
    comparison: Comparison
    clips: Mapping[str, int]
    skipped: int
    notes: str


def model_card(manifest: Manifest, facts: CardFacts) -> str:
    """Write the card of a bundle."""
    top, line, rest = facts.notes.partition("\n---\n")
    first, notes = (top.strip(), rest) if line else ("", facts.notes)
    sections = (
        _front_matter(manifest),
        *_what(manifest, first),
        "" if first else _alarms(manifest),
        _data(manifest, facts, notes),
        _accuracy(manifest, facts),
        _input(manifest),
        _size(manifest, facts),
        _limits(manifest),
        f"## Privacy and ethics\n\n{_paragraph(ETHICS)}",
        _origin(manifest),
    )
    return "\n\n".join(filter(None, sections)) + "\n"


def _paragraph(text: str, indent: str = "") -> str:
    return textwrap.fill(text.strip(), 120, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def _front_matter(manifest: Manifest) -> str:
    lines = ["---", "library_name: edgehar", "license: apache-2.0", "pipeline_tag: video-classification"]
    lines.append("tags: [action-recognition, tflite, int8, edge, raspberry-pi]")
    if manifest.provenance.accuracy:
        # JSON strings are YAML strings.
        name, dataset = json.dumps(manifest.name), json.dumps(manifest.provenance.dataset)
        lines += ["model-index:", f"- name: {name}", "  results:", "  - task: {type: video-classification}"]
        lines += [f"    dataset: {{name: {dataset}, type: {dataset}}}", "    metrics:"]
    for accuracy in manifest.provenance.accuracy:
        kind = "float" if accuracy.int8_top1 is None else "int8"
        top1 = accuracy.float_top1 if accuracy.int8_top1 is None else accuracy.int8_top1
        title = json.dumps(f"top-1, {kind}, {accuracy.protocol}")
        lines.append(f"    - {{type: accuracy, value: {top1:.4f}, name: {title}}}")
    return "\n".join([*lines, "---"])


def _what(manifest: Manifest, first: str) -> tuple[str, ...]:
    labels = ", ".join(f"`{label}`" for label in manifest.labels)
    background = ", ".join(f"`{label}`" for label in manifest.decision.background)
    about = f"Classifies the action in a stream of video frames: {labels}. "
    if background:
        about += f"{background} means that there is nothing to report. "
    about += (
        "It runs on a small computer next to the camera, with "
        f"`edgehar-run --model {manifest.name}.edgehar`; {HEAD_TEXT[manifest.quantization.head]}."
    )
    use = """## Intended use

Alerting a person to a moment of video, activity statistics without storing video, and research, with a fixed camera
whose view resembles the training data.

## Out of scope

- Decisions about a person. An answer is a hint with the error rate below; a person must check it before anyone acts.
- Identifying, counting or tracking people: the network sees a few thousand pixels and was not trained for it.
- Actions that are not in the list: every window gets one of the labels, however little it resembles any.
- Moving cameras, cut scenes, and frame rates below that of the model."""
    title = manifest.name if manifest.version == 1 else f"{manifest.name}, version {manifest.version}"
    return f"# {title}", _paragraph(about), first, use


def _data(manifest: Manifest, facts: CardFacts, notes: str) -> str:
    origin = manifest.provenance
    parts = ", ".join(f"{count} for {part}" for part, count in facts.clips.items() if count)
    text = f"Data set: {origin.dataset}. Split: {origin.split}, seed {origin.seed}; clips: {parts}."
    if facts.skipped:
        text += f" {facts.skipped} clips could not be read and were left out."
    notes = notes.strip()
    return f"## Data\n\n{_paragraph(text)}" + (f"\n\n{notes}" if notes else "")


def _alarms(manifest: Manifest) -> str:
    """Return the section on alarms; nothing if they were not measured."""
    alarms = manifest.provenance.alarms
    if alarms is None:
        return ""
    text = f"Measured by `edgehar operate` with the rules of this model: {alarms.protocol}."
    table = (
        "| measure | figure |",
        "|---|---|",
        f"| false alarms | {false_alarms_text(alarms)} |",
        f"| incidents found | {found_text(alarms)} |",
    )
    return "\n".join(["## Measured alarms", "", _paragraph(text), "", *table])


def _accuracy(manifest: Manifest, facts: CardFacts) -> str:
    parity, comparison = manifest.provenance.parity, facts.comparison
    if manifest.provenance.accuracy:
        lines = ["| protocol | clips | seeds | float top-1 | int8 top-1 | 95 % interval |", "|---|---|---|---|---|---|"]
        lines += [_accuracy_row(accuracy) for accuracy in manifest.provenance.accuracy]
        lines += ["", "Top-1 over clips. The interval is a bootstrap over groups, of int8 if it was measured."]
    else:
        kept = "Not measured on unseen clips; the validation clips below chose the best epoch."
        lines = [_paragraph(kept)]
    int8 = _paragraph(
        f"int8 against float on {parity.clips} validation clips ({comparison.windows} windows): top-1 "
        f"{parity.int8_top1:.1%} against {parity.float_top1:.1%} ({0.0 - comparison.drop_points:+.1f} points), same "
        f"answer for {parity.agreement:.1%} of clips and {comparison.window_agreement:.1%} of windows, largest "
        f"difference of a score {parity.max_score_difference:.3f}."
    )
    return "\n".join(["## Accuracy", "", *lines, "", int8])


def _accuracy_row(accuracy: Accuracy) -> str:
    low, high = accuracy.interval_95
    int8 = "not measured" if accuracy.int8_top1 is None else f"{accuracy.int8_top1:.1%}"
    cells = (
        accuracy.protocol,
        str(accuracy.clips),
        ", ".join(map(str, accuracy.seeds)),
        f"{accuracy.float_top1:.1%}",
        int8,
        f"{low:.1%} to {high:.1%}",
    )
    return f"| {' | '.join(cells)} |"


def _input(manifest: Manifest) -> str:
    shape, temporal = manifest.input, manifest.temporal
    levels = round(manifest.quantization.input.scale * 128 * 255)
    bounded = shape.motion != "none" and levels < 128
    bound = f" Differences beyond {levels} gray levels count as {levels}." if bounded else ""
    starts = f" The first {temporal.lead_in} frames of a stream are in no window." if temporal.lead_in else ""
    text = _paragraph(
        f"A frame is shrunk to {shape.width}x{shape.height} by area averaging, without keeping its shape."
        f"{_looks(shape)} The network sees {INPUT_TEXT[shape.motion]}.{bound} A window is {temporal.window} frames at "
        f"{temporal.rate_hz:g} Hz ({temporal.window / temporal.rate_hz:.2g} s); frames are chosen by their capture "
        f"time.{starts} By default there is an answer every {temporal.hop} frames."
    )
    return f"## Input and timing\n\n{text}"


def _looks(shape: Input) -> str:
    """Say what a second look is; nothing without one."""
    if shape.crop_side is None:
        return ""
    side, (height, width) = shape.crop_side, shape.source_size
    steady = (
        f" Before both are made, a {width}x{height} picture that the shake of the camera has moved is moved back, by "
        "up to 23 pixels."
    )
    lit = " Before both are made, changes of light in the whole picture are removed by a gain of 1/2 to 2."
    second = (
        f" A second picture of {shape.width}x{shape.height} is made of the {side}x{side} pixels of a {width}x{height} "
        "picture in which most has moved within the last second. Both go through the same encoder."
    )
    return second + (lit if shape.steady_light else "") + (steady if shape.stabilize else "")


def _size(manifest: Manifest, facts: CardFacts) -> str:
    table = ["| file | bytes |", "|---|---|", *(f"| {name} | {size:,} |" for name, size in facts.sizes.items())]
    per_window = manifest.temporal.window * facts.encoder_macs + facts.head_macs
    cost = _paragraph(
        f"Network {facts.network}, {facts.parameters:,} parameters. It takes {facts.encoder_macs / 1e6:.2f} million "
        f"multiply-accumulates to encode a frame and {facts.head_macs / 1e6:.2f} million to classify a window of "
        f"encodings; streaming does the first once a frame. `window.tflite` does {per_window / 1e6:.1f} million for "
        "every window and gives the same bytes."
    )
    return "\n".join(["## Size and cost", "", *table, "", cost])


def _input_limits(shape: Input) -> str:
    if shape.stabilize:
        return STEADY_LIMITS if shape.steady_light else STABILIZED_LIMITS
    return LIT_LIMITS if shape.steady_light else INPUT_LIMITS[shape.motion]


def _limits(manifest: Manifest) -> str:
    shape = manifest.input
    limits = [
        _input_limits(shape),
        f"Small, distant or hidden people are lost in the {shape.width}x{shape.height} pixels.",
        "The training data has few views, people and lighting conditions: measure the accuracy on your own video.",
        "Scores are not calibrated probabilities."
        if manifest.provenance.temperature == 1
        else "Scores were calibrated by one temperature on clips like the training data, and may not fit other video.",
    ]
    if any("leaky" in accuracy.protocol for accuracy in manifest.provenance.accuracy):
        limits.append("A random split was used: its accuracy is too high, because similar clips are on both sides.")
    if UNGROUPED in " ".join([manifest.provenance.split, *(one.protocol for one in manifest.provenance.accuracy)]):
        limits.append(
            "No groups were given, so clips were split at random: clips of one person, camera or recording may be in "
            "both training and test, and the accuracy on new data may be lower."
        )
    return "\n".join(["## Limits and known failures", "", *(_paragraph(f"- {limit}", indent="  ") for limit in limits)])


def _origin(manifest: Manifest) -> str:
    origin = manifest.provenance
    tools = ", ".join(f"{name} {version}" for name, version in sorted(origin.tools.items()))
    text = f"Made by `edgehar-train` and `edgehar-convert`, commit `{origin.commit}`, with {tools}."
    if stage := STAGE_TEXT[origin.quantized]:
        text += f" {stage}: {origin.reason}."
    if (temperature := origin.temperature) != 1:
        text += (
            f" Its logits were divided by a temperature of {temperature:g} (Guo et al., ICML 2017), so that scores "
            "are calibrated; the best label of a window does not change."
        )
    text = _paragraph(text)
    return f"## Origin\n\n{text}"
