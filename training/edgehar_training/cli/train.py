"""The command `edgehar-train`."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgehar.cli.common import EXIT_DONE, make_parser, run_command
from edgehar.errors import ConfigError
from edgehar_training.cli.workstation import prepare

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

EXAMPLES = """\
  edgehar-train --dataset synthetic --out runs/actions
  edgehar-train --data clips --out runs/fight                         # clips/<label>/<clip>.mp4, and clips/groups.csv
  edgehar-train --data clips --folds 5 --seeds 3 --jobs 2 --out runs/fight-5-fold
  edgehar-train --data clips --folds 5 --seeds 3 --jobs 2 --out runs/fight-5-fold --resume"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run_command(_parser(), _train, argv)


def _parser() -> argparse.ArgumentParser:
    parser = make_parser(
        "edgehar-train", "Train an action recognition network and measure it on unseen groups.", EXAMPLES
    )
    data = parser.add_argument_group("data")
    data.add_argument("--data", type=Path, metavar="DIR", help="folder of the clips")
    data.add_argument(
        "--dataset",
        default="folder",
        metavar="KIND",
        help="layout of the clips: folder (<label>/<clip>, groups.csv), ut-interaction, or synthetic (default: folder)",
    )
    data.add_argument("--cache", type=Path, metavar="DIR", help="where decoded frames are kept (default: user's cache)")
    split = parser.add_argument_group("split")
    split.add_argument(
        "--split",
        choices=("group", "random"),
        default="group",
        help="group: no group on both sides; random: leaky, only to compare with papers (default: group)",
    )
    split.add_argument(
        "--folds", type=int, metavar="K", help="K-fold cross-validation; as many as groups leaves one out"
    )
    _number(split, "--test-fraction", float, 0.2, "share of clips to test on without --folds; 0 trains on all of them")
    _number(split, "--val-fraction", float, 0.16, "share of clips that say when to stop")
    _number(split, "--seed", int, 0, "first seed, of splits, weights and sampling")
    _number(split, "--seeds", int, 1, "number of seeds, each with its own run")
    model = parser.add_argument_group("network")
    model.add_argument("--model", default="lrcn", metavar="NAME", help="network (default: lrcn)")
    model.add_argument(
        "--input",
        choices=("rgb", "motion"),
        default="motion",
        help="motion: differences of grey frames; rgb: colours, as in the papers (default: motion)",
    )
    _number(model, "--window", int, 20, "frames in a window")
    _number(model, "--size", int, 60, "side of the frame in pixels")
    _number(model, "--rate-hz", float, 12.5, "frames a second that the network sees")
    fit = parser.add_argument_group("training")
    _number(fit, "--epochs", int, 80, "most epochs")
    _number(fit, "--batch-size", int, 16, "windows in a step")
    _number(fit, "--learning-rate", float, 1e-3, "of Adam")
    _number(fit, "--patience", int, 15, "stop after so many epochs without a better validation loss; 0 never stops")
    _number(fit, "--windows-per-clip", int, 1, "random windows of every clip in an epoch")
    _switch(fit, "--augment", default=True, text="flip, shift, zoom and relight training windows")
    _switch(fit, "--int8", default=False, text="also convert every run and test the int8 bundle")
    fit.add_argument(
        "--resume", action="store_true", help="continue the runs in --out; finished ones are left as they are"
    )
    _number(fit, "--jobs", int, 1, "runs at the same time, for --folds and --seeds")
    parser.add_argument("--out", type=Path, required=True, metavar="RUN", help="folder of the run")
    return parser


def _number(group: Any, name: str, kind: type, default: float, text: str) -> None:
    metavar = "N" if kind is int else "X"
    group.add_argument(name, type=kind, default=default, metavar=metavar, help=f"{text} (default: {default})")


def _switch(group: Any, name: str, *, default: bool, text: str) -> None:
    import argparse

    group.add_argument(name, action=argparse.BooleanOptionalAction, default=default, help=text)


def _train(args: argparse.Namespace) -> int:
    _check(args)
    prepare()
    from edgehar_training.experiment import Options, run_experiment
    from edgehar_training.frames_cache import default_folder
    from edgehar_training.runs import RunConfig

    template = RunConfig(
        dataset=args.dataset,
        data=None if args.data is None else str(args.data.resolve()),
        labels=[],
        model=args.model,
        input=args.input,
        window=args.window,
        size=args.size,
        rate_hz=args.rate_hz,
        protocol=args.split,
        split="",
        folds=args.folds,
        fold=None,
        test_fraction=args.test_fraction,
        val_fraction=args.val_fraction,
        seed=args.seed,
        epochs=args.epochs,
        batch_size=args.batch_size,
        learning_rate=args.learning_rate,
        patience=args.patience,
        windows_per_clip=args.windows_per_clip,
        augment=args.augment,
        cache=str((args.cache or default_folder()).resolve()),
        skipped={},
        tools={},
    )
    seeds = list(range(args.seed, args.seed + args.seeds))
    options = Options(args.out, seeds, args.resume, args.int8, args.jobs)
    try:
        metrics = run_experiment(template, options)
    except KeyboardInterrupt:
        logging.getLogger(__name__).info("continue with the same command and --resume")
        raise
    print(_summary(metrics))
    return EXIT_DONE


def _check(args: argparse.Namespace) -> None:
    for name in ("window", "size", "epochs", "batch_size", "windows_per_clip", "seeds", "jobs"):
        if getattr(args, name) < 1:
            raise ConfigError(f"--{name.replace('_', '-')} is {getattr(args, name)}, it must be at least 1")
    for name in ("rate_hz", "learning_rate"):
        if not 0 < getattr(args, name) < float("inf"):
            raise ConfigError(f"--{name.replace('_', '-')} is {getattr(args, name)}, it must be over 0")
    if args.patience < 0 or args.seed < 0:
        raise ConfigError("--patience and --seed must be 0 or more")
    if args.out.exists() and not args.out.is_dir():
        raise ConfigError(f"{args.out}: is a file; --out names a folder")


def _summary(metrics: dict[str, Any]) -> str:
    part = metrics if "top1" in metrics else metrics.get("test", metrics["val"])
    name = metrics.get("part", "test" if "test" in metrics else "val")
    low, high = part["interval_95"]
    seeds = len(metrics.get("seeds", [0]))
    text = f"{name} accuracy {part['top1']:.3f} (95 % interval {low:.3f} to {high:.3f}) on {part['clips']} clips"
    if "int8" in metrics:
        text += f", int8 {metrics['int8']['top1']:.3f}"
    return f"{text}: {metrics['protocol']}, {seeds} {'seed' if seeds == 1 else 'seeds'}"
