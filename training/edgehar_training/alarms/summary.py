"""Everything that is measured on ordinary footage and incidents, as it is written to `alarms.json`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from edgehar.errors import ConfigError, DatasetError
from edgehar.events.options import describe
from edgehar_training.alarms import figures
from edgehar_training.alarms.counting import REPEAT_S
from edgehar_training.alarms.decisions import CANDIDATES, Rule, lowest_threshold
from edgehar_training.alarms.folds import other_folds, shares_of
from edgehar_training.alarms.judging import LONG_S, Viewing, judge
from edgehar_training.alarms.rules import parse_rules
from edgehar_training.alarms.watching import ScoreCache
from edgehar_training.data.datasets import Clip
from edgehar_training.data.filling import fill
from edgehar_training.scoring.intervals import FEW_GROUPS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from edgehar.model.manifest import Decision
    from edgehar_training.alarms.folds import Share
    from edgehar_training.alarms.judging import Judged
    from edgehar_training.alarms.recordings import Recording
    from edgehar_training.runs.run import Run

THRESHOLDS = (*(step / 40 for step in range(1, 40)), 0.985, 0.995)
TOLERANCE_S = 3.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class AlarmOptions:
    """Options of measuring alarms.

    Attributes:
        labels: labels whose events are alarms; None for every label that is not background.
        rules: words of `--decision`, over the rules of the bundle.
        background: labels that never open an event; None for those of the bundle.
        thresholds: thresholds of the curve, rising.
        most_per_hour: alarms per hour that a threshold is chosen for; None to choose none.
        tolerance_s: width of the borders of incidents.
        hop: frames between answers; None for the bundle's own.
        cache: folder of scores.
        jobs: processes at most; None for one for each core.
    """

    labels: tuple[str, ...] | None = None
    rules: tuple[str, ...] = ()
    background: tuple[str, ...] | None = None
    thresholds: tuple[float, ...] = THRESHOLDS
    most_per_hour: float | None = 6.0
    tolerance_s: float = TOLERANCE_S
    hop: int | None = None
    cache: Path = dataclasses.field(default_factory=Path)
    jobs: int | None = None


def rule_for(manifest_labels: Sequence[str], decision: Decision, options: AlarmOptions) -> Rule:
    """Return the rule of a bundle with what the options change.

    Raises:
        ConfigError: a label is unknown, or no label is left that can be an alarm.
    """
    background = list(decision.background if options.background is None else options.background)
    for label in (*(options.labels or ()), *background):
        if label not in manifest_labels:
            raise ConfigError(f"{label!r} is not a label of the model; its labels are {', '.join(manifest_labels)}")
    plain = msgspec.structs.replace(decision, background=background)
    rule = Rule(tuple(manifest_labels), parse_rules(options.rules, plain), options.labels)
    if not rule.positive:
        raise ConfigError("no label is an alarm: all are background; leave one out of --background")
    return rule


def summarize_bundle(
    model: Path, recordings: Sequence[Recording], options: AlarmOptions, progress: Callable[[int], object]
) -> dict[str, Any]:
    """Measure a bundle on recordings of cameras that it has not seen.

    Raises:
        BundleError: the bundle cannot be used.
        ConfigError: an option does not fit it.
        DatasetError: no recording can be read.
    """
    cache = ScoreCache(options.cache, model, options.hop)
    manifest = cache.bundle.manifest
    show = _Show(options, progress)
    rule = rule_for(manifest.labels, manifest.decision, options)
    viewings = show.watch(cache, recordings, "")
    chosen = {}
    if options.most_per_hour is not None:
        chosen = {"": _chosen_threshold([one for one in viewings if one.recording.ordinary], rule, options)}
    return {
        "target": manifest.name,
        "network": f"int8 {manifest.name}",
        "protocol": "one bundle on all recordings",
        **_about(rule, recordings, options, seeds=[]),
        **_figures(viewings, rule, options, chosen, "on these recordings: read it as optimistic"),
        "warnings": [*_trained_on(manifest.provenance.dataset, recordings), *_few(viewings)],
        "skipped": show.skipped,
    }


def summarize_runs(
    folder: Path,
    runs: Sequence[Run],
    bundle_of: Callable[[Run], Path],
    recordings: Sequence[Recording],
    options: AlarmOptions,
    progress: Callable[[int], object],
) -> dict[str, Any]:
    """Measure an experiment of folds and seeds: every recording by the network of a run that is blind to its camera.

    Raises:
        BundleError: a bundle cannot be used.
        ConfigError: an option does not fit the runs.
        DatasetError: no recording can be read, or there is none to choose a threshold on.
    """
    shares, left_out = shares_of(runs, recordings)
    shares = [share for share in shares if share.test]
    _check_shares(shares, options)
    show, chosen = _Show(options, progress), {}
    first = ScoreCache(options.cache, bundle_of(shares[0].run), options.hop).bundle.manifest
    rule = rule_for(first.labels, first.decision, options)

    def watched(share: Share, part: Sequence[Recording]) -> list[Viewing]:
        return show.watch(ScoreCache(options.cache, bundle_of(share.run), options.hop), part, _name(share.run, folder))

    tested = {share: watched(share, share.test) for share in shares}
    viewings = [one for own in tested.values() for one in own]
    for share in shares if options.most_per_hour is not None else ():
        ordinary = [one for other in other_folds(share, shares) for one in tested[other] if one.recording.ordinary]
        ordinary = ordinary or watched(share, share.choice)
        chosen[_name(share.run, folder)] = _chosen_threshold(ordinary, rule, options)
    judged = list({one.path: one for share in shares for one in share.test}.values())
    seeds = sorted({run.config.split.seed for run in runs})
    how = "for each run on recordings that it was not judged on"
    return {
        "target": str(folder),
        "network": f"int8 {runs[0].config.network.title}",
        "protocol": f"{runs[0].config.protocol}; every recording by a run that is blind to its camera",
        **_about(rule, judged, options, seeds),
        **_figures(viewings, rule, options, chosen, how, len(seeds)),
        "warnings": [*_left_out(left_out), *_few(viewings)],
        "skipped": show.skipped,
    }


def watched_clips(runs: Sequence[Run], recordings: Sequence[Recording], options: AlarmOptions) -> int:
    """Return how many recordings `summarize_runs` scores, for a progress bar."""
    shares = [share for share in shares_of(runs, recordings)[0] if share.test]
    alone = [share for share in shares if not other_folds(share, shares)]
    choice = 0 if options.most_per_hour is None else sum(len(share.choice) for share in alone)
    return choice + sum(len(share.test) for share in shares)


def _name(run: Run, folder: Path) -> str:
    return run.path.relative_to(folder).as_posix() if run.path.is_relative_to(folder) else str(run.path)


class _Show:
    """Shows recordings to networks, and remembers unreadable ones.

    Attributes:
        skipped: why, by the path of each.
    """

    def __init__(self, options: AlarmOptions, progress: Callable[[int], object]) -> None:
        self.skipped: dict[str, str] = {}
        self._options, self._progress = options, progress

    def watch(self, cache: ScoreCache, recordings: Sequence[Recording], run: str) -> list[Viewing]:
        """Score recordings that are not scored yet, and load the scores of all that can be read.

        Raises:
            DatasetError: none can be read.
        """
        clips = {one.path: Clip(one.path, "", one.camera) for one in recordings}
        try:
            self.skipped |= fill(cache, list(clips.values()), lambda: self._progress(1), self._options.jobs)
            viewings = [
                Viewing(one, cache.load(clips[one.path]), run, cache.period_s)
                for one in recordings
                if one.path not in self.skipped
            ]
        finally:
            cache.close()
        if recordings and not viewings:
            reason = next(iter(self.skipped.values()))
            raise DatasetError(f"none of {len(recordings)} recordings can be read: {reason}")
        return viewings


def _figures(
    viewings: Sequence[Viewing],
    rule: Rule,
    options: AlarmOptions,
    chosen: Mapping[str, float],
    how: str,
    seeds: int = 1,
) -> dict[str, Any]:
    """Return the figures as decided, at every threshold, and at the thresholds that were chosen for each run."""
    curve = []
    for threshold in options.thresholds:
        at = rule.at(threshold)
        judged = judge(viewings, lambda _, at=at: at, options.tolerance_s)  # type: ignore[misc]
        curve.append({"threshold": threshold, **figures.point(judged, seeds)})
    return {
        "as_decided": _point(judge(viewings, lambda _: rule, options.tolerance_s), rule, seeds),
        "curve": curve,
        "chosen": _chosen(viewings, rule, chosen, options, seeds) | {"how": how} if chosen else None,
    }


def _about(rule: Rule, recordings: Sequence[Recording], options: AlarmOptions, seeds: list[int]) -> dict[str, Any]:
    ordinary = [one for one in recordings if one.ordinary]
    return {
        "labels": list(rule.labels),
        "alarm_labels": rule.positive,
        "background": sorted(rule.background),
        "decision": describe(rule.decision),
        "tolerance_s": options.tolerance_s,
        "repeat_s": REPEAT_S,
        "long_s": LONG_S,
        "seeds": seeds,
        "recordings": {"ordinary": len(ordinary), "incident": len(recordings) - len(ordinary)},
        "cameras": len({one.camera for one in recordings}),
    }


def _point(judged: Sequence[Judged], rule: Rule, seeds: int) -> dict[str, Any]:
    """Return the figures of one threshold, with the tables of cameras, false alarms and misses."""
    return {
        **figures.point(judged, seeds),
        "per_folder": figures.per_folder(judged),
        "per_camera": figures.per_camera(judged),
        "per_recording": figures.per_recording(judged),
        "loudest": figures.loudest(judged, rule),
        "missed": figures.missed(judged, rule),
    }


def _chosen_threshold(ordinary: Sequence[Viewing], rule: Rule, options: AlarmOptions) -> float:
    """Return the lowest threshold from which on no higher one gives more false alarms than that."""
    hours = sum(one.watched.length_s for one in ordinary) / 3600

    def per_hour(threshold: float) -> float:
        at = rule.at(threshold)
        return sum(one.tally.false_alarms for one in judge(ordinary, lambda _: at, options.tolerance_s)) / hours

    return lowest_threshold(per_hour, options.most_per_hour or 0.0) if hours else CANDIDATES[-1]


def _check_shares(shares: Sequence[Share], options: AlarmOptions) -> None:
    if not shares:
        raise DatasetError("no recording is left: every run has trained on the cameras of all of them")
    for share in shares:
        if options.most_per_hour is not None and not other_folds(share, shares) and not share.choice:
            raise DatasetError(
                f"{share.run.path}: there is no ordinary recording to choose its threshold on, of a camera that it has "
                "neither trained on nor is judged on; give footage of more cameras"
            )


def _chosen(
    viewings: Sequence[Viewing], rule: Rule, thresholds: Mapping[str, float], options: AlarmOptions, seeds: int
) -> dict[str, Any]:
    """Return the figures at one threshold for each run."""
    rules = {name: rule.at(threshold) for name, threshold in thresholds.items()}
    values = list(thresholds.values())
    judged = judge(viewings, lambda viewing: rules[viewing.run], options.tolerance_s)
    median = float(np.median(values))
    return {
        "most_per_hour": options.most_per_hour,
        "median": median,
        "lowest": min(values),
        "highest": max(values),
        "runs": dict(thresholds),
        "decision": describe(rule.at(median).decision),
        **_point(judged, rule, seeds),
    }


def _trained_on(dataset: str, recordings: Sequence[Recording]) -> list[str]:
    """A bundle knows the name of its data set, not its clips."""
    own = dataset.split(" ")[0].casefold()
    known = [one for one in recordings if one.camera.split(":")[0].casefold() == own]
    if not known:
        return []
    said = f"MAY INCLUDE TRAINING CLIPS: {_recordings(len(known))} of {own}, which the bundle was trained on"
    return [f"{said}; give the folder of its folds instead"]


def _left_out(recordings: Sequence[Recording]) -> list[str]:
    if not recordings:
        return []
    reason = "no fold tests their cameras, and every fold has trained on them"
    return [f"left out: {_recordings(len(recordings))}; {reason}"]


def _recordings(count: int) -> str:
    return f"{count} recording{'s'[: count != 1]}"


def _few(viewings: Sequence[Viewing]) -> list[str]:
    said = []
    for words, ordinary in (("ordinary footage", True), ("incidents", False)):
        cameras = {one.recording.camera for one in viewings if one.recording.ordinary == ordinary}
        if 0 < len(cameras) < FEW_GROUPS:
            said.append(f"{len(cameras)} camera{'s'[: len(cameras) > 1]} of {words} only: intervals are too narrow")
    return said
