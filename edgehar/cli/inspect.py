"""`edgehar inspect`: show the contents, needs and provenance of a model bundle, and verify it on this machine."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from edgehar.cli.common import EXIT_DONE, EXIT_FAILED
from edgehar.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from edgehar.model.bundle import ModelBundle
    from edgehar.model.manifest import Accuracy, Manifest

_WINDOWS = 1000
# Frames for the histograms of a page.
_FRAMES = 500
_WIDTH = 14

_EXAMPLES = """\
examples:
  edgehar inspect fight                              a summary
  edgehar inspect fight --ops                        every operator, and where it runs
  edgehar inspect fight --verify                     compare streaming with the whole-window model, byte for byte
  edgehar inspect fight.edgehar --edgetpu            which operators an Edge TPU would run
  edgehar inspect fight.edgehar --html fight.html --data clips/   where int8 loses accuracy"""


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "inspect",
        help="show the contents of a model bundle, and verify it",
        description=__doc__,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", help="path of a bundle, or the name of a shipped model")
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--json", action="store_true", help="print the manifest")
    shown.add_argument("--card", action="store_true", help="print the model card")
    shown.add_argument("--ops", action="store_true", help="print every operator, its tensors, and where it runs here")
    shown.add_argument("--tensors", action="store_true", help="print every tensor with its quantization")
    shown.add_argument(
        "--edgetpu", action="store_true", help="print which operators of the encoder an Edge TPU would run"
    )
    shown.add_argument(
        "--verify",
        action="store_true",
        help="verify on this machine that streaming gives the bytes of the whole-window model; exit code 1 if not",
    )
    shown.add_argument("--html", metavar="FILE", type=Path, help="write a page about the effect of int8 on the values")
    parser.add_argument(
        "--windows", type=int, metavar="N", help=f"compare at least N windows ({_WINDOWS}); for --verify"
    )
    parser.add_argument(
        "--delegate", metavar="NAME", help="what runs the encoder, as for edgehar-run (cpu); for --verify"
    )
    parser.add_argument(
        "--data", metavar="PATH", type=Path, help="a video or folder of videos instead of synthetic frames; for --html"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Open and try the bundle, and show what is requested."""
    from edgehar.inspect import trial
    from edgehar.model.bundle import manifest_json

    _check(args)
    bundle = trial.open_bundle(args.model)
    # Whatever is shown: a signature that does not hold is an error.
    signature = _signature(bundle)
    if args.json:
        print(manifest_json(bundle.manifest).decode(), end="")
    elif args.card:
        print("\n".join(map(printable, bundle.read("MODEL_CARD.md").decode(errors="replace").split("\n"))), end="")
    elif args.verify:
        return _verify(bundle, args)
    elif args.html is not None:
        _write_page(bundle, args)
    else:
        for line in _lines(bundle, args, signature):
            print(line)
    return EXIT_DONE


def _check(args: argparse.Namespace) -> None:
    from edgehar.errors import ConfigError

    for option, needed in (("windows", "verify"), ("delegate", "verify"), ("data", "html")):
        if getattr(args, option) is not None and not getattr(args, needed):
            raise ConfigError(f"--{option} needs --{needed}; add it, or leave --{option} out")
    if args.windows is not None and args.windows < 1:
        raise ConfigError(f"--windows is {args.windows}, it must be at least 1")
    if args.data is not None and not args.data.exists():
        raise ConfigError(f"{args.data}: no such file or folder")


def _lines(bundle: ModelBundle, args: argparse.Namespace, signature: str) -> Iterator[str]:
    from edgehar.inspect import report

    if args.ops:
        yield from report.operator_lines(bundle)
    elif args.tensors:
        yield from report.tensor_lines(bundle)
    elif args.edgetpu:
        yield from report.edge_tpu_lines(bundle)
    else:
        for key, value in (*_summary(bundle.manifest).items(), *_networks(bundle)):
            yield f"{key:<{_WIDTH}} {printable(value)}"
        yield f"{'signature':<{_WIDTH}} {signature}"
        yield f"{'file':<{_WIDTH}} {bundle.path} (checksums verified)"


def _signature(bundle: ModelBundle) -> str:
    """Return who signed the bundle. Raises BundleError if the signature does not hold."""
    from edgehar.errors import RuntimeUnavailableError
    from edgehar.model.signature import Trust, signer_of

    try:
        signer = signer_of(bundle)
        if signer is None:
            return "none"
        known = next((key for key in Trust.at(None).read() if key.key == signer.key), None)
    except RuntimeUnavailableError as error:
        return f"not checked: {error}"
    if known is None:
        return f"{signer.fingerprint}, which this machine does not trust"
    return f"{known.name or 'a trusted key'} ({known.fingerprint}), trusted"


