"""`edgehar models`: shipped and installed models, and what they recognize."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from edgehar.cli.common import EXIT_DONE, EXIT_FAILED

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Any

    from edgehar.model.manifest import Manifest


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "models",
        help="list the shipped and installed models, and what they recognize",
        description=f"{__doc__}\nGive a name to --model of edgehar-run. Installed models are the bundles in "
        "~/.local/share/edgehar/models.",
    )
    parser.add_argument("--json", action="store_true", help="print JSON Lines, one for each model")
    parser.set_defaults(run=run)


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


def _facts(manifest: Manifest, path: Path) -> dict[str, Any]:
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
    }


def _lines(manifest: Manifest, path: Path) -> Iterator[str]:
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
    for one in manifest.provenance.accuracy:
        top1, kind = (one.float_top1, "float") if one.int8_top1 is None else (one.int8_top1, "int8")
        low, high = one.interval_95
        interval = f"95 % interval {low:.1%} to {high:.1%}"
        yield f"  accuracy    {top1:.1%} {kind} ({interval}): {one.protocol}, {one.clips} clips"
    if not manifest.provenance.accuracy:
        yield "  accuracy    not measured"
    yield f"  file        {path}"
