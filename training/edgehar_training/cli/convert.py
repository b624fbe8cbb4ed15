"""The command `edgehar-convert`."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from edgehar.cli.common import EXIT_DONE, make_parser, run_command
from edgehar.errors import ConfigError
from edgehar_training.cli.workstation import prepare

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from edgehar_training.quantize.convert import Conversion

EXAMPLES = """\
  edgehar-convert runs/actions --out actions.edgehar
  edgehar-convert runs/fight --out fight.edgehar --evaluation runs/fight-5-fold --background noFight --threshold 0.6
  edgehar-convert runs/fight --out fight.edgehar --max-drop 2.5     # the smallest step on 40 validation clips"""

TIMED_CALLS = 200


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run_command(_parser(), _convert, argv)


def _parser() -> argparse.ArgumentParser:
    parser = make_parser(
        "edgehar-convert",
        "Convert a trained network to int8 TFLite files in one bundle, and measure the loss.",
        EXAMPLES,
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="folder written by edgehar-train")
    parser.add_argument("--out", type=Path, required=True, metavar="NAME.edgehar", help="the bundle to write")
    parser.add_argument("--name", help="name in the bundle (default: that of the file)")
    parser.add_argument(
        "--max-drop",
        type=float,
        default=1.0,
        metavar="POINTS",
        help="write nothing and exit with 1 when int8 loses more points of validation top-1 (default: 1.0)",
    )
    parser.add_argument(
        "--stage",
        choices=("ptq", "finetune", "qat"),
        help="which network of a run with --qat (default: the best on its validation clips)",
    )
    parser.add_argument(
        "--head",
        choices=("unrolled", "fused", "float"),
        default="unrolled",
        help="int8 in plain operations, int8 with TFLite's LSTM, or 32-bit floats (default: unrolled)",
    )
    parser.add_argument(
        "--evaluation", type=Path, metavar="RUN", help="another finished run, e.g. of folds, whose accuracy is told too"
    )
    parser.add_argument("--notes", type=Path, metavar="FILE", help="Markdown about the data set, for the model card")
    parser.add_argument(
        "--threshold", type=float, default=0.0, metavar="P", help="answer 'unknown' under this score (default: 0)"
    )
    parser.add_argument("--background", nargs="+", default=[], metavar="LABEL", help="labels that are no event")
    parser.add_argument(
        "--hop", type=int, metavar="N", help="frames between answers (default: a quarter of the window)"
    )
    return parser


def _convert(args: argparse.Namespace) -> int:
    prepare("tensorflow")  # the backend whose graphs become TFLite
    from edgehar.manifest import Decision
    from edgehar_training.quantize.convert import convert_run

    conversion = convert_run(
        args.run,
        args.out,
        name=args.name,
        max_drop=args.max_drop,
        evaluation=args.evaluation,
        hop=args.hop,
        stage=args.stage,
        head=args.head,
        notes=_read_notes(args.notes),
        decision=Decision(threshold=args.threshold, background=args.background),
    )
    print(_table(conversion), file=sys.stderr)
    return EXIT_DONE


def _read_notes(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--notes {path}: cannot be read as UTF-8 text: {error}") from error


def _table(conversion: Conversion) -> str:
    from edgehar_training.quantize.merge import operators

    lines = [f"{'file':<15}{'bytes':>9}{'ms':>8}  operations"]
    for name, content in conversion.files.items():
        counts = ", ".join(f"{count} {kind}" for kind, count in operators(content).most_common())
        lines.append(f"{name:<15}{len(content):>9,}{_median_ms(content, name):>8.3f}  {counts}")
    comparison, parity = conversion.comparison, conversion.manifest.provenance.parity
    top1 = f"top-1 float {parity.float_top1:.1%}, int8 {parity.int8_top1:.1%}, drop {comparison.drop_points:.1f} points"
    same = f"{parity.agreement:.1%} of clips, {comparison.window_agreement:.1%} of {comparison.windows} windows"
    lines += [
        f"{parity.clips} validation clips: {top1}",
        f"same answer for {same}; largest difference of a score {parity.max_score_difference:.3f}",
        f"wrote {conversion.path} ({conversion.path.stat().st_size:,} bytes) in {conversion.seconds:.1f} s",
    ]
    return "\n".join(lines)


def _median_ms(content: bytes, name: str) -> float:
    """Median time of a call on this machine, one thread, in milliseconds."""
    from edgehar.interpreter import make_interpreter

    model = make_interpreter(content, name=name)
    times_s = []
    for _ in range(TIMED_CALLS):
        started_s = time.perf_counter()
        model.invoke()
        times_s.append(time.perf_counter() - started_s)
    return sorted(times_s)[TIMED_CALLS // 2] * 1e3
