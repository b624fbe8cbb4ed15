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

    from edgehar.config import Config
    from edgehar.pipeline.program import Program

DEFAULT_MODEL = "fight"

_DESCRIPTION = """\
Watch a camera, a stream or a file, and print an answer for every few frames as JSON Lines on standard output.
Logs go to standard error. Ctrl-C ends the run cleanly with exit code 130; SIGTERM, the end of the source, a limit, or
a reader of standard output that goes away end it with 0; a second signal ends it at once. SIGHUP reads the
configuration again."""

_EXAMPLES = """\
  edgehar-run                                              camera 0, the shipped fight detector
  edgehar-run --source picamera2:0                         a Raspberry Pi's camera module
  edgehar-run --source clip.mp4 --output text              a video file, for reading
  edgehar-run --source 'shots/*.png' --rate-hz 10          images, 10 a second
  edgehar-run --source 'synthetic:walking?duration_s=4' --model actions-synthetic
  edgehar-run --camera 0 --region 0.5,0,0.5,1              the right half of the picture only
  edgehar-run --config edgehar.toml                        all that a configuration file asks for
  edgehar-run --source rtsp://user:password@camera/stream --duration 3600
  edgehar-run --camera 0 --record clips                    a clip of each event
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
        "--config",
        metavar="FILE",
        help='a configuration ("edgehar config init" writes one), that options here change; auto finds the usual one',
    )
    parser.add_argument(
        "--wait", action="store_true", help="keep trying when a camera is not there at the start, instead of ending"
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
        "--model", metavar="BUNDLE|NAME", help=f"a model bundle, or the name of a shipped one ({DEFAULT_MODEL})"
    )
    parser.add_argument("--hop", type=_count, metavar="N", help="frames between answers (the model's default)")
    parser.add_argument(
        "--mode",
        choices=("window", "stateful"),
        help="answer for the last window, or for all since the start, with a model that can (window)",
    )
    parser.add_argument(
        "--threshold", type=_share, metavar="P", help='answer "unknown" when the best score is under P, 0 to 1'
    )
    parser.add_argument("--output", choices=("jsonl", "text", "none"), help="what to print (jsonl)")
    parser.add_argument(
        "--mqtt", metavar="URL", help="also publish to mqtt://user:password@host:1883/base/topic, or mqtts:// for TLS"
    )
    parser.add_argument(
        "--record",
        metavar="DIR",
        help="record a clip, a picture and a sidecar of each event into this folder; see edgehar clips --help",
    )
    parser.add_argument(
        "--duration", type=_positive, metavar="S", help="stop after S seconds: of video for files, else of watching"
    )
    parser.add_argument("--max-predictions", type=_count, metavar="N", help="stop after exactly N predictions")
    parser.add_argument("--threads", type=_count, metavar="N", help="CPU threads of the network (1)")
    parser.add_argument(
        "--delegate", metavar="NAME", help="what runs the encoder: cpu, edgetpu, edgetpu:N, or auto (cpu)"
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run_command(_make_parser(), _run, argv)


def _run(args: argparse.Namespace) -> int:
    import os

    from edgehar.pipeline import memory

    # Before libraries are loaded, that start threads.
    memory.share_arena()
    from edgehar.config import find_config, load
    from edgehar.pipeline.program import Program

    def read_config() -> Config:
        return load(find_config(args.config, os.environ), os.environ, _overrides(args))

    program = Program(
        read_config(),
        duration_s=args.duration,
        max_predictions=args.max_predictions,
        read_config=None if args.config is None else read_config,
    )
    _run_until_signal(program)
    return EXIT_DONE


def _overrides(args: argparse.Namespace) -> dict[str, Any]:
    """What the command line says, as a configuration file would."""
    source = args.source if args.camera is None else f"camera:{args.camera}"
    return {
        "model": args.model,
        "hop": args.hop,
        "mode": args.mode,
        "threads": args.threads,
        "delegate": args.delegate,
        "output": args.output,
        "camera": {"source": source, "rate_hz": args.rate_hz, "region": args.region},
        "decision": {"threshold": args.threshold},
        "mqtt": {"url": args.mqtt},
        "record": {"directory": args.record},
        "reconnect": {"at_start": args.wait or None},
    }


def _run_until_signal(program: Program) -> None:
    """Run; SIGTERM and Ctrl-C end it cleanly within seconds, and Ctrl-C then raises KeyboardInterrupt; SIGHUP reloads.

    The second of these signals ends the program at once.
    """
    caught: list[int] = []

    def on_end(number: int, _frame: FrameType | None) -> None:
        if caught:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        caught.append(number)
        program.stop()

    def on_reload(_number: int, _frame: FrameType | None) -> None:
        program.reload()

    handlers = {signal.SIGINT: on_end, signal.SIGTERM: on_end, signal.SIGHUP: on_reload}
    # Ignored signals stay ignored, as nohup wants it.
    before = {number: signal.getsignal(number) for number in handlers if signal.getsignal(number) is not signal.SIG_IGN}
    for number in before:
        signal.signal(number, handlers[number])
    try:
        program.run()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if signal.SIGINT in caught:
        raise KeyboardInterrupt
