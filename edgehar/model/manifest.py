"""The manifest of a model bundle: everything a device needs to run a model, and the provenance of the model."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

# The newest version that can be read. A bundle is written with the lowest version that can express it, so that an
# older edgehar can read every bundle without new features.
SCHEMA_VERSION = 6

Sha256 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$", description="SHA-256 of the file, in hexadecimal")]
Positive = Annotated[int, msgspec.Meta(ge=1)]
Count = Annotated[int, msgspec.Meta(ge=0)]
# The picture that two looks are made of, in pixels, and the cells on which their square lies (`edgehar.LookResizer`).
BASE_HEIGHT, BASE_WIDTH, CELL = 240, 320, 4
# Bounds of sizes, so that a manifest cannot ask for all memory.
Side = Annotated[int, msgspec.Meta(ge=1, le=4096)]
Frames = Annotated[int, msgspec.Meta(ge=1, le=10_000)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Smoothing = Literal["none", "ema", "k-of-n", "cusum"]
StartFrom = Literal["score", "quiet"]
TimeConstant = Annotated[float, msgspec.Meta(ge=0.01, le=3600)]
Duration = Annotated[float, msgspec.Meta(ge=0, le=86_400)]
Votes = Annotated[int, msgspec.Meta(ge=1, le=1000)]


class _Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A part of the manifest. Unknown keys are errors."""


class Affine(_Section, frozen=True):
    """Affine quantization: real = scale * (quantized - zero_point)."""

    scale: Annotated[float, msgspec.Meta(gt=0)]
    zero_point: Annotated[int, msgspec.Meta(ge=-128, le=127)]


