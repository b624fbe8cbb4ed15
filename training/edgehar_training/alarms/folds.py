"""Assign recordings to runs: every recording to a network that has not seen its camera."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TypeAlias

    from edgehar_training.alarms.recordings import Recording
    from edgehar_training.runs.run import Run

    Part: TypeAlias = Literal["train", "val", "test"]

PARTS: tuple[Part, ...] = ("train", "val", "test")


@dataclasses.dataclass(frozen=True, eq=False)
class Share:
    """The recordings of one run.

    Attributes:
        run: which.
        test: recordings that it is judged on.
        choice: recordings that its threshold can be chosen on if no other fold judges any: their cameras are in neither
            its training nor its test part.
    """

    run: Run
    test: list[Recording]
    choice: list[Recording]


def shares_of(runs: Sequence[Run], recordings: Sequence[Recording]) -> tuple[list[Share], list[Recording]]:
    """Give every recording to one run of each seed, and to runs for the choice of a threshold.

    A recording is tested by the run whose test part holds its camera. If no run of that seed knows the camera, all are
    blind to it, and such cameras are dealt to the runs in turn, by their names. Without `other_folds`, a threshold is
    chosen on the recordings of the validation part; if there is none, on others that the run is blind to.

    Recordings that are clips of the runs get the cameras that they have there.

    Args:
        runs: folds and seeds of one experiment.
        recordings: what there is to watch.

    Returns:
        One share for each run, and the recordings that were only ever trained on.
    """
    parts = [_parts(run) for run in runs]
    recordings = [dataclasses.replace(one, camera=parts[0].groups.get(one.path, one.camera)) for one in recordings]
    tested: list[list[Recording]] = [[] for _ in runs]
    left_out: dict[str, Recording] = {}
    seeds = sorted({run.config.split.seed for run in runs})
    turn = {camera: number for number, camera in enumerate(sorted({one.camera for one in recordings}))}
    for recording in recordings:
        for seed in seeds:
            own = [number for number, run in enumerate(runs) if run.config.split.seed == seed]
            number = _tester(recording, turn[recording.camera], own, parts)
            if number is None:
                left_out[recording.path] = recording
            else:
                tested[number].append(recording)
    shares = [
        Share(run, test, _choice(known, test, recordings)) for run, test, known in zip(runs, tested, parts, strict=True)
    ]
    return shares, list(left_out.values())


def other_folds(share: Share, shares: Sequence[Share]) -> list[Share]:
    """Return the other runs of the same seed that judge ordinary recordings: a threshold is chosen on what they judge.

    Each of these recordings is scored by the run that is blind to its camera, and none of them by the run itself. Four
    folds of five hold four times the footage of a validation part, and a threshold for few alarms needs hours.
    """
    seed = share.run.config.split.seed
    others = (other for other in shares if other is not share and other.run.config.split.seed == seed)
    return [other for other in others if any(recording.ordinary for recording in other.test)]


@dataclasses.dataclass(frozen=True)
class _Parts:
    """The parts of a run's split, by recording and by camera; and the camera of each recording."""

    paths: dict[str, Part]
    cameras: dict[str, Part]
    groups: dict[str, str]

    def of(self, recording: Recording) -> Part | None:
        """The part that holds a recording or its camera; None if the run knows neither."""
        return self.paths.get(recording.path) or self.cameras.get(recording.camera)


def _parts(run: Run) -> _Parts:
    data = run.config.data.folder
    root = "" if data is None else Path(data).name
    found = _Parts({}, {}, {})
    for part in PARTS:
        for clip in run.clips(part):
            path, camera = str(Path(clip.path).resolve()), clip.group if ":" in clip.group else f"{root}:{clip.group}"
            found.paths[path], found.groups[path] = part, camera
            # A camera that was trained on stays so, whatever else it is in.
            found.cameras.setdefault(camera, part)
    return found


def _tester(recording: Recording, turn: int, own: Sequence[int], parts: Sequence[_Parts]) -> int | None:
    known = {number: parts[number].of(recording) for number in own}
    testing = [number for number, part in known.items() if part == "test"]
    blind = [number for number, part in known.items() if part is None]
    candidates = testing or blind
    return candidates[turn % len(candidates)] if candidates else None


def _choice(parts: _Parts, test: Sequence[Recording], recordings: Sequence[Recording]) -> list[Recording]:
    cameras = {recording.camera for recording in test}
    others = [recording for recording in recordings if recording.ordinary and recording.camera not in cameras]
    validation = [recording for recording in others if parts.of(recording) == "val"]
    return validation or [recording for recording in others if parts.of(recording) is None]
