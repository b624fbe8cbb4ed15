"""Predictions of the int8 bundles of runs on their own clips: each clip is scored once, for all thresholds."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from edgehar import Classifier
from edgehar.errors import ConfigError, DatasetError, SourceError
from edgehar.inspect import trial
from edgehar.model.bundle import ModelBundle
from edgehar_training.evaluation.scored import clip_name
from edgehar_training.evaluation.stored import runs_in
from edgehar_training.operating.streams import AnswerStream, Splice, joined, play, spliced
from edgehar_training.runs import report
from edgehar_training.runs.run import BUNDLE_FILE, METRICS_FILE, load_run

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeAlias

    import numpy.typing as npt

    from edgehar.records import Prediction
    from edgehar_training.alarms.decisions import Rule
    from edgehar_training.data.datasets import Clip
    from edgehar_training.data.frames_cache import SmallClip
    from edgehar_training.runs.run import Run

    Progress: TypeAlias = Callable[[int], object]


@dataclasses.dataclass(frozen=True)
class ClipAnswers:
    """A clip and the predictions of a bundle: of the clip alone, and between background clips.

    Attributes:
        name: the clip within its data set.
        group: of the clip.
        label: of the clip.
        predictions: with nothing before it; one or more.
        splice: between background clips, where that was asked for.
    """

    name: str
    group: str
    label: str
    predictions: list[Prediction]
    splice: Splice | None = None

    @functools.cached_property
    def windows(self) -> npt.NDArray[np.float64]:
        """Scores of its windows, float64 `(windows, classes)`."""
        return np.array([list(prediction.scores.values()) for prediction in self.predictions])


@dataclasses.dataclass(frozen=True)
class FloatScores:
    """Scores of clips by the float network, as training stored them in the run.

    Attributes:
        truth: index of the true label, `(clips,)`.
        scores: mean over windows, float64 `(clips, classes)`.
        groups: of each clip.
    """

    truth: npt.NDArray[np.intp]
    scores: npt.NDArray[np.float64]
    groups: list[str]


@dataclasses.dataclass(frozen=True)
class RunAnswers:
    """All predictions of one run's bundle.

    Attributes:
        folder: of the run.
        seed: of its split and training.
        fold: where it has one.
        val: its validation clips.
        test: its test clips; those of events also between background clips.
        val_background: the validation clips of background as one stream.
        test_background: the same of test clips.
        unknown: clips of actions that it does not know.
        float_val: what the float network gave validation clips.
        float_test: what it gave test clips.
    """

    folder: Path
    seed: int
    fold: int | None
    val: list[ClipAnswers]
    test: list[ClipAnswers]
    val_background: AnswerStream
    test_background: AnswerStream
    unknown: list[ClipAnswers]
    float_val: FloatScores
    float_test: FloatScores


def int8_runs(folder: Path) -> list[Run]:
    """Return the finished runs of a folder, each with a bundle: folds and seeds of one experiment.

    Raises:
        ConfigError: the folder holds no run.
        DatasetError: none is finished, one lacks its bundle, or they are not of one experiment.
    """
    runs = [load_run(path) for path in runs_in(folder)]
    done = [run for run in runs if (run.path / METRICS_FILE).exists()]
    if len(done) < len(runs) or not done:
        raise DatasetError(
            f"{folder}: {len(done)} of {len(runs)} runs are finished; continue with edgehar-train --resume"
        )
    for run in done:
        run.config.check_device()
        if not (run.path / BUNDLE_FILE).exists():
            raise DatasetError(f"{run.path}: holds no {BUNDLE_FILE}; make it with edgehar-train --resume --int8")
    first = done[0].config
    for run in done[1:]:
        if (run.config.labels, run.config.protocol, run.config.network) != (
            first.labels,
            first.protocol,
            first.network,
        ):
            raise DatasetError(f"{folder}: holds runs of different labels, splits or networks; give one experiment")
    if len({(run.config.split.seed, run.config.fold) for run in done}) < len(done):
        raise DatasetError(f"{folder}: holds several runs of the same seed and fold; give one experiment")
    return done


def open_bundle(run: Run) -> ModelBundle:
    """Open the bundle of a run.

    Raises:
        BundleError: it cannot be read.
        DatasetError: it is not of this run.
    """
    bundle = trial.open_bundle(run.path / BUNDLE_FILE)
    shape, size = bundle.manifest.input, run.config.network.size
    if bundle.manifest.labels != run.config.labels or (shape.height, shape.width) != (size, size):
        raise DatasetError(f"{bundle.path}: does not belong to its run; convert the run again with edgehar-convert")
    return bundle


@dataclasses.dataclass(frozen=True, kw_only=True)
class OtherClips:
    """Clips of actions that the runs do not know.

    Attributes:
        clips: the clips.
        root: their folder.
        skipped: receives the clips that cannot be read, with the reason.
    """

    clips: Sequence[Clip] = ()
    root: Path | None = None
    skipped: dict[str, str] = dataclasses.field(default_factory=dict)


def answers_of(run: Run, rule: Rule, others: OtherClips, context_s: float, progress: Progress) -> RunAnswers:
    """Show a run's bundle its validation and test clips, and clips of other actions.

    Args:
        run: a run with its bundle.
        rule: says which labels are background.
        others: clips of other actions.
        context_s: seconds of background before and after a spliced clip.
        progress: called with the number of clips that are done.

    Raises:
        DatasetError: a part of the split lacks background or events, or a clip or stored scores cannot be read.
    """
    val, test = (_loaded(run, part, rule) for part in ("val", "test"))
    metrics = report.read_metrics(run.path / METRICS_FILE)
    root = None if run.config.data.folder is None else Path(run.config.data.folder)
    with Classifier(open_bundle(run)) as classifier:
        backgrounds = [_background_stream(classifier, clips, rule) for clips in (val, test)]
        shown_val = [_shown(classifier, clip, small, root, progress) for clip, small in val]
        shown_test = [_shown(classifier, clip, small, root, progress) for clip, small in test]
        splices = _splices(run, classifier, test, rule, context_s)
        unknown = [_unknown(run, classifier, clip, others, progress) for clip in others.clips]
    return RunAnswers(
        folder=run.path,
        seed=run.config.split.seed,
        fold=run.config.fold,
        val=shown_val,
        test=[dataclasses.replace(clip, splice=splices.get(number)) for number, clip in enumerate(shown_test)],
        val_background=backgrounds[0],
        test_background=backgrounds[1],
        unknown=[clip for clip in unknown if clip is not None],
        float_val=_stored(run, metrics, "val"),
        float_test=_stored(run, metrics, "test"),
    )


def _loaded(run: Run, part: Literal["val", "test"], rule: Rule) -> list[tuple[Clip, SmallClip]]:
    clips = run.clips(part)
    background = sum(clip.label in rule.background for clip in clips)
    if not background or background == len(clips):
        raise DatasetError(
            f"{run.path}: its {part} part has {len(clips)} clips, {background} of them of background; clips of both "
            "kinds are needed, in a validation and a test part"
        )
    try:
        return [(clip, run.device_clip(clip)) for clip in clips]
    except SourceError as error:
        raise DatasetError(f"{error}; put the clips of the run back") from error


def _background_stream(classifier: Classifier, clips: Sequence[tuple[Clip, SmallClip]], rule: Rule) -> AnswerStream:
    period_s = 1 / classifier.rate_hz
    whole, _ = joined([small for clip, small in clips if clip.label in rule.background], period_s)
    return AnswerStream(play(classifier, whole), classifier.hop * period_s)


def _shown(classifier: Classifier, clip: Clip, small: SmallClip, root: Path | None, progress: Progress) -> ClipAnswers:
    progress(1)
    return ClipAnswers(clip_name(clip, root), clip.group, clip.label, play(classifier, small, flush=True))


def _splices(
    run: Run, classifier: Classifier, test: Sequence[tuple[Clip, SmallClip]], rule: Rule, context_s: float
) -> dict[int, Splice]:
    """Return the clips of events between background clips, by their number in the test part."""
    backgrounds = [small for clip, small in test if clip.label in rule.background]
    return {
        number: spliced(classifier, small, *_around(run, number, backgrounds, context_s), context_s)
        for number, (clip, small) in enumerate(test)
        if clip.label not in rule.background
    }


def _around(
    run: Run, number: int, backgrounds: Sequence[SmallClip], context_s: float
) -> tuple[list[SmallClip], list[SmallClip]]:
    """Draw background clips for before and after a clip, with the run's seed, enough for `context_s` seconds."""
    rng = np.random.default_rng([run.config.split.seed, run.config.fold or 0, number])
    sides: tuple[list[SmallClip], list[SmallClip]] = ([], [])
    for side in sides:
        seconds = 0.0
        while seconds <= context_s:
            for index in rng.permutation(len(backgrounds)):
                side.append(backgrounds[index])
                seconds += float(np.ptp(backgrounds[index].times_s)) + 1 / run.config.network.rate_hz
                if seconds > context_s:
                    break
    return sides