class Input(_Section, frozen=True, omit_defaults=True):
    """Preprocessing of a frame. Schema versions 1 and 2 have no `looks` and `crop_side`, 3 has no
    `stabilize`, and 4 has no `steady_light`.

    Attributes:
        resize: "area": area average with exact rational weights, rounded half up.
        crop: "stretch": the whole frame, without keeping its aspect ratio. "center": the largest rectangle of the
            input's shape, from the middle. "letterbox": the whole frame in its own shape, with black bars.
        motion: "none": the pixels, divided by 255. "grey-difference": three channels, g(t) - g(t-1), g(t) - g(t-2) and
            |g(t) - g(t-1)|, divided by 255, where g = (77 R + 150 G + 29 B + 128) >> 8 of the resized frame. Before its
            first frame a stream is assumed to stand still.
        looks: pictures made of each frame: "whole", and "crop", where it moves most (`edgehar.LookResizer`); None for
            the whole frame alone. The encoder takes them together, `(1, 2, height, width, channels)`.
        crop_side: side of the crop in pixels of a picture of 240x320, a multiple of 4; None without a crop.
        stabilize: whether the motion of the whole picture, as of a camera that shakes, is removed before differences
            are computed. It needs looks, and another crop than "letterbox", whose borders stand still.
        steady_light: whether changes of light, as of flickering lamps, are removed before differences are computed. It
            needs looks.
    """

    height: Side
    width: Side
    channels: Literal[3]
    colour_order: Literal["RGB"]
    resize: Literal["area"]
    crop: Literal["stretch", "center", "letterbox"]
    motion: Literal["none", "grey-difference"]
    looks: tuple[Literal["whole"], Literal["crop"]] | None = None
    crop_side: Annotated[int, msgspec.Meta(ge=2 * CELL, le=BASE_HEIGHT, multiple_of=CELL)] | None = None
    stabilize: bool = False
    steady_light: bool = False

    def __post_init__(self) -> None:
        """Check that looks have what they need."""
        if (self.looks is None) != (self.crop_side is None):
            raise ValueError("looks and crop_side need each other, and one is missing")
        if self.looks is not None and self.motion == "none":
            raise ValueError("looks need motion grey-difference")
        if self.stabilize and self.looks is None:
            raise ValueError("stabilize needs looks")
        if self.steady_light and self.looks is None:
            raise ValueError("steady_light needs looks")
        if self.stabilize and self.crop == "letterbox":
            raise ValueError("stabilize needs crop stretch or center, because the borders of letterbox stand still")

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of what the encoder takes of a frame."""
        picture = (self.height, self.width, self.channels)
        return picture if self.looks is None else (len(self.looks), *picture)

    @property
    def source_size(self) -> tuple[int, int]:
        """Height and width of the largest picture that is made of a frame: more pixels of a source are of no use."""
        return (self.height, self.width) if self.looks is None else (BASE_HEIGHT, BASE_WIDTH)


class Temporal(_Section, frozen=True, omit_defaults=True):
    """Frames per window, frames per second of the training, and default of the frames between predictions.

    Attributes:
        lead_in: frames at the start of a stream that are not classified, because their motion input looks back before
            the start. Schema versions 1 and 2 have none.
    """

    window: Frames
    rate_hz: Annotated[float, msgspec.Meta(gt=0, le=1000)]
    hop: Frames
    lead_in: Annotated[int, msgspec.Meta(ge=0, le=100)] = 0


class Quantization(_Section, frozen=True):
    """Quantization of the encoder's input, of the features between encoder and head, and of the scores.

    Attributes:
        input: quantization of the encoder's input.
        seam: quantization of the features between encoder and head.
        output: quantization of the scores.
        head: "unrolled": int8, plain operations. "fused": int8, TFLite's LSTM operation, whose state must be reset
            before each window. "float": 32-bit arithmetic between int8 features and scores.
    """

    input: Affine
    seam: Affine
    output: Affine
    head: Literal["unrolled", "fused", "float"] = "unrolled"


class State(_Section, frozen=True):
    """One state that a one-step network keeps between frames: a row of values.

    Attributes:
        name: for people, for example "hidden" or "cell".
        size: number of values.
        quantization: quantization of the state's input and output. A history starts at real 0.
    """

    name: str
    size: Positive
    quantization: Affine


class Stateful(_Section, frozen=True):
    """Signature of `step.tflite`: features and states, in this order, to scores and new states."""

    states: Annotated[list[State], msgspec.Meta(min_length=1)]


class Decision(_Section, frozen=True, kw_only=True, omit_defaults=True):
    """Defaults for turning scores into answers and events; docs/events.md explains every key.

    Schema version 1 has `threshold` and `background` only.

    Attributes:
        threshold: a class needs this score, or the answer is "unknown".
        thresholds: thresholds of single classes by label, instead of `threshold`.
        background: labels that never open an event.
        evidence_from: an action's score up to this counts as 0; higher scores count by their log-odds.
        evidence_to: score that is full evidence, 1. With 0 and 1 for the two, scores are compared as they are.
        smoothing: how scores are smoothed before they are compared with the thresholds.
        start_from: state of the smoothing at the start of a stream: its first score, or quiet.
        ema_seconds: "ema": time constant, in seconds of video.
        k: "k-of-n": predictions of the last `n` that must agree.
        n: "k-of-n": predictions that vote.
        cusum_reference: "cusum": evidence grows while a score is above this, and shrinks below it.
        cusum_seconds: "cusum": seconds after which a score of `cusum_reference` + 1 has filled the evidence.
        baseline_share: share of the camera's slow mean that is subtracted from the score of an action; 0 is off.
        baseline_seconds: time constant of the slow mean, in seconds of video.
        baseline_reference: the part of the slow mean under this is not subtracted.
        baseline_most: the most that is subtracted.
        baseline_warm_up_s: seconds of video until the full share is subtracted.
        hysteresis: how far the score of an open event may fall under its threshold, or behind another class.
        min_duration_s: the least duration of an event, in seconds.
        refractory_s: seconds after an event's end without another one of the same label.
        update_every_s: seconds between updates of an open event; 0 is never.
    """

    threshold: Share = 0.0
    thresholds: dict[str, Share] = {}
    background: list[str] = []
    evidence_from: Share = 0.0
    evidence_to: Share = 1.0
    smoothing: Smoothing = "none"
    start_from: StartFrom = "score"
    ema_seconds: TimeConstant = 1.0
    k: Votes = 3
    n: Votes = 5
    cusum_reference: Share = 0.5
    cusum_seconds: TimeConstant = 1.0
    baseline_share: Share = 0.0
    baseline_seconds: TimeConstant = 60.0
    baseline_reference: Share = 0.0
    baseline_most: Share = 0.5
    baseline_warm_up_s: Duration = 30.0
    hysteresis: Share = 0.0
    min_duration_s: Duration = 0.0
    refractory_s: Duration = 0.0
    update_every_s: Duration = 0.0

    def __post_init__(self) -> None:
        """Check `k` against `n`, and the limits of evidence."""
        if self.k > self.n:
            raise ValueError(f"k is {self.k}, it must not be above n, which is {self.n}")
        if self.counts_evidence and not 0 < self.evidence_from < self.evidence_to < 1:
            raise ValueError(
                f"evidence_from is {self.evidence_from:g} and evidence_to is {self.evidence_to:g}; they must be "
                "between 0 and 1, the first one lower, or 0 and 1 for none"
            )

    @property
    def counts_evidence(self) -> bool:
        """Whether scores count by their log-odds."""
        return (self.evidence_from, self.evidence_to) != (0.0, 1.0)


class Accuracy(_Section, frozen=True):
    """A measured accuracy with its protocol.

    Attributes:
        protocol: how the data were split, for example "camera-disjoint 5-fold".
        clips: clips tested in each seed.
        float_top1: top-1 of the float network, mean over seeds, 0 to 1.
        int8_top1: top-1 of the int8 files, mean over seeds, 0 to 1; None if not measured.
        interval_95: 95 % interval of `int8_top1` (of `float_top1` if that is None), bootstrapped over groups.
    """

    protocol: str
    clips: Positive
    seeds: list[int]
    float_top1: Share
    int8_top1: Share | None
    interval_95: tuple[float, float]


class Alarms(_Section, frozen=True):
    """Measured false alarms and found incidents of networks with the rules of `decision`, as by `edgehar operate`.

    Attributes:
        protocol: which networks judged which recordings.
        labels: labels whose events are alarms.
        seeds: seeds of the networks; empty for the network of this bundle itself.
        hours: hours of ordinary footage, of all seeds together.
        false_alarms: alarms in it; one that lasts counts again every 30 s.
        per_hour_95: 95 % interval of false alarms an hour (exact Poisson, of a mean seed).
        incidents: incidents shown, of all seeds together.
        found: incidents with an alarm.
        found_95: 95 % interval of the share found, bootstrapped over cameras; None without incidents.
        delay_s: median time from the start of a found incident to its alarm, in seconds; None if none is found.
    """

    protocol: str
    labels: list[str]
    seeds: list[int]
    hours: Annotated[float, msgspec.Meta(gt=0)]
    false_alarms: Count
    per_hour_95: tuple[float, float]
    incidents: Count
    found: Count
    found_95: tuple[Share, Share] | None
    delay_s: float | None


class Parity(_Section, frozen=True):
    """int8 compared with float on the same validation clips: top-1 of both, agreement, largest score difference."""

    clips: int
    float_top1: Share
    int8_top1: Share
    agreement: Share
    max_score_difference: Share


class KeptWindows(_Section, frozen=True):
    """Remembered training windows of an action.

    Attributes:
        before: windows that the old head names at the action's threshold.
        after: those of them that the new head still names.
    """

    before: Count
    after: Count


class Taught(_Section, frozen=True, omit_defaults=True):
    """Record of teaching a head on a device.

    Attributes:
        base: name of the bundle it was taught from.
        base_head: SHA-256 of that bundle's head.
        clips: clips of each label.
        protocol: how clips were held out, for example "5 folds, groups held out".
        before: share of held-out clips the old head got right, mean over labels.
        after: the same of the new head.
        penalty: of the regression.
        reach: factor of the squared radii within which the correction applies; under 1 if it forgot too much.
        kept: of each old action, the remembered training windows; empty if the bundle remembered none.
    """

    base: str
    base_head: Sha256
    clips: dict[str, Positive]
    protocol: str
    before: Share
    after: Share
    penalty: Annotated[float, msgspec.Meta(gt=0)]
    reach: Annotated[float, msgspec.Meta(gt=0, le=1)] = 1.0
    kept: dict[str, KeptWindows] = msgspec.field(default_factory=dict)


class Provenance(_Section, frozen=True):
    """The origin of the model: data, split, seeds, accuracy, tools and commit. `alarms` came with schema version 6.

    Attributes:
        dataset: training data.
        split: how the data were split.
        seed: seed of split and training.
        parity: int8 compared with float.
        accuracy: measured accuracies.
        tools: versions of the tools.
        commit: commit of edgehar.
        quantized: "ptq": quantized after training. "finetune": the same after more training in float. "qat":
            quantization-aware training; its parity is with the network with fake quantization.
        reason: why this way was chosen.
        temperature: divisor of the logits from the conversion on (Guo et al., ICML 2017), which calibrates the scores.
            Float accuracies were measured without it.
        taught: how the head was taught on a device; None for a head as it was trained.
        alarms: measured false alarms and found incidents; None if not measured with this head and these rules.
    """

    dataset: str
    split: str
    seed: int
    parity: Parity
    accuracy: list[Accuracy]
    tools: dict[str, str]
    commit: str
    quantized: Literal["ptq", "finetune", "qat"] = "ptq"
    reason: str = ""
    temperature: Annotated[float, msgspec.Meta(gt=0)] = 1.0
    taught: Taught | None = None
    alarms: Alarms | None = None


class Manifest(_Section, frozen=True):
    """Contents of `manifest.json`.

    Attributes:
        version: of the model of this name; a higher one replaces a lower one.
    """

    schema_version: Literal[1, 2, 3, 4, 5, 6]
    name: Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    labels: Annotated[list[str], msgspec.Meta(min_length=2)]
    input: Input
    temporal: Temporal
    quantization: Quantization
    files: dict[str, Sha256]
    decision: Decision
    provenance: Provenance
    stateful: Stateful | None = None
    version: Positive = 1


def least_schema_version(manifest: Manifest) -> int:
    """Return the lowest schema version that can express this manifest."""
    taught = manifest.provenance.taught
    if manifest.provenance.alarms is not None:
        return 6
    if manifest.input.steady_light or (taught is not None and (taught.kept or taught.reach != 1)):
        return 5
    if manifest.input.stabilize or manifest.decision.counts_evidence:
        return 4
    if manifest.input.looks is not None or manifest.temporal.lead_in:
        return 3
    first = Decision(threshold=manifest.decision.threshold, background=manifest.decision.background)
    plain = manifest.decision == first and manifest.provenance.taught is None and manifest.version == 1
    return 1 if plain else 2
