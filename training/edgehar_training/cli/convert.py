"""The command `edgehar-convert`."""

from __future__ import annotations

import dataclasses
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edgehar.cli.common import EXIT_DONE, make_parser, run_command
from edgehar.errors import ConfigError
from edgehar.model.bundle import SUFFIX
from edgehar_training.cli.workstation import prepare

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from edgehar_training.quantize.convert import Conversion

EXAMPLES = """\
  edgehar-convert runs/actions --out actions.edgehar
  edgehar-convert runs/fight --out fight.edgehar --evaluation runs/fight-5-fold --background noFight --threshold 0.6
  edgehar-convert runs/fight --out fight.edgehar --background noFight --decision smoothing=ema ema_seconds=2 \
      thresholds.fight=0.4 thresholds.noFight=0.61          # rules that edgehar-run uses without options
  edgehar-convert fight.edgehar --out quiet.edgehar --decision rules.toml    # other rules, the same networks
  edgehar-convert fight.edgehar --out fight.edgehar --alarms fight-alarms    # figures of edgehar operate
  edgehar-convert runs/fight --out fight.edgehar --temperature 1.4  # from edgehar operate: calibrated scores
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
    parser.add_argument(
        "run",
        type=Path,
        nargs="?",
        metavar="RUN|BUNDLE",
        help="folder written by edgehar-train; or a bundle, to change its rules of decision or its name",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="NAME.edgehar", help="the bundle to write")
    parser.add_argument("--name", help="name in the bundle (default: name of the file)")
    _add_gate(parser)
    parser.add_argument(
        "--stage",
        choices=("ptq", "finetune", "qat"),
        help="network of a run with --qat (default: the best on its validation clips)",
    )
    parser.add_argument(
        "--head",
        choices=("unrolled", "fused", "float"),
        help="int8 in plain operators, int8 with TFLite's LSTM, or 32-bit float (default: setting of the run)",
    )
    parser.add_argument(
        "--evaluation", type=Path, metavar="RUN", help="another finished run, e.g. of folds, whose accuracy is reported"
    )
    parser.add_argument(
        "--alarms",
        type=Path,
        metavar="DIR",
        help="what edgehar operate measured with the same rules (its --out): alarms an hour and incidents found",
    )
    parser.add_argument("--notes", type=Path, metavar="FILE", help="Markdown about the data set, for the model card")
    _add_decision(parser)
    parser.add_argument(
        "--hop", type=int, metavar="N", help="frames between answers (default: a quarter of the window)"
    )
    parser.add_argument(
        "--model-version",
        type=int,
        default=1,
        metavar="N",
        help="version of the model of this name; a higher one replaces a lower one (default: 1)",
    )
    parser.add_argument(
        "--no-remember",
        dest="remember",
        action="store_false",
        help="keep no numbers of training windows in the bundle; edgehar teach then cannot measure what is forgotten",
    )
    _add_foreign(parser.add_argument_group("a network that was trained elsewhere, instead of RUN"))
    return parser


def _add_gate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--max-drop",
        type=float,
        default=1.0,
        metavar="POINTS",
        help="write nothing and exit with 1 if int8 loses more points of validation top-1 (default: 1.0)",
    )
    for flag, text in (
        ("--max-class-drop", "the same for the clips of each label, in points (default: any)"),
        ("--max-difference", "the same for the largest change of a score of a window, 0 to 1 (default: any)"),
    ):
        parser.add_argument(flag, type=float, metavar="X", help=text)


def _add_decision(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--threshold", type=float, metavar="P", help="answer 'unknown' below this score (default: 0)")
    parser.add_argument(
        "--background", nargs="+", default=[], metavar="LABEL", help="labels that never open an event, such as noFight"
    )
    parser.add_argument(
        "--decision",
        nargs="+",
        default=[],
        metavar="KEY=VALUE|FILE",
        help="the model's own rules of decision, with keys of docs/events.md, or a .toml file of them",
    )
    parser.add_argument(
        "--temperature",
        type=float,
        default=1.0,
        metavar="T",
        help="divide the logits by T, from edgehar operate, so that scores are calibrated (default: 1)",
    )


def _add_foreign(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--from", dest="file", type=Path, metavar="MODEL.keras", help="the network (docs/convert.md)")
    group.add_argument("--labels", type=Path, metavar="FILE", help="one label per line, in the order of the scores")
    group.add_argument("--calibration", type=Path, metavar="DIR", help="clips of its labels, DIR/<label>/<clip>")
    group.add_argument("--input", choices=("rgb", "motion"), default="rgb", help="input of the network (default: rgb)")
    group.add_argument("--rate-hz", type=float, default=12.5, metavar="X", help="frame rate (default: 12.5)")
    group.add_argument(
        "--pixels", type=int, choices=(1, 255), default=1, help="largest pixel value of its input (default: 1)"
    )


def _source(args: argparse.Namespace, folder: Path) -> Path:
    """Return the run to convert; a network from elsewhere is laid out as one in `folder`."""
    if (args.run is None) == (args.file is None):
        raise ConfigError("give the folder of a run, or a network that was trained elsewhere by --from")
    if args.run is not None:
        if args.labels or args.calibration:
            raise ConfigError("--labels and --calibration are for --from; a run has its own")
        return Path(args.run)
    if args.labels is None or args.calibration is None:
        raise ConfigError("--from needs --labels FILE and --calibration DIR")
    if not args.file.is_file():
        raise ConfigError(f"--from {args.file}: no such file")
    if not 0 < args.rate_hz <= 1000:
        raise ConfigError(f"--rate-hz is {args.rate_hz:g}, it must be more than 0, up to 1000")
    from edgehar_training.quantize.foreign import Foreign, write_run

    foreign = Foreign(
        file=args.file,
        labels=args.labels,
        clips=args.calibration,
        input=args.input,
        rate_hz=args.rate_hz,
        pixels=args.pixels,
    )
    write_run(foreign, folder)
    return folder


def _convert(args: argparse.Namespace) -> int:
    if args.run is not None and args.run.suffix == SUFFIX:
        return _change_rules(args)
    prepare("tensorflow")  # the backend whose graphs become TFLite
    from edgehar.model.manifest import Decision
    from edgehar_training.alarms.measured import measured_alarms
    from edgehar_training.alarms.rules import parse_rules
    from edgehar_training.quantize.background import background_hint
    from edgehar_training.quantize.convert import convert_run
    from edgehar_training.quantize.options import ConvertOptions
    from edgehar_training.runs.run import load_run

    options = ConvertOptions(
        name=args.name,
        max_drop=args.max_drop,
        max_class_drop=args.max_class_drop,
        max_difference=args.max_difference,
        evaluation=args.evaluation,
        hop=args.hop,
        stage=args.stage,
        head=args.head,
        notes=_read_notes(args.notes),
        decision=parse_rules(args.decision, Decision(threshold=args.threshold or 0.0, background=args.background)),
        temperature=args.temperature,
        version=args.model_version,
        remember=args.remember,
    )
    with tempfile.TemporaryDirectory(prefix="edgehar-convert-") as folder:
        source = _source(args, Path(folder))
        if args.alarms is not None:
            alarms = measured_alarms(args.alarms, load_run(source).config.labels, options.decision)
            options = dataclasses.replace(options, alarms=alarms)
        conversion = convert_run(source, args.out, options)
    print(_table(conversion), file=sys.stderr)
    if hint := background_hint(conversion.manifest.labels, options.decision.background):
        print(f"warning: {hint}", file=sys.stderr)
    return EXIT_DONE


def _change_rules(args: argparse.Namespace) -> int:
    """Write a bundle with other rules of decision; needs neither its run nor TensorFlow."""
    from edgehar.events.options import describe
    from edgehar.model.bundle import ModelBundle
    from edgehar_training.alarms.bundle_rules import write_rules
    from edgehar_training.alarms.measured import measured_alarms
    from edgehar_training.alarms.rules import parse_rules

    plain = vars(_parser().parse_args([str(args.run), "--out", str(args.out)]))
    kept = {"run", "out", "name", "decision", "threshold", "background", "alarms", "verbose"}
    if other := [name for name, value in vars(args).items() if name not in kept and value != plain[name]]:
        raise ConfigError(f"--{other[0].replace('_', '-')} is for runs; of a bundle its rules, alarms and name change")
    bundle = ModelBundle.open(args.run)
    words = [*([] if args.threshold is None else [f"threshold={args.threshold}"]), *args.decision]
    decision = parse_rules(words, bundle.manifest.decision)
    if args.background:
        decision = msgspec.structs.replace(decision, background=args.background)
    alarms = None if args.alarms is None else measured_alarms(args.alarms, bundle.manifest.labels, decision)
    manifest = write_rules(bundle, args.out, decision, name=args.name, alarms=alarms)
    print(f"wrote {args.out}: {describe(manifest.decision)}", file=sys.stderr)
    return EXIT_DONE


def _read_notes(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--notes {path}: cannot be read as UTF-8 text: {error}") from error


def _table(conversion: Conversion) -> str:
    from edgehar_training.quantize.file_checks import operators

    lines = [f"{'file':<15}{'bytes':>9}{'ms':>8}  operations"]
    for name, content in conversion.files.items():
        counts = ", ".join(f"{count} {kind}" for kind, count in operators(content).most_common())
        lines.append(f"{name:<15}{len(content):>9,}{_median_ms(content, name):>8.3f}  {counts}")
    comparison, parity = conversion.comparison, conversion.manifest.provenance.parity
    top1 = f"top-1 float {parity.float_top1:.1%}, int8 {parity.int8_top1:.1%}, drop {comparison.drop_points:.1f} points"
    same = f"{parity.agreement:.1%} of clips, {comparison.window_agreement:.1%} of {comparison.windows} windows"
    lines += [
        f"{parity.clips} validation clips: {top1}",
        *_class_lines(conversion),
        f"same answer for {same}; largest difference of a score {parity.max_score_difference:.3f}",
        f"wrote {conversion.path} ({conversion.path.stat().st_size:,} bytes) in {conversion.seconds:.1f} s",
    ]
    return "\n".join(lines)


def _class_lines(conversion: Conversion) -> list[str]:
    """Return the points that int8 loses or gains on the clips of each label, if any."""
    drops = conversion.comparison.class_drops(conversion.manifest.labels)
    changed = [f"{label} {-drop:+.1f}" for label, drop in drops.items() if drop]
    return [f"points by label: {', '.join(changed)}"] if changed else []


def _median_ms(content: bytes, name: str) -> float:
    """Median time of a call on this machine, one thread, in milliseconds."""
    from edgehar.model.interpreter import make_interpreter

    model = make_interpreter(content, name=name)
    times_s = []
    for _ in range(TIMED_CALLS):
        started_s = time.perf_counter()
        model.invoke()
        times_s.append(time.perf_counter() - started_s)
    return sorted(times_s)[TIMED_CALLS // 2] * 1e3
