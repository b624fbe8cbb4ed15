"""`edgehar clips`: list, verify, export and prune recordings."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgehar.cli.common import EXIT_DONE, EXIT_FAILED
from edgehar.cli.numbers import number_above_0
from edgehar.errors import ConfigError
from edgehar.printable import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgehar.recording.chain import Line
    from edgehar.recording.sidecar import Sidecar
    from edgehar.recording.store import Archive

_EXAMPLES = """\
examples:
  edgehar clips list clips                       one line per recording, oldest first
  edgehar clips list clips --label fight --json  as JSON Lines
  edgehar clips verify clips                     exit code 1 if a recording was removed, altered or reordered
  edgehar clips verify clips --head 3f1c...      compare with a hash that was noted earlier, elsewhere
  edgehar clips export clips --to usb            copy recordings with the ledger, to hand them on
  edgehar clips prune clips --max-gb 5           remove the oldest recordings"""


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add the subcommand with its own."""
    parser = subparsers.add_parser(
        "clips",
        help="list, verify, export and prune recorded events",
        description="Work with the folder that edgehar-run --record writes. A running edgehar-run is not disturbed.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = _action(actions, "list", "print the recordings, oldest first", _list)
    _add_choice(listing)
    listing.add_argument("--json", action="store_true", help="print JSON Lines")
    verify = _action(actions, "verify", "find recordings that were removed, altered, added or reordered", _verify)
    verify.add_argument("--head", metavar="SHA256", help="hash that an earlier verify printed; the chain must hold it")
    export = _action(actions, "export", "copy recordings and the ledger into another folder", _export)
    _add_choice(export)
    export.add_argument("--to", metavar="FOLDER", required=True, help="folder to copy to; it is made if missing")
    prune = _action(actions, "prune", "remove the oldest recordings, and note that in the ledger", _prune)
    prune.add_argument("--max-age-days", type=number_above_0, metavar="D", help="remove recordings older than this")
    prune.add_argument(
        "--max-gb", type=number_above_0, metavar="GB", help="remove recordings until the rest is smaller"
    )
    prune.add_argument(
        "--min-free-mb", type=number_above_0, metavar="MB", help="remove recordings until this much is free"
    )
    prune.add_argument("--dry-run", action="store_true", help="only print what would be removed")


def _action(actions: Any, name: str, text: str, run: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = actions.add_parser(
        name,
        help=text,
        description=f"{text[0].upper()}{text[1:]}.",
        epilog="\n".join(["examples:", *(line for line in _EXAMPLES.splitlines() if f"clips {name}" in line)]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("folder", metavar="DIR", help="the folder of edgehar-run --record")
    parser.add_argument("--verbose", action="store_true", help="log more, and show the traceback of an error")
    parser.set_defaults(run=run)
    return parser


def _add_choice(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--camera", metavar="NAME", help="only recordings of this camera")
    parser.add_argument("--label", metavar="LABEL", help="only events with this label")
    parser.add_argument("--since", metavar="TIME", help="only recordings since this UTC time, as 2026-11-21T05:40")


def _archive(args: argparse.Namespace) -> Archive:
    from edgehar.recording.store import Archive

    archive = Archive(Path(args.folder))
    if not archive.folder.is_dir():
        raise ConfigError(f"{args.folder}: no such folder; give the one of edgehar-run --record")
    if not archive.chain.path.exists():
        raise ConfigError(f"{args.folder}: holds no {archive.chain.path.name}: nothing was recorded into it")
    return archive


def _chosen(args: argparse.Namespace, archive: Archive) -> Iterator[tuple[Line, Sidecar | None]]:
    from edgehar.recording.store import safe_name

    since = _since(args.since)
    for line in archive.chain.recordings().values():
        sidecar = archive.sidecar_of(line)
        if args.camera is not None and line.path.partition("/")[0] != safe_name(args.camera):
            continue
        if args.label is not None and (sidecar is None or not _has_label(sidecar, args.label)):
            continue
        if since is None or line.time >= since:
            yield line, sidecar


def _has_label(sidecar: Sidecar, label: str) -> bool:
    return any(event.label == label for event in sidecar.events)


def _since(text: str | None) -> str | None:
    import datetime

    if text is None:
        return None
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"--since {text}: not a time; write it as 2026-11-21 or 2026-11-21T05:40") from None
    utc = moment if moment.tzinfo is None else moment.astimezone(datetime.UTC)
    return utc.strftime("%Y-%m-%dT%H:%M:%S")


def _list(args: argparse.Namespace) -> int:
    import json

    archive = _archive(args)
    for line, sidecar in _chosen(args, archive):
        facts = _facts(archive, line, sidecar)
        print(json.dumps(facts) if args.json else _row(facts))
    return EXIT_DONE


def _facts(archive: Archive, line: Line, sidecar: Sidecar | None) -> dict[str, Any]:
    event = sidecar.events[-1] if sidecar is not None and sidecar.events else None
    clip = sidecar.clip if sidecar is not None else None
    whole = clip is not None and clip.start_s is not None and clip.end_s is not None
    return {
        "time": event.time if event else line.time,
        "source": sidecar.source if sidecar else line.path.partition("/")[0],
        "label": event.label if event else None,
        "peak_score": round(event.peak_score, 3) if event else None,
        "clip_s": round(clip.end_s - clip.start_s, 1) if whole else None,  # type: ignore[union-attr, operator]
        "bytes": archive.size_of(line),
        "sealed": any(suffix.endswith(".age") for suffix in line.files),
        "path": line.path,
        "files": list(line.files),
    }


def _row(facts: dict[str, Any]) -> str:
    label = facts["label"] or ("sealed" if facts["sealed"] else "?")
    score = "" if facts["peak_score"] is None else f"{facts['peak_score']:.2f}"
    length = "no clip" if facts["clip_s"] is None else f"{facts['clip_s']:.1f} s"
    size = f"{facts['bytes'] / 1e6:.1f} MB"
    return f"{facts['time'][:19]}Z  {facts['source']:<12} {label:<12} {score:>4} {length:>9} {size:>9}  {facts['path']}"


def _verify(args: argparse.Namespace) -> int:
    from edgehar.recording.verify import problems

    archive = _archive(args)
    count = 0
    for problem in problems(archive, args.head):
        print(problem)
        count += 1
    recordings = len(archive.chain.recordings())
    if count:
        print(f"{args.folder}: {counted(count, 'problem')} in {counted(recordings, 'recording')}", file=sys.stderr)
        return EXIT_FAILED
    print(f"{counted(recordings, 'recording')}, none removed, altered or reordered; head {archive.chain.head()}")
    return EXIT_DONE


def _export(args: argparse.Namespace) -> int:
    import shutil

    from edgehar.files import whole_file

    archive, target = _archive(args), Path(args.to)
    if target.resolve() == archive.folder.resolve():
        raise ConfigError(f"--to {args.to}: is the folder itself; name another one")
    count = 0
    target.mkdir(parents=True, exist_ok=True)
    for line, _ in _chosen(args, archive):
        for path in archive.files_of(line):
            copy = target / path.relative_to(archive.folder)
            copy.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(copy) as temporary:
                shutil.copy2(path, temporary)
        count += 1
    with whole_file(target / archive.chain.path.name) as temporary:
        shutil.copy2(archive.chain.path, temporary)
    print(f"{counted(count, 'recording')} copied to {target}")
    return EXIT_DONE


def _prune(args: argparse.Namespace) -> int:
    import datetime

    from edgehar.recording.options import RecordOptions
    from edgehar.recording.retention import surplus

    bounds = {name: getattr(args, name) for name in ("max_age_days", "max_gb", "min_free_mb")}
    given = {name: value for name, value in bounds.items() if value is not None}
    if not given:
        raise ConfigError("nothing to prune by; give --max-age-days, --max-gb or --min-free-mb")
    if args.dry_run and "min_free_mb" in given:
        raise ConfigError("--min-free-mb removes until there is room, which --dry-run cannot foresee; leave one out")
    archive = _archive(args)
    options = RecordOptions(**{"max_age_days": 36_500, "max_gb": 1_000_000, "min_free_mb": 0, **given})
    count = 0
    for line, why in surplus(archive, options, datetime.datetime.now(datetime.UTC)):
        print(f"{'would remove' if args.dry_run else 'removed'} ({why}): {line.path}")
        if not args.dry_run:
            archive.remove(line, why)
        count += 1
    print(f"{counted(count, 'recording')} {'would be ' if args.dry_run else ''}removed")
    return EXIT_DONE
