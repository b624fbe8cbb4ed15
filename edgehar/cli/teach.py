"""`edgehar teach`: teach a model new classes, or what is ordinary here, from labeled clips or a labeled inbox.

The encoder stays as it is; only the head is fitted, on this machine, without TensorFlow. The new bundle is written only
if it answers held-out clips better than the old one. The old bundle is not changed.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from edgehar.cli.common import EXIT_DONE, EXIT_FAILED
from edgehar.errors import ConfigError

if TYPE_CHECKING:
    from typing import Any

    from edgehar.teaching.verdict import Verdict

_EXAMPLES = """\
examples:
  clips/fall/*.mp4 and clips/ordinary/*.mp4 hold ten clips or more each; clips/groups.csv names their cameras or days
  edgehar teach fight --data clips --out hall.edgehar        a fight detector that also knows falls
  edgehar label                                              label what edgehar-run has kept under [inbox]
  edgehar teach fight --inbox ~/.local/state/edgehar/inbox --out hall.edgehar
  edgehar-run --camera 0 --model hall.edgehar
  edgehar inspect hall.edgehar --card                        what was taught, and how good it is on held-out clips"""


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "teach",
        help="teach a model from labeled clips or a labeled inbox, on this machine",
        description=__doc__,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", help="path of the bundle to start from, or the name of a shipped model")
    parser.add_argument(
        "--data",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="a folder of <label>/<clip>, optionally with groups.csv; may be given several times",
    )
    parser.add_argument(
        "--inbox",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="a labeled inbox, or a folder of recordings with labels; may be given several times",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the new bundle, NAME.edgehar")
    parser.add_argument(
        "--background",
        nargs="+",
        default=[],
        metavar="LABEL",
        help="labels that are ordinary and open no event; a folder named `ordinary` always is",
    )
    parser.add_argument("--json", action="store_true", help="print progress and results as JSON Lines")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Teach, print how held-out clips were answered, and say what was written or why nothing was."""
    import logging
    import os

    # The matrices are small: threads of a BLAS library cost more than they save. Read when numpy is imported.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from edgehar.inspect import trial
    from edgehar.progress import Progress
    from edgehar.teaching.clips import combined, read_clips, read_inbox
    from edgehar.teaching.teach import RECOMMENDED_CLIPS, teach
    from edgehar.teaching.verdict import NotBetterError

    log = logging.getLogger(__name__)
    if not args.data and not args.inbox:
        raise ConfigError("nothing to teach from; give --data DIR or --inbox DIR")
    bundle = trial.open_bundle(args.model)
    clips = combined([*map(read_clips, args.data), *map(read_inbox, args.inbox)])
    if not clips.grouped:
        log.warning(
            "%s: no groups.csv, so clips are held out at random; if clips share a camera or person, the result below "
            "is too high",
            ", ".join(map(str, args.data)),
        )
    lines = _JsonLines(len(clips.clips)) if args.json else None
    with Progress("encoding", len(clips.clips), unit="clips", lines=10) as progress:

        def advance() -> None:
            progress.advance()
            if lines is not None:
                lines.advance()

        try:
            verdict = teach(bundle, clips, args.out, background=args.background, on_clip=advance)
        except NotBetterError as error:
            progress.close()
            print(_table(error.verdict) if lines is None else _as_json(error.verdict))
            log.error("%s", error)
            return EXIT_FAILED
    for path, why in verdict.unreadable.items():
        log.warning("left out: %s: %s", path, why)
    for label, result in verdict.results.items():
        if result.clips < RECOMMENDED_CLIPS:
            log.warning("label %r: only %d clips; %d or more are better", label, result.clips, RECOMMENDED_CLIPS)
    if lines is not None:
        print(_as_json(verdict))
        return EXIT_DONE
    print(_table(verdict))
    print(f"wrote {args.out}; try it with: edgehar-run --model {args.out}")
    return EXIT_DONE


class _JsonLines:
    """Prints how many clips were read."""

    def __init__(self, total: int) -> None:
        self._done, self._total = 0, total

    def advance(self) -> None:
        """Count one more clip."""
        self._done += 1
        print(json.dumps({"type": "progress", "done": self._done, "total": self._total}), flush=True)


def _as_json(verdict: Verdict) -> str:
    labels = {
        label: {"clips": result.clips, "before": result.before, "after": result.after}
        for label, result in verdict.results.items()
    }
    found = verdict.ordinary
    return json.dumps(
        {
            "type": "result",
            "labels": labels,
            "before": verdict.before,
            "after": verdict.after,
            "protocol": verdict.protocol,
            "ordinary": {"moments": found.moments, "before": found.before, "after": found.after},
            "kept": None
            if verdict.kept is None
            else {label: {"before": kept.before, "after": kept.after} for label, kept in verdict.kept.items()},
            "reach": verdict.method.reach,
            "left_out": dict(verdict.unreadable),
            "problem": verdict.problem,
        },
        ensure_ascii=False,
    )


def _table(verdict: Verdict) -> str:
    width = max(len("mean over labels"), *(len(label) for label in verdict.results))
    lines = [f"held-out clips ({verdict.protocol})", f"{'':<{width}}  clips  old head  new head"]
    for label, result in verdict.results.items():
        before, after = result.before / result.clips, result.after / result.clips
        lines.append(f"{label:<{width}}  {result.clips:>5}  {before:>8.0%}  {after:>8.0%}")
    lines.append(f"{'mean over labels':<{width}}         {verdict.before:>8.0%}  {verdict.after:>8.0%}")
    if (found := verdict.ordinary).moments:
        lines.append(f"random moments without a label: {found.moments}; reported as an action:")
        lines.append(f"{'':<{width}}         {found.before:>8}  {found.after:>8}")
    return "\n".join([*lines, *_kept_lines(verdict, width)])


def _kept_lines(verdict: Verdict, width: int) -> list[str]:
    if verdict.kept is None:
        return ["whether the new head forgets actions is not measured: the model remembers no training windows"]
    lines = ["remembered training windows, named at the threshold:"] if verdict.kept else []
    for label, kept in verdict.kept.items():
        lines.append(f"{label:<{width}}         {kept.before:>8}  {kept.after:>8}")
    if verdict.method.reach < 1:
        lines.append(f"the correction reaches {verdict.method.reach:.0%} as far as the clips ask for, to forget less")
    return lines
