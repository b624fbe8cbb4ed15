"""`edgehar teach`: a bundle and labeled clips become a new bundle, with proof on held-out clips, or are refused."""

from __future__ import annotations

import contextlib
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from edgehar.errors import ConfigError, SourceError
from edgehar.events.smoothing import evidence_of, score_of
from edgehar.model.bundle import STEP_FILE, SUFFIX, ModelBundle, is_bundle_name, manifest_json, write_bundle
from edgehar.model.manifest import KeptWindows, Taught, least_schema_version
from edgehar.model.merge import merge, with_associated_files
from edgehar.model.network import Network
from edgehar.model.remembered import REMEMBERED_FILE
from edgehar.teaching.features import Probe, cut, windows_of
from edgehar.teaching.forgetting import check_columns, read_memory
from edgehar.teaching.head import SCORES, Correction, corrected_head
from edgehar.teaching.labels import ORDINARY
from edgehar.teaching.lesson import ClipData, Lesson
from edgehar.teaching.softmax_regression import log_softmax
from edgehar.teaching.verdict import LabelResult, NotBetterError, OrdinaryResult, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from edgehar.model.manifest import Decision, Manifest
    from edgehar.teaching.clips import LabeledClips
    from edgehar.teaching.forgetting import Kept, Memory
    from edgehar.teaching.inbox import Item
    from edgehar.teaching.lesson import Method

    Floats = npt.NDArray[np.float64]
    Windows = npt.NDArray[np.float32]

# Fewer clips of a label than this say nothing about the next one; fewer than RECOMMENDED say little.
LEAST_CLIPS = 3
RECOMMENDED_CLIPS = 10
# The least score of a new action that opens an event: surer of it than of everything else.
NEW_THRESHOLD = 0.5
# Factors of the squared radii of the correction, tried in turn until the new head forgets little.
REACHES = (1.0, 0.7, 0.5, 0.35)
# The longest average of scores where evidence was averaged: from quiet, scores take longer to reach a threshold.
PLAIN_SECONDS = 2.0
# Files of a bundle that are of the old head.
_REPLACED = ("labels.txt", STEP_FILE, REMEMBERED_FILE)


def teach(
    bundle: ModelBundle,
    clips: LabeledClips,
    out: Path,
    *,
    background: Collection[str] = (),
    on_clip: Callable[[], None] = lambda: None,
) -> Verdict:
    """Teach a bundle's head from labeled clips and write the new bundle, if it is better on held-out clips.

    The encoder stays as it is. Labels that the bundle has already may be among those of the clips; the others are new
    classes. A label without a clip keeps its logit. `ordinary` means the bundle's own background label, if it has just
    one.

    Args:
        bundle: what to start from; it is not changed.
        clips: labeled clips.
        out: the new bundle; replaced if it is there.
        background: new labels that are ordinary: they open no event.
        on_clip: called after each clip that was encoded or left out.

    Returns:
        How held-out clips were answered by the old head and by the new one.

    Raises:
        ConfigError: too few clips or labels, or a label that cannot be used.
        NotBetterError: the new head is not better on held-out clips, louder in ordinary time, or forgets what the old
            one knew; nothing was written.
        BundleError: the head cannot be taken apart, what the bundle remembers is damaged, or the new bundle cannot be
            written.
    """
    manifest = bundle.manifest
    if out.suffix != SUFFIX or not is_bundle_name(out.stem):
        raise ConfigError(f"{out}: name the new bundle NAME{SUFFIX}, with letters, digits, `.`, `_` and `-`")
    names = _label_names(clips, manifest)
    labels = [*manifest.labels, *sorted(set(names.values()) - set(manifest.labels))]
    _check_counts(Counter(names[clip.label] for clip in clips.clips), manifest.labels)
    memory = read_memory(bundle)
    with Network(bundle) as network:
        data, unreadable = _encode(network, clips, names, labels, on_clip)
        ordinary_windows = _encode_ordinary(network, clips.ordinary)
    if not data:
        raise ConfigError(f"no clip can be used: {next(iter(unreadable.values()))}")
    if memory is not None:
        check_columns(memory, data[0].pooled.shape[1], f"{bundle.path}: {REMEMBERED_FILE}")
    lesson = _lesson(data, len(labels), manifest)
    counts = Counter(labels[clip.label] for clip in data)
    _check_counts(counts, manifest.labels)
    ordinary = {names.get(ORDINARY, ORDINARY), *background} & set(labels)
    decision = taught_rules(manifest.decision, ordinary, labels[len(manifest.labels) :])
    method, correction, kept = _fit(lesson, len(data), memory, labels, decision)
    verdict = _judge(lesson, data, labels, clips.held_out, method)
    verdict = replace(
        verdict,
        unreadable=unreadable,
        ordinary=_judge_ordinary(ordinary_windows, correction, labels, decision),
        kept=kept,
    )
    if verdict.problem is not None:
        raise NotBetterError(f"{out}: not written: {verdict.problem}", verdict)
    _write(bundle, out, labels, correction, _record(manifest, dict(counts), verdict), decision, memory)
    return verdict


