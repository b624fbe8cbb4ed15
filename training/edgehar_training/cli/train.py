"""The command `edgehar-train`."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgehar.cli.common import EXIT_DONE, make_parser, run_command
from edgehar.errors import ConfigError
from edgehar.printable import printable_lines
from edgehar_training.cli.workstation import prepare
from edgehar_training.settings.arguments import add_options, given_options
from edgehar_training.settings.recipe import SETTINGS, names, read_recipe

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    import msgspec

    from edgehar_training.runs.run import RunConfig
    from edgehar_training.settings import NetworkSettings
    from edgehar_training.settings.recipe import Recipe

EXAMPLES = """\
  edgehar-train --dataset synthetic --out runs/actions
  edgehar-train --data clips --out runs/fight                         # clips/<label>/<clip>.mp4, and clips/groups.csv
  edgehar-train --data clips --folds 5 --seeds 3 --jobs 2 --out runs/fight-5-fold
  edgehar-train --data clips --folds 5 --seeds 3 --jobs 2 --out runs/fight-5-fold --resume
  edgehar-train --data clips --folds 5 --seeds 3 --ray 10.0.0.5:6379 --out runs/fight-5-fold   # on a Ray cluster
  edgehar-train --recipe kth_lrcn --data kth --out runs/kth           # a paper's system, with its settings"""

log = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run_command(_parser(), _train, argv)


def _parser() -> argparse.ArgumentParser:
    parser = make_parser(
        "edgehar-train", "Train an action recognition network and measure it on unseen groups.", EXAMPLES
    )
    parser.add_argument("--out", type=Path, required=True, metavar="RUN", help="folder of the run")
    parser.add_argument(
        "--resume", action="store_true", help="continue the runs in --out; finished runs are not repeated"
    )
    parser.add_argument(
        "--recipe",
        metavar="NAME|FILE",
        help=f"start from the settings of a published system ({', '.join(names())}) or of a TOML file",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="print the plan and its cost (clips, steps, memory, time) and write nothing",
    )
    parser.add_argument(
        "--ray",
        nargs="?",
        const="",
        metavar="ADDRESS",
        help="make the runs on the Ray cluster at HOST:PORT; without an address, $RAY_ADDRESS or one of this machine",
    )
    parser.add_argument("--cpus-per-run", type=int, default=1, metavar="N", help="processors of a run on Ray (1)")
    parser.add_argument("--gpus-per-run", type=float, default=0.0, metavar="X", help="GPUs of a run on Ray (0)")
    add_options(parser, SETTINGS)
    return parser


def _train(args: argparse.Namespace) -> int:
    recipe = None if args.recipe is None else read_recipe(args.recipe)
    groups = chosen_settings(args, recipe)
    if args.out.exists() and not args.out.is_dir():
        raise ConfigError(f"{args.out}: is a file; --out takes a folder")
    prepare()
    if recipe is not None and recipe.paper is not None:
        log.info("%s; the paper: %s", recipe.paper.title, recipe.paper.claim)
    from edgehar_training.quantize.background import background_hint
    from edgehar_training.training.experiment import run_experiment
    from edgehar_training.training.options import ExperimentOptions, RunOptions

    run: Any = groups["run"]
    config = run_config(groups)
    seeds = list(range(config.split.seed, config.split.seed + run.seeds))
    how = RunOptions(resume=args.resume, int8=run.int8, qat=run.qat, tensorboard=run.tensorboard)
    if recipe is not None and recipe.sweep is not None:
        _warn_of_sweep(recipe, config, seeds)
    if args.cpus_per_run < 1 or args.gpus_per_run < 0:
        raise ConfigError("--cpus-per-run must be 1 or more, and --gpus-per-run 0 or more")
    options = ExperimentOptions(
        out=args.out,
        seeds=seeds,
        jobs=run.jobs,
        ray=args.ray,
        cpus_per_run=args.cpus_per_run,
        gpus_per_run=args.gpus_per_run,
        run=how,
    )
    if args.dry_run:
        from edgehar_training.training.dry_run import describe_plan

        print(printable_lines(describe_plan(config, options)))
        return EXIT_DONE
    try:
        metrics = run_experiment(config, options)
    except KeyboardInterrupt:
        log.info("continue with the same command and --resume")
        raise
    print(printable_lines(summary(metrics)))
    if hint := background_hint(list(_tested(metrics)["per_class"]), []):
        log.info("%s", hint)
    return EXIT_DONE


