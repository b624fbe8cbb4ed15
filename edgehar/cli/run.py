"""`edgehar-run`: watch a camera, stream or file, and print or publish the actions seen."""

from __future__ import annotations

import argparse
import math
import signal
from typing import TYPE_CHECKING, Any

from edgehar.cli.common import EXIT_DONE, make_parser, run_command

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

    from edgehar.manifest import Input
    from edgehar.runner import Runner
    from edgehar.sinks.base import Sink
    from edgehar.sources.base import Source

DEFAULT_MODEL = "fight-lrcn"

_DESCRIPTION = """\
Watch a camera, a stream or a file, and print an answer for every few frames as JSON Lines on standard output.
Logs go to standard error. Ctrl-C ends the run cleanly with exit code 130; SIGTERM, the end of the source, a limit, or
a reader of standard output that goes away end it with 0."""

_EXAMPLES = """\
  edgehar-run                                              camera 0, the shipped fight detector
  edgehar-run --source picamera2:0                         a Raspberry Pi's camera module
  edgehar-run --source clip.mp4 --output text              a video file, for reading
  edgehar-run --source 'shots/*.png' --rate-hz 10          images, 10 a second
  edgehar-run --source 'synthetic:walking?duration_s=4' --model actions-synthetic
  edgehar-run --camera 0 --region 0.5,0,0.5,1              the right half of the picture only
  edgehar-run --source rtsp://user:password@camera/stream --duration 3600
  edgehar-run --output none --mqtt mqtt://user@broker/edgehar/hall
                                                          publish only; the password is in EDGEHAR_MQTT_PASSWORD"""


def _positive(text: str) -> float:
    value = float(text)
    if not (value > 0 and math.isfinite(value)):
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return value


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return value


def _region(text: str) -> tuple[float, ...]:
    shares = tuple(float(part) for part in text.split(","))
    if len(shares) != 4 or not all(0 <= share <= 1 for share in shares):
        raise argparse.ArgumentTypeError(f"{text} is not X,Y,WIDTH,HEIGHT, each from 0 to 1")
    return shares


def _camera(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is not 0 or more")
    return value


# argparse names the type in its message: "invalid number value: 'x'".
_positive.__name__, _share.__name__ = "number", "share"
_count.__name__, _camera.__name__, _region.__name__ = "whole number", "camera number", "region"


def _make_parser() -> argparse.ArgumentParser:
    parser = make_parser("edgehar-run", _DESCRIPTION, _EXAMPLES)
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--camera", type=_camera, metavar="N", help="watch the USB camera /dev/videoN (the default is camera 0)"
    )
    where.add_argument(
        "--source",
        metavar="URI",
        help="watch picamera2:0 (a Raspberry Pi's camera module), a video file, a folder or glob of images, "
        "synthetic:ACTION, or an rtsp:// or http:// stream",
    )
    parser.add_argument(
        "--rate-hz", type=_positive, metavar="HZ", help="frames a second of images (25), or asked of a camera"
    )
    parser.add_argument(
        "--region",
        type=_region,
        metavar="X,Y,W,H",
        help="look at this part of the picture only, in shares of it from 0 to 1: 0.5,0,0.5,1 is the right half",
    )
    parser.add_argument(
        "--model", default=DEFAULT_MODEL, metavar="BUNDLE|NAME", help="a model bundle, or the name of a shipped one"
    )
    parser.add_argument("--hop", type=_count, metavar="N", help="frames between answers (the model's default)")
    parser.add_argument(
        "--threshold", type=_share, metavar="P", help='answer "unknown" when the best score is under P, 0 to 1'
    )
    parser.add_argument(
        "--output", choices=("jsonl", "text", "none"), default="jsonl", help="what to print (default: jsonl)"
    )
    parser.add_argument(
        "--mqtt", metavar="URL", help="also publish to mqtt://user:password@host:1883/base/topic, or mqtts:// for TLS"
    )
    parser.add_argument(
        "--duration", type=_positive, metavar="S", help="stop after S seconds: of video for files, else of watching"
    )
    parser.add_argument("--max-predictions", type=_count, metavar="N", help="stop after exactly N predictions")
    parser.add_argument(
        "--threads", type=_count, default=1, metavar="N", help="CPU threads of the network (default: 1)"
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run_command(_make_parser(), _run, argv)


def _run(args: argparse.Namespace) -> int:
    from edgehar.bundle import ModelBundle
    from edgehar.classifier import Classifier
    from edgehar.decision import Decider, DecisionOptions
    from edgehar.runner import Runner
    from edgehar.sinks.mqtt import MqttSink, parse_mqtt_url

    # What is wrong with the command line, the model or the source is said before the network is loaded.
    mqtt = parse_mqtt_url(args.mqtt) if args.mqtt is not None else None
    bundle = ModelBundle.open(args.model)
    with (
        _open_source(args, bundle.manifest.input) as source,
        Classifier(
            bundle, hop=args.hop, threads=args.threads, source_name=source.name, region=args.region
        ) as classifier,
    ):
        defaults = bundle.manifest.decision
        options = DecisionOptions(threshold=args.threshold)
        sinks = _local_sinks(args.output)
        if mqtt is not None:
            sinks.append(MqttSink(mqtt))
        runner = Runner(
            source,
            classifier,
            Decider(bundle.manifest.labels, options, background=defaults.background, threshold=defaults.threshold),
            sinks,
            duration_s=args.duration,
            max_predictions=args.max_predictions,
        )
        _run_until_signal(runner)
    return EXIT_DONE


def _open_source(args: argparse.Namespace, shape: Input) -> Source:
    from edgehar.sources import open_source

    # So much of the whole picture that its region still has the pixels the model wants.
    wide, high = (1.0, 1.0) if args.region is None else args.region[2:]
    target_size = (math.ceil(shape.height / max(high, 0.01)), math.ceil(shape.width / max(wide, 0.01)))
    options: dict[str, Any] = {"target_size": target_size}
    if args.rate_hz is not None:
        options["rate_hz"] = args.rate_hz
    return open_source(args.source if args.source is not None else f"camera:{args.camera or 0}", **options)


def _local_sinks(output: str) -> list[Sink]:
    if output == "none":
        return []
    from edgehar.sinks.jsonl import JsonLinesSink, LineWriter, stdout_descriptor
    from edgehar.sinks.text import TextSink

    writer = LineWriter(stdout_descriptor(), "standard output")
    return [TextSink(writer) if output == "text" else JsonLinesSink(writer)]


def _run_until_signal(runner: Runner) -> None:
    """Run; SIGTERM and Ctrl-C end the run cleanly within seconds, and Ctrl-C then raises KeyboardInterrupt."""
    caught: list[int] = []
    before = {int(number): signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def on_signal(number: int, _frame: FrameType | None) -> None:
        caught.append(number)
        runner.stop()

    for number, handler in before.items():
        # Ignored signals stay ignored, as nohup wants it.
        if handler is not signal.SIG_IGN:
            signal.signal(number, on_signal)
    try:
        runner.run()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if signal.SIGINT in caught:
        raise KeyboardInterrupt