def _fit(
    lesson: Lesson, clips: int, memory: Memory | None, labels: Sequence[str], decision: Decision
) -> tuple[Method, Correction, dict[str, Kept] | None]:
    """Fit a correction to all clips. It reaches less far, step by step, while the new head forgets too much."""
    everything = range(clips)
    method = lesson.best_method(everything)
    correction = lesson.fit(everything, method)
    if memory is None:
        return method, correction, None
    for reach in REACHES:
        near = replace(correction, gate=correction.gate.shrunk(reach))
        kept = memory.kept(near, labels, decision)
        if not any(found.forgotten for found in kept.values()):
            break
    return replace(method, reach=reach), near, kept


def _record(manifest: Manifest, clips: dict[str, int], verdict: Verdict) -> Taught:
    return Taught(
        base=manifest.name,
        base_head=manifest.files["head.tflite"],
        clips=clips,
        protocol=verdict.protocol,
        before=verdict.before,
        after=verdict.after,
        penalty=verdict.method.penalty,
        reach=verdict.method.reach,
        kept={label: KeptWindows(kept.before, kept.after) for label, kept in (verdict.kept or {}).items()},
    )


def _label_names(clips: LabeledClips, manifest: Manifest) -> dict[str, str]:
    """Return the model's name of each label of the clips."""
    names = {clip.label: clip.label for clip in clips.clips}
    if ORDINARY in names and ORDINARY not in manifest.labels and len(manifest.decision.background) == 1:
        names[ORDINARY] = manifest.decision.background[0]
    for label in names:
        if not label.isprintable() or "," in label:
            raise ConfigError(f"label {label!r}: use a folder name of printable characters without commas")
    return names


def _check_counts(counts: Mapping[str, int], known: Collection[str]) -> None:
    for label, count in sorted(counts.items()):
        if count < LEAST_CLIPS:
            raise ConfigError(
                f"label {label!r}: {count} readable clips; give at least {LEAST_CLIPS}, {RECOMMENDED_CLIPS} are better"
            )
    if len(counts) == 1 and (label := next(iter(counts))) not in known:
        raise ConfigError(f"only one label, {label!r}, which is new; add a folder {ORDINARY!r} with ordinary clips")


def _encode(
    network: Network,
    clips: LabeledClips,
    names: Mapping[str, str],
    labels: list[str],
    on_clip: Callable[[], None],
) -> tuple[list[ClipData], dict[str, str]]:
    probe, hop = Probe.of(network.bundle), network.bundle.manifest.temporal.hop
    data, unreadable = [], dict(clips.skipped)
    for clip in clips.clips:
        try:
            old, pooled = probe.run(windows_of(network, clip, hop))
        except SourceError as error:
            unreadable[str(clip.path)] = str(error)
        else:
            data.append(ClipData(labels.index(names[clip.label]), clip.group, old, pooled))
        on_clip()
    return data, unreadable


def _lesson(data: Sequence[ClipData], labels: int, manifest: Manifest) -> Lesson:
    """Return the lesson for a model: which of its labels are actions, how many looks it has, how it smooths."""
    rules, timing = manifest.decision, manifest.temporal
    smooth = rules.smoothing == "ema" and rules.start_from == "score"
    new = labels > len(manifest.labels)
    seconds = min(rules.ema_seconds, PLAIN_SECONDS) if new and rules.counts_evidence else rules.ema_seconds
    return Lesson(
        data,
        labels,
        actions=[index for index, label in enumerate(manifest.labels) if label not in rules.background],
        looks=1 if manifest.input.looks is None else 2,
        memory=seconds * timing.rate_hz / timing.hop if smooth else 0.0,
    )


def _judge(lesson: Lesson, data: list[ClipData], labels: list[str], held_out_what: str, method: Method) -> Verdict:
    """Answer every clip by a head that was fitted without its group; the penalty too is chosen without it."""
    everything = range(len(data))
    folds = lesson.folds(everything)
    if len(folds) < 2:
        raise ConfigError("all clips are of one group; nothing can be held out; name two groups or more in groups.csv")
    before, after = Counter[str](), Counter[str]()
    for train, held_out in folds:
        correction = lesson.fit(train, replace(lesson.best_method(train), reach=method.reach))
        for index in held_out:
            label = data[index].label
            before[labels[label]] += lesson.predicted(index, None) == label
            after[labels[label]] += lesson.predicted(index, correction) == label
    counts = Counter(labels[clip.label] for clip in data)
    return Verdict(
        {label: LabelResult(counts[label], before[label], after[label]) for label in labels if label in counts},
        f"{len(folds)} folds, {held_out_what}",
        method,
    )


def _encode_ordinary(network: Network, items: Sequence[Item]) -> list[tuple[Floats, Windows]]:
    """Return old logits and pooled features of the windows of every moment that this encoder has made."""
    manifest, probe = network.bundle.manifest, Probe.of(network.bundle)
    found = []
    for item in items:
        if item.facts.encoder == manifest.files["encoder.tflite"]:
            with contextlib.suppress(SourceError):
                found.append(probe.run(cut(item.features(), manifest.temporal.window, manifest.temporal.hop)))
    return found


