"""`edgehar sweep`: search for better settings of a training, on Ray Tune.

Test clips are set aside first. Every trial trains on folds of the other clips, so an accuracy on the test clips
stays honest. The best settings are written as a recipe for edgehar-train.
"""

from __future__ import annotations

import argparse
import importlib.util
import logging
from pathlib import Path
from typing import Any

import msgspec

from edgehar.cli.common import EXIT_DONE
from edgehar.cli.numbers import whole_number
from edgehar.errors import ConfigError
from edgehar.printable import printable
from edgehar_training.settings import DataSettings
from edgehar_training.settings.arguments import add_options

_EXAMPLES = """\
examples:
  edgehar sweep my.toml --space space.toml --trials 24 --data clips --out runs/sweep
  edgehar sweep my.toml --space space.toml --trials 24 --data clips --out runs/sweep --resume
  edgehar sweep kth_lrcn --space space.toml --trials 50 --data /mnt/kth --out /mnt/sweep --ray 10.0.0.5:6379
  edgehar-train --recipe runs/sweep/best.toml --out runs/best

a space, as TOML:
  [fit]
  learning_rate = { low = 1e-4, high = 1e-2, log = true }
  batch_size = [8, 16, 32]
  [network.options]
  units = { low = 16, high = 64, step = 16 }"""
_DATA = {"data": DataSettings}
_log = logging.getLogger(__name__)


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "sweep",
        help="search for better settings of a training",
        description=__doc__,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("recipe", metavar="RECIPE", help="settings to start from: name of a recipe, or a TOML file")
    parser.add_argument("--space", type=Path, required=True, metavar="FILE", help="settings to search (TOML)")
    parser.add_argument("--trials", type=whole_number(1), required=True, metavar="N", help="number of trials")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the sweep")
    parser.add_argument("--resume", action="store_true", help="continue the sweep in --out")
    parser.add_argument(
        "--inner-folds", type=whole_number(2), default=3, metavar="K", help="folds of the clips not tested (3)"
    )
    parser.add_argument(
        "--metric", choices=("accuracy", "loss"), default="accuracy", help="measure of a trial (accuracy)"
    )
    parser.add_argument(
        "--ray",
        default="",
        metavar="ADDRESS",
        help="run on the Ray cluster at HOST:PORT ($RAY_ADDRESS, or one of this machine)",
    )
    parser.add_argument(
        "--jobs", type=whole_number(1), metavar="N", help="trials at a time (as many as there are processors)"
    )
    parser.add_argument("--cpus-per-trial", type=whole_number(1), default=1, metavar="N", help="processors of each (1)")
    parser.add_argument("--gpus-per-trial", type=float, default=0.0, metavar="X", help="GPUs of each (0)")
    add_options(parser, _DATA)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the sweep and print its best settings."""
    from edgehar_training.cli.train import chosen_settings, run_config
    from edgehar_training.cli.workstation import prepare
    from edgehar_training.settings.recipe import read_recipe
    from edgehar_training.sweep.space import read_space, words_of

    _check(args)
    groups = chosen_settings(args, read_recipe(args.recipe))
    template = run_config(groups)
    space = read_space(args.space, template)
    prepare()
    from edgehar_training.sweep.options import SweepOptions, TuneOptions
    from edgehar_training.sweep.run_sweep import run_sweep

    if template.split.folds is not None:
        _log.info("the recipe's %d folds are left out: a sweep sets one test part aside", template.split.folds)
        template = msgspec.structs.replace(template, split=msgspec.structs.replace(template.split, folds=None))
    run_settings: Any = groups["run"]
    options = SweepOptions(
        out=args.out,
        inner_folds=args.inner_folds,
        ray=args.ray,
        resume=args.resume,
        run=run_settings,
        tuning=TuneOptions(
            trials=args.trials,
            metric=args.metric,
            jobs=args.jobs,
            cpus=args.cpus_per_trial,
            gpus=args.gpus_per_trial,
        ),
    )
    try:
        found = run_sweep(template, space, options)
    except KeyboardInterrupt:
        _log.info("continue with the same command and --resume")
        raise
    failed = sum(bool(trial.problem) for trial in found.trials)
    print(f"{len(found.trials)} trials, {failed} failed; best: {printable(words_of(found.best.values))}")
    print(f"inner accuracy {found.score.accuracy:.3f}, loss {found.score.loss:.3f} after {found.score.epochs} epochs")
    print(f"wrote {found.recipe}; train it with: edgehar-train --recipe {found.recipe} --out RUN")
    return EXIT_DONE


def _check(args: argparse.Namespace) -> None:
    if args.out.exists() and not args.out.is_dir():
        raise ConfigError(f"{args.out}: is a file; --out takes a folder")
    if args.gpus_per_trial < 0:
        raise ConfigError("--gpus-per-trial must be 0 or more")
    missing = [name for name in ("ray", "optuna") if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(f"sweep needs {' and '.join(missing)}; run: pip install 'edgehar[cluster]'")
