"""Several folders as one data set: a TOML file that says what each is, how its labels are called here, and its groups.

    same = [["survfight:cam002", "survfight:cam003"]]     # groups that turned out to be one camera

    [[source]]
    folder = "survfight"                                  # from this file's folder on
    [[source]]
    folder = "cctv"
    dataset = "recordings"
    labels = { fight = "fight", ordinary = "noFight", outside = "noFight" }     # others are left out
    [[source]]
    folder = "ut_interaction_set1_background"
    dataset = "files"                                     # videos under it, at any depth, of one label
    label = "noFight"
    namespace = "ut"                                      # shares its groups with other sources of that name
    group = '_(\\d+)_'                                     # what of a file's name is its group

Clips that `leave_out` names (`<label>/<clip>`) are left out. A source of recordings may also name another table of
`events`, and `window_s` (see `recordings.load_recordings`). `weights` says how much the clips of a label count in a
closed-form training; the others count 1. The clips of a source with `learn_only = true` test nothing. Changed copies of
other clips belong in the namespace of those, so that no network is tested on what it has learned a copy of.

Groups are named `NAMESPACE:GROUP`; a group with a colon in its name has a namespace already.
"""

from __future__ import annotations

import dataclasses
import re
import tomllib
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from edgehar.errors import DatasetError
from edgehar.sources.address import VIDEO_SUFFIXES
from edgehar_training.data.datasets.clip import Clip
from edgehar_training.data.datasets.recordings import load_recordings

FILES, RECORDINGS = "files", "recordings"
# A label of the table that stands for all that it does not name.
OTHERS = "*"


class _Source(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    folder: Annotated[str, Meta(min_length=1)]
    dataset: str = "folder"
    label: str | None = None
    labels: dict[str, str] | None = None
    namespace: str | None = None
    group: str | None = None
    group_as: str = "{0}"
    events: str | None = None
    window_s: Annotated[float, Meta(ge=0)] = 0.0
    leave_out: list[str] = []
    weights: dict[str, Annotated[float, Meta(gt=0)]] = {}
    learn_only: bool = False


class _Mixture(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    source: Annotated[list[_Source], Meta(min_length=1)]
    same: list[list[str]] = []


def load_mixed(table: Path) -> list[Clip]:
    """Return the clips of all sources, in the order of the file.

    Raises:
        DatasetError: the file cannot be read, or a source cannot be used.
    """
    try:
        mixture = msgspec.convert(tomllib.loads(table.read_text("utf-8")), _Mixture)
    except OSError as error:
        raise DatasetError(f"{table}: cannot be read ({error.strerror}); --dataset mixed needs a TOML file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise DatasetError(f"{table}: {error}") from error
    clips = [clip for source in mixture.source for clip in _clips_of(table, source)]
    renamed = _merged(table, mixture.same, {clip.group for clip in clips})
    return [dataclasses.replace(clip, group=renamed.get(clip.group, clip.group)) for clip in clips]


def _clips_of(table: Path, source: _Source) -> list[Clip]:
    folder = table.parent / source.folder
    namespace = folder.name if source.namespace is None else source.namespace
    if source.dataset == FILES:
        found = _files(table, folder, source)
    elif source.dataset == RECORDINGS:
        events = None if source.events is None else table.parent / source.events
        found = load_recordings(folder, events=events, window_s=source.window_s)
    else:
        from edgehar_training.data.datasets import load_kind

        found = load_kind(source.dataset, folder, training=False)
    clips, left = [], set(source.leave_out)
    if unknown := left - {Path(clip.path).relative_to(folder).as_posix() for clip in found}:
        raise DatasetError(f"{table}: leave_out names {sorted(unknown)[0]!r}, which is not in {folder}")
    for clip in found:
        if Path(clip.path).relative_to(folder).as_posix() in left:
            continue
        label = _label(clip.label, source)
        group = clip.group if ":" in clip.group else f"{namespace}:{clip.group}"
        if label is not None:
            weight = source.weights.get(label, 1.0)
            span = clip.start_s, clip.end_s
            clips.append(Clip(clip.path, label, group, *span, weight=weight, learn_only=source.learn_only))
    if strange := set(source.weights) - {clip.label for clip in clips}:
        raise DatasetError(f"{table}: weights names {sorted(strange)[0]!r}, and no clip of {folder} has that label")
    if not clips:
        known = ", ".join(sorted({clip.label for clip in found}))
        raise DatasetError(f"{table}: no clip of {folder} is left; its labels are {known}")
    return clips


def _label(label: str, source: _Source) -> str | None:
    """The label's name here; None leaves the clip out."""
    if source.label is not None:
        return source.label
    return label if source.labels is None else source.labels.get(label, source.labels.get(OTHERS))


def _files(table: Path, folder: Path, source: _Source) -> list[Clip]:
    if source.label is None:
        raise DatasetError(f"{table}: {folder} is of dataset files, so it needs a label")
    if not folder.is_dir():
        raise DatasetError(f"{table}: {folder}: no such folder")
    try:
        pattern = None if source.group is None else re.compile(source.group)
    except re.error as error:
        raise DatasetError(f"{table}: group {source.group!r} is not a regular expression ({error})") from error
    clips = []
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in VIDEO_SUFFIXES or not path.is_file():
            continue
        name = path.relative_to(folder).as_posix()
        if pattern is not None:
            if (match := pattern.search(name)) is None or not match.groups():
                raise DatasetError(f"{table}: {path} has no group by the pattern {source.group!r}; give it one ( )")
            try:
                name = source.group_as.format(*match.groups())
            except (IndexError, KeyError, ValueError) as error:
                raise DatasetError(
                    f"{table}: group_as {source.group_as!r} does not fit the pattern ({error})"
                ) from error
        clips.append(Clip(str(path), source.label, name))
    if not clips:
        raise DatasetError(f"{table}: {folder} holds no video")
    return clips


def _merged(table: Path, same: list[list[str]], known: set[str]) -> dict[str, str]:
    """The first name of each group that has several."""
    first: dict[str, str] = {}
    for names in same:
        if unknown := [name for name in names if name not in known]:
            raise DatasetError(f"{table}: same names {unknown[0]!r}, and no clip has that group")
        home = next((first[name] for name in names if name in first), names[0])
        for name in names:
            if first.get(name, home) != home:
                raise DatasetError(f"{table}: {name!r} is in two rows of same; write them as one")
            first[name] = home
    return first
