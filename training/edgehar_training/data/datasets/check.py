"""Check a data set before training: its composition, and faults such as damaged files, duplicates and leaks."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

import msgspec

from edgehar.errors import ConfigError, DatasetError
from edgehar_training.data.datasets.clip import labels_of
from edgehar_training.data.datasets.official import OFFICIAL, check_official
from edgehar_training.data.datasets.probe import length_s

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from edgehar_training.data.datasets.clip import Clip
    from edgehar_training.data.datasets.probe import Probe

# Training, validation and test: a class needs clips in each.
_FEWEST_GROUPS = 3
_FEWEST_CLIPS = 10
_MOST_UNEVEN = 10


class Durations(msgspec.Struct, frozen=True):
    """Lengths of clips, in seconds."""

    min: float
    median: float
    max: float


class ClassCheck(msgspec.Struct, frozen=True):
    """The readable clips of a class: number, number of groups, and durations (None if unknown)."""

    clips: int
    groups: int
    duration_s: Durations | None


class Duplicate(msgspec.Struct, frozen=True):
    """Files of the same content, with the groups and labels of their clips."""

    paths: list[str]
    groups: list[str]
    labels: list[str]

    @property
    def leaks(self) -> bool:
        """Whether the copies are in different groups, so that a split may train on one and test on the other."""
        return len(self.groups) > 1


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """Findings of `edgehar data check`.

    Attributes:
        dataset: kind of the data set.
        clips: number of clips.
        videos: number of video files.
        groups: number of groups.
        classes: the readable clips of each class.
        duration_s: durations of the readable clips; None if unknown.
        rates_hz: number of videos with each frame rate, rounded to a tenth.
        sizes: number of videos with each frame size, as "WIDTHxHEIGHT".
        unreadable: the reason for every video without a readable frame, by its path.
        damaged: the fault of every other damaged video, by its path.
        duplicates: files of the same content.
        warnings: findings to look at before training, in words.
    """

    dataset: str
    clips: int
    videos: int
    groups: int
    classes: dict[str, ClassCheck]
    duration_s: Durations | None
    rates_hz: dict[str, int]
    sizes: dict[str, int]
    unreadable: dict[str, str]
    damaged: dict[str, str]
    duplicates: list[Duplicate]
    warnings: list[str]

    @property
    def usable(self) -> bool:
        """Whether at least two classes have a clip that can be read."""
        return sum(one.clips > 0 for one in self.classes.values()) >= 2


def check_clips(clips: Sequence[Clip], dataset: str, probes: dict[str, Probe]) -> Check:
    """Return the findings about clips, from the probe of each of their videos."""
    readable = [clip for clip in clips if not probes[clip.path].unreadable]
    good = [found for found in probes.values() if not found.unreadable]
    duplicates = _duplicates(clips, probes)
    return Check(
        dataset=dataset,
        clips=len(clips),
        videos=len(probes),
        groups=len({clip.group for clip in clips}),
        classes={label: _class(label, readable, probes) for label in labels_of(list(clips))},
        duration_s=_durations(readable, probes),
        rates_hz=_counts(f"{round(found.rate_hz, 1):g}" for found in good if found.rate_hz),
        sizes=_counts(f"{found.width}x{found.height}" for found in good),
        unreadable={path: found.unreadable for path, found in probes.items() if found.unreadable},
        damaged={path: found.damaged for path, found in probes.items() if found.damaged},
        duplicates=duplicates,
        warnings=[
            *_leaks(clips, duplicates),
            *_official_leaks(clips, dataset),
            *_thin(readable, labels_of(list(clips))),
            *_beyond(readable, probes),
        ],
    )


def _counts(words: Iterable[str]) -> dict[str, int]:
    return dict(Counter(words).most_common())


def _class(label: str, readable: Sequence[Clip], probes: dict[str, Probe]) -> ClassCheck:
    of_class = [clip for clip in readable if clip.label == label]
    return ClassCheck(len(of_class), len({clip.group for clip in of_class}), _durations(of_class, probes))


def _durations(clips: Iterable[Clip], probes: dict[str, Probe]) -> Durations | None:
    lengths_s = [one for clip in clips if (one := length_s(clip, probes[clip.path]))]
    if not lengths_s:
        return None
    return Durations(*(round(value, 3) for value in (min(lengths_s), statistics.median(lengths_s), max(lengths_s))))


def _duplicates(clips: Sequence[Clip], probes: dict[str, Probe]) -> list[Duplicate]:
    by_content: dict[str, list[Clip]] = defaultdict(list)
    for clip in clips:
        found = probes[clip.path]
        if found.sha256 and not found.unreadable:
            by_content[found.sha256].append(clip)
    several = [same for same in by_content.values() if len({clip.path for clip in same}) > 1]
    return [
        Duplicate(*(sorted({getattr(clip, name) for clip in same}) for name in ("path", "group", "label")))
        for same in several
    ]


def _leaks(clips: Sequence[Clip], duplicates: Sequence[Duplicate]) -> list[str]:
    warnings = []
    if leaking := [one for one in duplicates if one.leaks]:
        first = leaking[0]
        warnings.append(
            f"leak: {len(leaking)} files have copies in other groups, such as {' and '.join(first.paths[:2])} of "
            f"{' and '.join(map(repr, first.groups[:2]))}; remove the copies, or give them one group"
        )
    if unsure := [one for one in duplicates if len(one.labels) > 1]:
        first = unsure[0]
        warnings.append(
            f"{len(unsure)} files have copies of another label, such as {' and '.join(first.paths[:2])}; only one "
            "can be right"
        )
    groups: dict[str, set[str]] = defaultdict(set)
    for clip in clips:
        groups[clip.path].add(clip.group)
    if torn := [path for path, names in groups.items() if len(names) > 1]:
        names = " and ".join(map(repr, sorted(groups[torn[0]])[:2]))
        warnings.append(
            f"leak: clips of {len(torn)} videos are in several groups, such as {torn[0]} in {names}; give all clips of "
            "a video one group"
        )
    count = len({clip.group for clip in clips})
    if count == len({clip.path for clip in clips}) > 1:
        warnings.append(
            "leak: every video is a group of its own, so clips of one person, camera or recording may be on both sides "
            "of a split; list what belongs together in groups.csv (or in the column group)"
        )
    return warnings


def _official_leaks(clips: Sequence[Clip], dataset: str) -> list[str]:
    lists = min((len(clip.official) for clip in clips), default=0)
    if dataset not in OFFICIAL or not lists:
        return []
    try:
        return [f"leak: {words}" for words in check_official(clips, dataset, None if lists == 1 else lists)]
    except (ConfigError, DatasetError) as error:
        return [str(error)]


def _thin(readable: Sequence[Clip], labels: Sequence[str]) -> list[str]:
    warnings = []
    clips = Counter(clip.label for clip in readable)
    for label in labels:
        groups = len({clip.group for clip in readable if clip.label == label})
        if not clips[label]:
            warnings.append(f"class {label!r} has no readable clip; add some, or leave it out with --classes")
        elif groups < _FEWEST_GROUPS:
            warnings.append(
                f"class {label!r} has clips of {groups} groups; to train, validate and test on unseen ones takes "
                f"{_FEWEST_GROUPS}"
            )
        elif clips[label] < _FEWEST_CLIPS:
            warnings.append(f"class {label!r} has {clips[label]} clips: its figures will be imprecise")
    if clips and max(clips.values()) > _MOST_UNEVEN * min(clips.values()):
        (most, many), (least, few) = clips.most_common()[0], clips.most_common()[-1]
        warnings.append(
            f"{most!r} has {many} clips and {least!r} {few}; consider edgehar-train --class-weights, and look at "
            "the figures of each class"
        )
    return warnings


def _beyond(readable: Sequence[Clip], probes: dict[str, Probe]) -> list[str]:
    beyond = [clip for clip in readable if clip.start_s and 0 < probes[clip.path].duration_s <= clip.start_s]
    if not beyond:
        return []
    first = beyond[0]
    return [
        f"{len(beyond)} clips begin after their video ends, such as {first.path} at {first.start_s:.2f} s; correct them"
    ]