def _unknown(
    run: Run, classifier: Classifier, clip: Clip, others: OtherClips, progress: Progress
) -> ClipAnswers | None:
    try:
        return _shown(classifier, clip, run.device_clip(clip), others.root, progress)
    except SourceError as error:
        others.skipped[clip.path] = str(error)
        return None


def _stored(run: Run, metrics: dict[str, Any], part: str) -> FloatScores:
    labels = run.config.labels
    try:
        rows = metrics[part]["predictions"]
        truth = np.array([labels.index(row["label"]) for row in rows], np.intp)
        scores = np.array([row["scores"] for row in rows], float).reshape(len(rows), len(labels))
        return FloatScores(truth, scores, [row["group"] for row in rows])
    except (KeyError, TypeError, ValueError) as error:
        raise DatasetError(
            f"{run.path / METRICS_FILE}: its {part} predictions cannot be read ({error!r}); train the run again"
        ) from error


def check_background(labels: Sequence[str], background: Sequence[str]) -> list[str]:
    """Return the background labels without repetitions.

    Raises:
        ConfigError: there are none, they are all labels, or one is not a label of the runs.
    """
    if not background:
        raise ConfigError(f"--background: name the labels that never open an event; the labels are {', '.join(labels)}")
    for label in background:
        if label not in labels:
            raise ConfigError(f"--background {label}: unknown label; the labels are {', '.join(labels)}")
    if set(background) == set(labels):
        raise ConfigError("--background: all labels are background; leave out the labels of events")
    return list(dict.fromkeys(background))
