"""`edgehar data`: check clips before training on them, and import labeled clips of devices."""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgehar.cli.common import EXIT_DONE, EXIT_FAILED
from edgehar.printable import printable_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from edgehar_training.data.datasets import Clip
    from edgehar_training.data.datasets.check import Check, Durations

EXAMPLES = """\
examples:
  edgehar data check clips --sheet clips.png               counts, damaged files, duplicates, leaks, and a picture
  edgehar data check KTH --dataset kth --json
  edgehar data list KTH --dataset kth > kth.csv            write a table of all clips for --dataset csv
  edgehar data preview --data clips --out windows.png      show training windows
  edgehar data import-inbox hall=inbox1 yard=inbox2 --out clips   a data set of the labels of two devices"""
_SHOWN = 5
PREVIEWED = ("data", "network", "augment")


class _LateParser(argparse.ArgumentParser):
    """A parser whose options are added when it is used, because every call of `edgehar` loads these modules."""

    late: Callable[[argparse.ArgumentParser], None] | None = None

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Add the options, then parse as the base class does."""
        if self.late is not None:
            late, self.late = self.late, None
            late(self)
        return super().parse_known_args(args, namespace)


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "data",
        help="check clips before training on them",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION", parser_class=_LateParser)
    _add_check(actions)
    _add_list(actions)
    _add_preview(actions)
    _add_import(actions)


def _add_import(actions: argparse._SubParsersAction[Any]) -> None:
    importing = _add(actions, "import-inbox", "make a data set of the labeled inboxes of devices", _import)
    importing.add_argument("inboxes", nargs="+", metavar="[NAME=]DIR", help="an inbox, and the name of its device")
    importing.add_argument("--out", type=Path, required=True, metavar="DIR", help="the new folder of clips")
    importing.add_argument(
        "--ordinary", default="ordinary", metavar="LABEL", help="class of ordinary moments (ordinary), e.g. noFight"
    )


def _add_check(actions: argparse._SubParsersAction[Any]) -> None:
    check = _add(actions, "check", "count clips, and find damaged files, duplicates and leaks", _check)
    _add_data(check)
    check.add_argument("--json", action="store_true", help="print the findings as JSON")
    check.add_argument("--sheet", type=Path, metavar="PNG", help="write a picture with clips of every class")
    check.add_argument(
        "--all-frames", action="store_true", help="decode every frame (slower) instead of some of each video"
    )
    check.add_argument(
        "--workers", type=int, metavar="N", help="number of videos read at the same time (default: one per core)"
    )


def _add_list(actions: argparse._SubParsersAction[Any]) -> None:
    listing = _add(actions, "list", "print a CSV table of all clips, for --dataset csv", _list)
    _add_data(listing)


def _add_preview(actions: argparse._SubParsersAction[Any]) -> None:
    preview: Any = _add(actions, "preview", "write a picture of training windows", _preview)
    preview.add_argument("--out", type=Path, required=True, metavar="PNG", help="the picture")
    preview.add_argument("--rows", type=int, default=12, metavar="N", help="number of windows (default: 12)")
    preview.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the windows (default: 0)")
    preview.add_argument("--recipe", metavar="NAME|FILE", help="start from the settings of a recipe")
    preview.late = _add_settings


def _add_settings(parser: argparse.ArgumentParser) -> None:
    from edgehar_training.settings.arguments import add_options
    from edgehar_training.settings.recipe import SETTINGS

    add_options(parser, {name: SETTINGS[name] for name in PREVIEWED})


def _add(
    actions: argparse._SubParsersAction[Any], name: str, what: str, run: Callable[[argparse.Namespace], int]
) -> argparse.ArgumentParser:
    action: argparse.ArgumentParser = actions.add_parser(
        name, help=what, description=f"{what[0].upper()}{what[1:]}.", allow_abbrev=False
    )
    action.set_defaults(run=run)
    return action


def _add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", nargs="?", metavar="DIR", help="folder (or table) of the clips")
    parser.add_argument("--dataset", default="folder", metavar="KIND", help="layout of the clips (default: folder)")
    parser.add_argument("--classes", nargs="+", metavar="LABEL", help="these classes only")


def _clips(args: argparse.Namespace) -> list[Clip]:
    from edgehar_training.data.datasets import load_dataset
    from edgehar_training.settings import DataSettings

    return load_dataset(DataSettings(dataset=args.dataset, folder=args.folder, classes=args.classes), training=False)


def _list(args: argparse.Namespace) -> int:
    import dataclasses

    from edgehar_training.data.datasets.clip import is_file_path
    from edgehar_training.data.datasets.manifest import write_csv

    def absolute(clip: Clip) -> Clip:
        # The table may be kept anywhere.
        return dataclasses.replace(clip, path=str(Path(clip.path).resolve())) if is_file_path(clip.path) else clip

    # The table holds file names exactly, also when their bytes are not UTF-8.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")
    write_csv([absolute(clip) for clip in _clips(args)], sys.stdout)
    return EXIT_DONE


def _import(args: argparse.Namespace) -> int:
    from collections import Counter

    from edgehar_training.data.inbox import TABLE, device_folders, import_inboxes

    done = import_inboxes(device_folders(args.inboxes), args.out, ordinary=args.ordinary)
    for path, why in done.skipped.items():
        print(f"edgehar data: left out: {path}: {why}", file=sys.stderr)
    if done.without_clip:
        print(f"edgehar data: {done.without_clip} moments have no clip, only features; left out", file=sys.stderr)
    if done.twice:
        print(f"edgehar data: {done.twice} moments are in several inboxes; taken once", file=sys.stderr)
    groups = len({clip.group for clip in done.clips})
    counts = ", ".join(
        f"{count} {label}" for label, count in sorted(Counter(clip.label for clip in done.clips).items())
    )
    print(f"wrote {args.out / TABLE}: {counts}; {groups} groups (device, camera, day)")
    print(f"train with: edgehar-train --dataset csv --data {args.out / TABLE} --init-from RUN --out NEW_RUN")
    return EXIT_DONE


def _check(args: argparse.Namespace) -> int:
    import msgspec

    from edgehar.errors import ConfigError
    from edgehar.progress import Progress
    from edgehar_training.cli.workstation import prepare
    from edgehar_training.data.datasets.check import check_clips
    from edgehar_training.data.datasets.probe import probe_videos

    prepare()
    workers = len(os.sched_getaffinity(0)) if args.workers is None else args.workers
    if workers < 1:
        raise ConfigError(f"--workers is {workers}, it must be 1 or more")
    if args.sheet is not None and args.sheet.suffix.lower() != ".png":
        raise ConfigError(f"--sheet {args.sheet}: the picture is a PNG; name it so")
    clips = _clips(args)
    with Progress("reading", len({clip.path for clip in clips}), unit="videos") as progress:
        probes = probe_videos(clips, workers=workers, all_frames=args.all_frames, progress=progress.advance)
    check = check_clips(clips, args.dataset, probes)
    if args.json:
        from edgehar_training.file_names import printable_values

        print(json.dumps(printable_values(msgspec.to_builtins(check)), indent=2, ensure_ascii=False))
    else:
        print(printable_lines("\n".join(_lines(check))))
    if args.sheet is not None:
        from edgehar_training.data.datasets.sheet import shown_count, write_contact_sheet

        with Progress("drawing", shown_count(clips), unit="clips") as progress:
            title = f"{args.dataset} {args.folder or ''}: {check.clips} clips, {check.groups} groups"
            write_contact_sheet(args.sheet, clips, probes, title=title, workers=workers, progress=progress.advance)
    if not check.usable:
        print("edgehar: fewer than two classes have a readable clip; training needs two", file=sys.stderr)
    return EXIT_DONE if check.usable else EXIT_FAILED


def _lines(check: Check) -> Iterator[str]:
    """Yield the findings as lines of text."""
    width = max(map(len, (*check.classes, "class")))
    yield f"{'class':<{width}}  {'clips':>6}  {'groups':>6}  seconds (shortest, median, longest)"
    for label, one in check.classes.items():
        yield f"{label:<{width}}  {one.clips:>6}  {one.groups:>6}  {_seconds(one.duration_s)}"
    readable = sum(one.clips for one in check.classes.values())
    yield f"{'all':<{width}}  {readable:>6}  {check.groups:>6}  {_seconds(check.duration_s)}"
    yield ""
    yield f"videos      {check.videos}"
    yield f"frames/s    {_counted(check.rates_hz)}"
    yield f"sizes       {_counted(check.sizes)}"
    yield f"unreadable  {len(check.unreadable)}"
    yield from _some([f"{path}: {reason}" for path, reason in check.unreadable.items()])
    yield f"damaged     {len(check.damaged)}"
    yield from _some([f"{path}: {reason}" for path, reason in check.damaged.items()])
    yield f"duplicates  {sum(len(one.paths) - 1 for one in check.duplicates)}"
    yield from _some([" = ".join(one.paths) for one in check.duplicates])
    for warning in check.warnings:
        yield f"warning: {warning}"


def _seconds(durations: Durations | None) -> str:
    return "unknown" if durations is None else f"{durations.min:.2f} {durations.median:.2f} {durations.max:.2f}"


def _counted(counts: dict[str, int]) -> str:
    shown = [f"{word} ({count})" for word, count in list(counts.items())[:_SHOWN]]
    more = [f"and {len(counts) - _SHOWN} others"] if len(counts) > _SHOWN else []
    return ", ".join([*shown, *more]) or "unknown"


def _some(lines: list[str]) -> Iterator[str]:
    yield from (f"  {line}" for line in lines[:_SHOWN])
    if len(lines) > _SHOWN:
        yield f"  and {len(lines) - _SHOWN} more; --json has all"


def _preview(args: argparse.Namespace) -> int:
    from edgehar.errors import ConfigError
    from edgehar_training.cli.train import chosen_settings, run_config
    from edgehar_training.cli.workstation import prepare
    from edgehar_training.data.datasets import load_dataset
    from edgehar_training.settings.recipe import read_recipe

    if args.rows < 1 or args.seed < 0:
        raise ConfigError(f"--rows {args.rows} --seed {args.seed}: there must be one row or more, and no negative seed")
    if args.out.suffix.lower() != ".png":
        raise ConfigError(f"--out {args.out}: the picture is a PNG; name it so")
    groups: dict[str, Any] = chosen_settings(args, None if args.recipe is None else read_recipe(args.recipe))
    prepare()
    from msgspec.structs import replace

    from edgehar_training.training.preview import write_preview

    config = run_config({**groups, "split": replace(groups["split"], seed=args.seed)})
    rows = write_preview(args.out, config, load_dataset(config.data), rows=args.rows)
    print(printable_lines(f"{args.out}: {rows} windows"))
    return EXIT_DONE