def _warn_of_sweep(recipe: Recipe, config: RunConfig, seeds: Sequence[int]) -> None:
    """Warn if clips are tested that took part in the choice of the settings."""
    import msgspec

    from edgehar_training.settings import SplitSettings

    same = msgspec.convert(recipe.settings.get("split", {}), SplitSettings) == config.split
    if not same or (len(seeds) > 1 and config.split.kind != "official"):
        log.warning(
            "warning: the sweep that chose these settings has seen clips that other seeds, folds or splits test; their "
            "accuracy is too high"
        )


def chosen_settings(args: argparse.Namespace, recipe: Recipe | None) -> dict[str, msgspec.Struct]:
    """Return each group of settings: from the command line, else from the recipe, else the default."""
    given, written = given_options(args, SETTINGS), {} if recipe is None else recipe.settings
    return {name: struct(**_over(written.get(name, {}), given.get(name, {}))) for name, struct in SETTINGS.items()}


def _over(written: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """Return recipe values overridden by given values; options of a network are overridden one by one."""
    merged = {
        name: {**written[name], **value}
        for name, value in given.items()
        if isinstance(value, dict) and isinstance(written.get(name), dict)
    }
    return {**written, **given, **merged}


def run_config(groups: dict[str, Any]) -> RunConfig:
    """Return the settings of the runs. Folders are made absolute, because a run may be resumed from elsewhere."""
    from msgspec.structs import replace

    from edgehar_training.data.frames_cache import default_folder
    from edgehar_training.runs.run import GROUPS, RunConfig

    data = groups["data"]
    folder = None if data.folder is None else str(Path(data.folder).resolve())
    cache = str((default_folder() if data.cache is None else Path(data.cache)).resolve())
    kept = {name: groups[name] for name in GROUPS} | {"data": replace(data, folder=folder, cache=cache)}
    if (start := groups["fit"].init_from) is not None:
        kept["fit"] = replace(groups["fit"], init_from=str(Path(start).resolve()))
    kept["network"] = _absolute(groups["network"])
    return RunConfig(**kept)


def _absolute(network: NetworkSettings) -> NetworkSettings:
    """Return the same settings with absolute paths of a weights file and of a folder of optical flow."""
    from msgspec.structs import replace

    from edgehar_training.data.flow import METHODS

    weights, options = network.options.get("weights"), network.options
    if isinstance(weights, str) and Path(weights).is_file():
        options = {**options, "weights": str(Path(weights).resolve())}
    computed = network.flow in METHODS or not Path(network.flow).is_dir()
    return replace(network, options=options, flow=network.flow if computed else str(Path(network.flow).resolve()))


def summary(metrics: dict[str, Any]) -> str:
    """Return one line with the result of one or several runs, from `metrics.json`."""
    part = _tested(metrics)
    name = metrics.get("part", "test" if "test" in metrics else "val")
    low, high = part["interval_95"]
    seeds = len(metrics.get("seeds", [0]))
    text = f"{name} accuracy {part['top1']:.3f} (95 % interval {low:.3f} to {high:.3f}) on {part['clips']} clips"
    if "quantization" in metrics:
        log.info("%s", _stages(metrics, name))
    if "int8" in metrics:
        text += f", int8 {metrics['int8']['top1']:.3f}"
    return f"{text}: {metrics['protocol']}, {seeds} {'seed' if seeds == 1 else 'seeds'}"


def _tested(metrics: dict[str, Any]) -> dict[str, Any]:
    """Return the figures of the test part, or of the validation part if there is no test part."""
    found: dict[str, Any] = metrics if "top1" in metrics else metrics.get("test", metrics["val"])
    return found


def _stages(metrics: dict[str, Any], part: str) -> str:
    """Return a table of float and the int8 stages."""
    from edgehar_training.quantize.stage_comparison import table_text

    found = metrics["quantization"]
    lines = []
    if "best" in found:
        lines += [table_text({name: found[name][part] for name in found if isinstance(found[name], dict)})]
        lines += [f"edgehar-convert ships {found['best']}: {found['why']}"]
    else:
        lines += [table_text(found)]
        for name, gain in found["gains"].items():
            low, high = gain["interval_95"]
            lines.append(f"{name}: {gain['points']:+.1f} points (95 % interval {low:+.1f} to {high:+.1f})")
        lines.append("best on validation clips: " + ", ".join(f"{k} in {n} runs" for k, n in found["chosen"].items()))
    return f"int8 on {part} clips\n" + "\n".join(lines)
