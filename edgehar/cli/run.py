"""`edgehar-run`: classify a camera, stream or file, and print or publish the actions."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from edgehar.cli.common import EXIT_DONE, CommandOptions, make_parser, run_command
from edgehar.cli.numbers import number_above_0, whole_number
from edgehar.cli.signals import Signals

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgehar.config import Config
    from edgehar.web.services import Tools

DEFAULT_MODEL = "fight"

_DESCRIPTION = """\
Classify the frames of a camera, a stream or a file, and print a prediction for every few frames as JSON Lines on
standard output. Logs go to standard error. Ctrl-C ends the run cleanly with exit code 130. SIGTERM, the end of the
source, a limit, or a closed standard output end it with 0; if a camera or an output has failed, with 1. A second signal
more than a second later ends it at once. SIGHUP reloads the configuration."""

_EXAMPLES = """\
  edgehar-run                                              camera 0, the shipped fight detector
  edgehar-run --source picamera2:0                         camera module of a Raspberry Pi
  edgehar-run --source clip.mp4 --output text              video file, as text
  edgehar-run --source 'shots/*.png' --rate-hz 10          images, 10 per second
  edgehar-run --source 'synthetic:walking?duration_s=4' --model actions-synthetic
  edgehar-run --camera 0 --region 0.5,0,0.5,1              only the right half of the picture
  edgehar-run --config edgehar.toml                        all settings from a file
  edgehar-run --source rtsp://user:password@camera/stream --duration 3600
  edgehar-run --camera 0 --record clips                    a clip of each event
  edgehar-run --camera 0 --web                             live page at http://127.0.0.1:8088/
  edgehar-run --output none --mqtt mqtt://user@broker/edgehar/hall
                                                          publish only; password in EDGEHAR_MQTT_PASSWORD"""

# Options that are settings of the configuration: the setting, what stands for its value, and the help. The
# configuration checks their values, so that bounds are defined once.
_SETTINGS: tuple[tuple[str, tuple[str, ...], str, str], ...] = (
    ("--rate-hz", ("camera", "rate_hz"), "HZ", "frames per second of images (25), or requested from a camera"),
    (
        "--region",
        ("camera", "region"),
        "X,Y,W,H",
        "classify only this part of the picture, in shares of it from 0 to 1: 0.5,0,0.5,1 is the right half",
    ),
    ("--model", ("model",), "BUNDLE|NAME", f"model bundle, or name of a shipped model ({DEFAULT_MODEL})"),
    ("--hop", ("hop",), "N", "frames between predictions (the model's default)"),
    (
        "--mode",
        ("mode",),
        "window|stateful",
        "predict for the latest window, or all frames since the start (window)",
    ),
    ("--threshold", ("decision", "threshold"), "P", 'predict "unknown" if the best score is below P, 0 to 1'),
    ("--output", ("output",), "jsonl|text|none", "what to print (jsonl)"),
    (
        "--mqtt",
        ("mqtt", "url"),
        "URL",
        "also publish to mqtt://user:password@host:1883/base/topic, or mqtts:// for TLS",
    ),
    (
        "--record",
        ("record", "directory"),
        "DIR",
        "record a clip, a picture and a sidecar of each event into this folder; see edgehar clips --help",
    ),
    (
        "--decode",
        ("camera", "decode"),
        "MODE",
        "what to decode of H.264 and H.265 video: full, skip-loop-filter, reference-only, key, or auto (auto)",
    ),
    ("--threads", ("threads",), "N", "CPU threads of the network (1)"),
    ("--delegate", ("delegate",), "NAME", "what runs the encoder: cpu, edgetpu, edgetpu:N, or auto (cpu)"),
)


def _make_parser(prog: str) -> argparse.ArgumentParser:
    parser = make_parser(prog, _DESCRIPTION, _EXAMPLES)
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--camera",
        type=whole_number(0, name="camera number"),
        metavar="N",
        help="USB camera /dev/videoN (the default is camera 0)",
    )
    where.add_argument(
        "--source",
        metavar="URI",
        help="picamera2:0 (camera module of a Raspberry Pi), a video file, a folder or glob of images, "
        "synthetic:ACTION, or an rtsp:// or http:// stream",
    )
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="configuration file; other options override it; auto finds the usual one; see edgehar config init",
    )
    parser.add_argument(
        "--wait", action="store_true", help="keep trying if a camera is missing at the start, instead of failing"
    )
    for option, path, metavar, text in _SETTINGS:
        parser.add_argument(option, dest=".".join(path), metavar=metavar, help=text)
    parser.add_argument(
        "--web",
        nargs="?",
        const="",
        metavar="[HOST:]PORT",
        help="serve pages with live pictures and events, by default on port 8088 and for this machine only; see "
        "docs/web.md",
    )
    parser.add_argument(
        "--duration",
        type=number_above_0,
        metavar="S",
        help="stop after S seconds: of video for files, else of watching",
    )
    parser.add_argument("--max-predictions", type=whole_number(1), metavar="N", help="stop after exactly N predictions")
    return parser


def main(argv: Sequence[str] | None = None, signals: Signals | None = None, prog: str = "edgehar-run") -> int:
    """Run the command; returns its exit code.

    Args:
        argv: arguments; those of the process when None.
        signals: handlers of signals that are installed already; installed here when None.
        prog: name of the command in messages.
    """
    options = CommandOptions(
        out_of_memory="use fewer cameras, a smaller picture of each camera, or a smaller model",
        background_log=True,
        before_threads=_share_arena,
    )
    return run_command(_make_parser(prog), lambda args: _run(args, signals or Signals()), argv, options)


def run_with(argv: Sequence[str], signals: Signals | None = None) -> int:
    """Run with arguments, inside another command; returns the exit code, and raises the errors.

    Args:
        argv: arguments.
        signals: handlers of signals that are installed already; installed here when None.
    """
    return _run(_make_parser("edgehar-run").parse_args(argv), signals or Signals())


def _share_arena() -> None:
    from edgehar.pipeline import memory

    memory.share_arena()


def _run(args: argparse.Namespace, signals: Signals) -> int:
    import os

    from edgehar.config import find_config, load
    from edgehar.pipeline.program import Program

    def read_config() -> Config:
        return load(find_config(args.config, os.environ), os.environ, _overrides(args))

    with signals:
        program = Program(
            read_config(),
            duration_s=args.duration,
            max_predictions=args.max_predictions,
            read_config=None if args.config is None else read_config,
            make_tools=lambda: _make_tools(args),
        )
        signals.attach(program.stop, program.reload)
        program.run()
    if signals.interrupted:
        raise KeyboardInterrupt
    return EXIT_DONE


def _make_tools(args: argparse.Namespace) -> Tools:
    from edgehar.cli.page_tools import make_tools

    return make_tools(args, _overrides(args))


def _overrides(args: argparse.Namespace) -> dict[str, Any]:
    """Return the options as nested tables, like those of the configuration file, with values as text."""
    from edgehar.config import Text

    overrides: dict[str, Any] = {"camera": {}, "reconnect": {"at_start": args.wait or None}}
    if args.camera is not None:
        overrides["camera"]["source"] = f"camera:{args.camera}"
    elif args.source is not None:
        overrides["camera"]["source"] = args.source
    for option, path, _, _ in _SETTINGS:
        text = getattr(args, ".".join(path))
        if text is not None:
            overrides_of_table = overrides
            for name in path[:-1]:
                overrides_of_table = overrides_of_table.setdefault(name, {})
            overrides_of_table[path[-1]] = Text(text, option)
    if args.web is not None:
        from edgehar.web.options import DEFAULT_LISTEN

        overrides["web"] = {"listen": Text(args.web or DEFAULT_LISTEN, "--web")}
    return overrides
