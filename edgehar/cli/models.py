"""`edgehar models`: shipped and installed models, and which of them a run has taken over."""

from __future__ import annotations

import argparse
import json
import re
import sys
from typing import TYPE_CHECKING

from edgehar.cli.common import EXIT_DONE, EXIT_FAILED

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Any

    from edgehar.config import Config
    from edgehar.model.manifest import Manifest
    from edgehar.model.takeover import Takeovers


_EXAMPLES = """\
examples:
  edgehar models                                     list the models
  edgehar models swap hall.edgehar --shadow 1h       run it beside the present one for an hour, then take over
  edgehar models swap hall.edgehar --now             take over between two frames
  edgehar models status                              what runs, what is in shadow, and how they compare
  edgehar models rollback                            return to the model before

swap, status and rollback need [models] swap = true in the configuration of the run."""


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add the subcommand with its own."""
    parser = subparsers.add_parser(
        "models",
        help="list the shipped and installed models; put a model forward for a running program, or roll back",
        description=f"{__doc__}\nGive a name to --model of edgehar-run. Installed models are the bundles in "
        "~/.local/share/edgehar/models.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="print JSON Lines, one for each model")
    parser.set_defaults(run=run)
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    swap = actions.add_parser("swap", help="put a bundle forward, to take over in a running program")
    swap.add_argument("bundle", help="path of the new bundle, or its name")
    when = swap.add_mutually_exclusive_group()
    when.add_argument("--shadow", type=_span_s, default=3600.0, metavar="T", help="time in shadow: 30m, 12h, 7d (1h)")
    when.add_argument("--now", action="store_true", help="take over at once, without a time in shadow")
    swap.set_defaults(run=_swap)
    rollback = actions.add_parser("rollback", help="drop the model in shadow, or return to the model before")
    rollback.set_defaults(run=_rollback)
    status = actions.add_parser("status", help="print what runs, what is in shadow, and how they compare")
    status.add_argument("--json", action="store_true", help="print JSON Lines")
    status.set_defaults(run=_status)
    for action in (swap, rollback, status):
        action.add_argument("--model", metavar="NAME", help="the model as the configuration names it (its only one)")
        action.add_argument("--config", metavar="FILE", help="the configuration of the run (the usual one)")


def run(args: argparse.Namespace) -> int:
    """Print the models; returns 1 if one of them cannot be used."""
    from edgehar.errors import EdgeharError
    from edgehar.model.bundle import ModelBundle, installed_bundles

    failed = False
    for number, path in enumerate(installed_bundles()):
        try:
            manifest = ModelBundle.open(path).manifest
        except EdgeharError as error:
            print(f"edgehar models: {error}", file=sys.stderr)
            failed = True
            continue
        if args.json:
            print(json.dumps(_facts(manifest, path), ensure_ascii=False))
        else:
            print("\n" * bool(number) + "\n".join(_lines(manifest, path)))
    return EXIT_FAILED if failed else EXIT_DONE


def _swap(args: argparse.Namespace) -> int:
    from edgehar.inspect import trial
    from edgehar.model import signature
    from edgehar.model.bundle import ModelBundle
    from edgehar.model.network import same_encoder

    config, takeovers, model = _place(args)
    bundle = ModelBundle.open(args.bundle)
    if config.models.require_signed:
        signature.require(bundle, config.models.trusted_keys)
    trial.check(bundle)
    same_encoder(ModelBundle.open(model), bundle)
    state = takeovers.put(model, bundle, shadow_s=0.0 if args.now else args.shadow)
    if not config.models.swap:
        print("edgehar models: no run follows this: set swap = true under [models]", file=sys.stderr)
    if state.candidate is not None:
        print(f"{model}: {bundle.manifest.name} runs in shadow for {args.shadow / 3600:.3g} hours, then takes over")
    else:
        print(f"{model}: {bundle.manifest.name} takes over")
    return EXIT_DONE


def _rollback(args: argparse.Namespace) -> int:
    _, takeovers, model = _place(args)
    dropped = takeovers.state(model).candidate
    state = takeovers.rollback(model)
    if dropped is not None:
        print(f"{model}: {dropped.name} is dropped")
    print(f"{model}: {state.active.name if state.active else 'the configured model'} answers")
    return EXIT_DONE


def _status(args: argparse.Namespace) -> int:
    import msgspec

    _, takeovers, model = _place(args)
    state = takeovers.state(model)
    if args.json:
        print(json.dumps(msgspec.to_builtins(state), ensure_ascii=False))
        return EXIT_DONE
    print(f"{model}: {state.active.name if state.active else 'the configured model'} answers")
    if state.changed:
        print(f"  last change  {state.changed}: {state.note}")
    if state.candidate is not None:
        print(f"  in shadow    {state.candidate.name}, for {state.shadow_s / 3600:.3g} hours of watching")
    if (found := state.comparison) is not None:
        print(
            f"  compared     {found.hours:.3g} hours, {found.answers} answers, {found.different} different; "
            f"{found.alarms} events, {found.shadow_alarms} in shadow ({found.new_alarms} of new labels)"
        )
    previous = ", ".join("as configured" if one is None else one.name for one in reversed(state.previous))
    if previous:
        print(f"  before       {previous}")
    return EXIT_DONE


def _place(args: argparse.Namespace) -> tuple[Config, Takeovers, str]:
    """Return the configuration, the states, and the configured model that is meant."""
    import os

    from edgehar.config import find_config, load
    from edgehar.errors import ConfigError
    from edgehar.model.takeover import Takeovers
    from edgehar.pipeline.models import models_folder

    config = load(find_config(args.config or "auto", os.environ))
    names = list(dict.fromkeys(config.model_of(camera) for camera in config.cameras))
    model = args.model or names[0]
    if model not in names or (args.model is None and len(names) > 1):
        problem = f"no camera has the model {model!r}" if args.model else "the cameras have several models"
        raise ConfigError(f"{problem}; give --model, one of: {', '.join(names)}")
    return config, Takeovers(models_folder(config)), model


def _span_s(text: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text)
    if found is None or float(found[1]) <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a span of time; write 30m, 12h or 7d")
    return float(found[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86_400}[found[2]]


def _facts(manifest: Manifest, path: Path) -> dict[str, Any]:
    import msgspec

    accuracies = manifest.provenance.accuracy
    return {
        "name": manifest.name,
        "path": str(path),
        "bytes": path.stat().st_size,
        "labels": manifest.labels,
        "background": manifest.decision.background,
        "rate_hz": manifest.temporal.rate_hz,
        "window": manifest.temporal.window,
        "size": [manifest.input.width, manifest.input.height],
        "looks": list(manifest.input.looks or ["whole"]),
        "stateful": manifest.stateful is not None,
        "dataset": manifest.provenance.dataset,
        "accuracy": [
            {"protocol": one.protocol, "int8_top1": one.int8_top1, "float_top1": one.float_top1, "clips": one.clips}
            for one in accuracies
        ],
        "alarms": msgspec.to_builtins(manifest.provenance.alarms),
    }


def _lines(manifest: Manifest, path: Path) -> Iterator[str]:
    from edgehar.model.measured import false_alarms_text, found_text

    temporal, shape = manifest.temporal, manifest.input
    actions = [label for label in manifest.labels if label not in manifest.decision.background]
    background = ", ".join(manifest.decision.background)
    yield f"{manifest.name} ({path.stat().st_size / 1e3:,.0f} kB)"
    yield f"  recognizes  {', '.join(actions)}" + (f" (background: {background})" if background else "")
    yield (
        f"  looks at    {temporal.window} frames of {shape.width}x{shape.height} at {temporal.rate_hz:g} frames/s: "
        f"{temporal.window / temporal.rate_hz:.2g} s"
    )
    yield f"  trained on  {manifest.provenance.dataset}"
    if (alarms := manifest.provenance.alarms) is not None:
        yield f"  alarms      false: {false_alarms_text(alarms)}"
        yield f"              found: {found_text(alarms)}"
    for one in manifest.provenance.accuracy:
        top1, kind = (one.float_top1, "float") if one.int8_top1 is None else (one.int8_top1, "int8")
        low, high = one.interval_95
        interval = f"95 % interval {low:.1%} to {high:.1%}"
        yield f"  accuracy    {top1:.1%} of {one.clips} clips, {kind} ({interval}): {one.protocol}"
    if not manifest.provenance.accuracy:
        yield "  accuracy    not measured"
    yield f"  file        {path}"