def _judge_ordinary(
    moments: Sequence[tuple[Floats, Windows]], correction: Correction, labels: list[str], decision: Decision
) -> OrdinaryResult:
    before = after = 0
    for old, pooled in moments:
        before += _reports(old, labels, decision)
        after += _reports(correction.logits(old, pooled), labels, decision)
    return OrdinaryResult(len(moments), before, after)


def _reports(logits: Floats, labels: list[str], decision: Decision) -> bool:
    """Return whether the mean of the scores of a moment is reported as an action."""
    scores = dict(zip(labels, np.exp(log_softmax(logits)).mean(axis=0).tolist(), strict=False))
    if decision.counts_evidence:
        low, high = decision.evidence_from, decision.evidence_to
        return any(
            evidence_of(score, low, high) >= decision.thresholds.get(label, decision.threshold)
            for label, score in scores.items()
            if label not in decision.background
        )
    reached = [
        (score, label) for label, score in scores.items() if score >= decision.thresholds.get(label, decision.threshold)
    ]
    return bool(reached) and max(reached)[1] not in decision.background


def _write(
    bundle: ModelBundle,
    out: Path,
    labels: list[str],
    correction: Correction,
    taught: Taught,
    decision: Decision,
    memory: Memory | None,
) -> None:
    old = bundle.manifest
    window = old.temporal.window
    head = corrected_head(bundle.read("head.tflite"), correction, f"{bundle.path}: head.tflite")
    manifest = msgspec.structs.replace(
        old,
        name=out.stem,
        labels=labels,
        quantization=msgspec.structs.replace(old.quantization, output=SCORES, head="float"),
        decision=decision,
        provenance=msgspec.structs.replace(old.provenance, taught=taught, alarms=None),
        stateful=None,
    )
    manifest = msgspec.structs.replace(manifest, schema_version=least_schema_version(manifest))
    text = "".join(f"{label}\n" for label in labels).encode()
    whole = merge(bundle.read("encoder.tflite"), head, window)
    # `write_bundle` fills in the checksums; a file cannot hold its own.
    described = manifest_json(msgspec.structs.replace(manifest, files={}))
    files = {name: content for name, content in bundle.files.items() if name not in _REPLACED}
    files |= {
        "head.tflite": head,
        "window.tflite": with_associated_files(whole, {"labels.txt": text, "manifest.json": described}),
        "MODEL_CARD.md": bundle.read("MODEL_CARD.md") + _card(taught).encode(),
    }
    if memory is not None:
        files[REMEMBERED_FILE] = memory.taught(correction, labels, head)
    write_bundle(out, manifest, files)


def taught_rules(decision: Decision, ordinary: Collection[str], new: Collection[str]) -> Decision:
    """Return the rules with new background labels, and a threshold for new actions.

    With new actions, scores are compared as they are: limits of evidence were measured for the model's own actions.
    """
    added = sorted(set(ordinary) - set(decision.background))
    actions = set(new) - set(ordinary)
    if actions and decision.counts_evidence:
        decision = _without_evidence(decision)
    thresholds = dict(decision.thresholds)
    if decision.threshold < NEW_THRESHOLD:
        thresholds |= dict.fromkeys(actions, NEW_THRESHOLD)
    return msgspec.structs.replace(decision, background=[*decision.background, *added], thresholds=thresholds)


def _without_evidence(decision: Decision) -> Decision:
    low, high = decision.evidence_from, decision.evidence_to
    thresholds = {
        label: value if label in decision.background else round(score_of(value, low, high), 3)
        for label, value in decision.thresholds.items()
    }
    return msgspec.structs.replace(
        decision,
        evidence_from=0.0,
        evidence_to=1.0,
        threshold=round(score_of(decision.threshold, low, high), 3) if decision.threshold else 0.0,
        thresholds=thresholds,
        ema_seconds=min(decision.ema_seconds, PLAIN_SECONDS),
    )


def _card(taught: Taught) -> str:
    clips = ", ".join(f"{count} of `{label}`" for label, count in sorted(taught.clips.items()))
    return f"""
## Taught on a device

This bundle was made from `{taught.base}` by `edgehar teach`. The encoder is unchanged. The head was corrected from
labeled clips: {clips}. Figures above are those of `{taught.base}`.

On held-out clips ({taught.protocol}) the old head was right for {taught.before:.1%} and the new one for
{taught.after:.1%}, as the mean over labels.

{_forgetting(taught)}
"""


def _forgetting(taught: Taught) -> str:
    if not taught.kept:
        return f"Whether the new head forgets actions was not measured: `{taught.base}` remembers no training windows."
    counts = [f"{kept.after} of {kept.before} of `{label}`" for label, kept in sorted(taught.kept.items())]
    return (
        f"Of the training windows that the old head names and `{taught.base}` remembers, the new head names "
        f"{', '.join(counts)}."
    )
