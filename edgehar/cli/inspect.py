"""`edgehar inspect`: what a model bundle is, what it needs, where it came from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgehar.cli.common import EXIT_DONE

if TYPE_CHECKING:
    import argparse
    from typing import Any

    from edgehar.manifest import Accuracy, Manifest


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser("inspect", help="show what a model bundle is", description=__doc__)
    parser.add_argument("model", help="path of a bundle, or the name of a shipped model")
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--json", action="store_true", help="print the manifest as it is")
    shown.add_argument("--card", action="store_true", help="print the model card")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Verify the bundle and print it."""
    from edgehar.bundle import ModelBundle, manifest_json

    bundle = ModelBundle.open(args.model)
    if args.json:
        print(manifest_json(bundle.manifest).decode(), end="")
    elif args.card:
        print(bundle.read("MODEL_CARD.md").decode(), end="")
    else:
        for key, value in _summary(bundle.manifest).items():
            print(f"{key:<14} {value}")
        print(f"{'file':<14} {bundle.path} (checksums verified)")
    return EXIT_DONE


def _summary(manifest: Manifest) -> dict[str, str]:
    shape, temporal, decision, origin = manifest.input, manifest.temporal, manifest.decision, manifest.provenance
    parity, seconds = origin.parity, temporal.window / temporal.rate_hz
    summary = {
        "name": manifest.name,
        "labels": ", ".join(manifest.labels),
        "input": f"{shape.height}x{shape.width}x{shape.channels} {shape.colour_order}, motion: {shape.motion}",
        "window": f"{temporal.window} frames at {temporal.rate_hz:g} Hz ({seconds:.2g} s), hop {temporal.hop}",
        "decision": f"threshold {decision.threshold:g}, background: {', '.join(decision.background) or 'none'}",
        "trained on": f"{origin.dataset}; {origin.split}; seed {origin.seed}",
        "int8 parity": f"top-1 {parity.int8_top1:.3f} against float {parity.float_top1:.3f}, "
        f"agreement {parity.agreement:.3f}, {parity.clips} validation clips",
    }
    for number, accuracy in enumerate(origin.accuracy, 1):
        summary[f"accuracy {number}"] = _accuracy(accuracy)
    return summary


def _accuracy(accuracy: Accuracy) -> str:
    int8 = "not measured" if accuracy.int8_top1 is None else f"{accuracy.int8_top1:.3f}"
    low, high = accuracy.interval_95
    return (
        f"{accuracy.protocol}: int8 {int8}, float {accuracy.float_top1:.3f}, 95 % interval {low:.3f} to {high:.3f}, "
        f"{accuracy.clips} clips, seeds {', '.join(map(str, accuracy.seeds))}"
    )