def _networks(bundle: ModelBundle) -> Iterator[tuple[str, str]]:
    from edgehar.errors import RuntimeUnavailableError
    from edgehar.inspect.report import summary_lines

    try:
        yield from summary_lines(bundle)
    except RuntimeUnavailableError as error:
        yield "networks", f"not inspected: {error}"


def _verify(bundle: ModelBundle, args: argparse.Namespace) -> int:
    from edgehar.inspect.verify import verify
    from edgehar.progress import Progress

    windows = args.windows or _WINDOWS
    with Progress("comparing", windows, unit="windows") as progress:
        found = verify(
            bundle,
            windows=windows,
            delegate=args.delegate or "cpu",
            on_progress=progress.advance,
        )
    hops = f"{found.hops[0]} to {found.hops[1]}"
    for key, value in (
        ("model", f"{bundle.manifest.name} ({bundle.path})"),
        ("runtime", f"{found.runtime}, encoder on {found.delegate}"),
        ("streams", f"{found.streams:,} synthetic, hops {hops}, any start, {found.dropped:,} frames dropped"),
        (
            "windows",
            f"{found.windows:,} compared, {found.differing_windows:,} differ; {len(found.answers):,} answers",
        ),
        ("bytes", f"{found.bytes:,} compared, {found.differing_bytes:,} differ"),
        ("result", "identical" if found.identical else f"DIFFERENT, by up to {found.largest} steps of a score"),
    ):
        print(f"{key:<{_WIDTH}} {value}")
    return EXIT_DONE if found.identical else EXIT_FAILED


def _write_page(bundle: ModelBundle, args: argparse.Namespace) -> None:
    from edgehar.files import write_text
    from edgehar.inspect import report
    from edgehar.inspect.frames import clip_scenes, drawn_scenes
    from edgehar.inspect.page import page

    scenes = drawn_scenes(bundle.manifest.temporal.rate_hz) if args.data is None else clip_scenes(args.data)
    seen = report.see(bundle, scenes, _FRAMES)
    count = f"{seen[report.ENCODER].runs:,} frames"
    frames = f"{count} of synthetic scenes and noise" if args.data is None else f"{count} of {args.data.name}"
    write_text(args.html, page(bundle, report.parts(bundle), seen, frames))
    print(f"{args.html} ({frames})")


def _summary(manifest: Manifest) -> dict[str, str]:
    from edgehar.events.options import describe
    from edgehar.model.measured import false_alarms_text, found_text

    shape, temporal, decision, origin = manifest.input, manifest.temporal, manifest.decision, manifest.provenance
    parity, seconds = origin.parity, temporal.window / temporal.rate_hz
    summary = {
        "name": manifest.name if manifest.version == 1 else f"{manifest.name}, version {manifest.version}",
        "labels": ", ".join(manifest.labels),
        "input": f"{shape.height}x{shape.width}x{shape.channels} {shape.colour_order}, motion: {shape.motion}"
        + (f", looks: {' and '.join(shape.looks)} of {shape.crop_side} pixels" if shape.looks else "")
        + (", stabilized" if shape.stabilize else "")
        + (", in steady light" if shape.steady_light else ""),
        "window": f"{temporal.window} frames at {temporal.rate_hz:g} Hz ({seconds:.2g} s), hop {temporal.hop}"
        + (f", after {temporal.lead_in} frames" if temporal.lead_in else ""),
        "modes": "window" if manifest.stateful is None else "window, stateful",
        "decision": describe(decision),
        "background": ", ".join(decision.background) or "none",
        "trained on": f"{origin.dataset}; {origin.split}; seed {origin.seed}",
        "made with": ", ".join(f"{tool} {version}" for tool, version in origin.tools.items()) or "unknown",
        "commit": origin.commit,
        "int8 parity": f"top-1 {parity.int8_top1:.3f} against float {parity.float_top1:.3f}, "
        f"agreement {parity.agreement:.3f}, {parity.clips} validation clips",
    }
    if origin.alarms is not None:
        summary["false alarms"] = f"{false_alarms_text(origin.alarms)}; {origin.alarms.protocol}"
        summary["found"] = found_text(origin.alarms)
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
