"""`edgehar demo`: run a shipped model on built-in scenes, and write an annotated video or serve the pages."""

from __future__ import annotations

import argparse
import itertools
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from edgehar.cli.common import EXIT_DONE
from edgehar.errors import SourceError
from edgehar.printable import printable

if TYPE_CHECKING:
    from typing import Any

    from edgehar.records import Prediction
    from edgehar.sources.base import Source

_EXAMPLES = """\
examples:
  edgehar demo                                 text on the terminal, and demo.mp4
  edgehar demo --output jsonl                  one JSON object for each prediction
  edgehar demo --source clip.mp4 --model fight --out fight.mp4
  edgehar demo --web                           the pages at http://127.0.0.1:8088/, with drawn cameras and events"""


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "demo",
        help="run a shipped model on built-in scenes, and write a video",
        description=__doc__,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--model", default="actions-synthetic", help="name of a shipped model, or path of a bundle")
    parser.add_argument("--source", default="synthetic:all", help="source to classify (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("demo.mp4"), help="video to write (default: %(default)s)")
    parser.add_argument("--hop", type=int, default=5, help="frames between predictions (default: %(default)s)")
    parser.add_argument(
        "--output", choices=("text", "jsonl"), default="text", help="what to print (default: %(default)s)"
    )
    parser.add_argument(
        "--web",
        nargs="?",
        const="",
        metavar="[HOST:]PORT",
        help="serve the pages on built-in scenes until Ctrl-C, and write no video (port 8088 of this machine)",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Classify the source, print the predictions, and write the annotated video; or serve the pages."""
    if args.web is not None:
        from edgehar.cli.demo_web import run_demo
        from edgehar.web.options import DEFAULT_LISTEN

        return run_demo(args.web or DEFAULT_LISTEN)
    from edgehar.annotate import AnnotatedVideo
    from edgehar.inspect import trial
    from edgehar.model.classifier import Classifier
    from edgehar.sinks.jsonl import JsonLinesSink, LineWriter, stdout_descriptor
    from edgehar.sources import open_source

    bundle = trial.open_bundle(args.model)
    lines = JsonLinesSink(LineWriter(stdout_descriptor(), "standard output"))
    answers: list[Prediction] = []
    frames = 0
    with (
        open_source(args.source) as source,
        Classifier(bundle, hop=args.hop, source_name=source.name) as classifier,
        AnnotatedVideo(args.out, rate_hz=25.0) as video,
    ):
        for frames, frame in enumerate(source, 1):  # noqa: B007 - used after the loop
            if (prediction := classifier.push(frame)) is not None:
                answers.append(prediction)
                if args.output == "jsonl":
                    lines.write(prediction)
                elif len(answers) > 1 and prediction.label != answers[-2].label:
                    print(_line(answers[:-1]), flush=True)
            video.write(frame, answers[-1] if answers else None)
    if answers and args.output == "text":
        print(_line(answers), flush=True)
    if not frames:
        raise SourceError(f"{source.name}: gave no frames, so there is nothing to show; try --source synthetic:all")
    _report(args.out, source, answers)
    return EXIT_DONE


def _line(answers: list[Prediction]) -> str:
    """Return a line about the latest predictions with one label: their span of video, the label, and the mean score."""
    label = answers[-1].label
    same = list(itertools.takewhile(lambda answer: answer.label == label, reversed(answers)))
    score = sum(answer.score for answer in same) / len(same)
    bar = "#" * round(20 * score)
    span = f"{same[-1].window.start_s:5.1f} to {same[0].window.end_s:5.1f} s"
    return f"{span}   {printable(label):<16} {bar:<20} {score:.2f}"


def _report(out: Path, source: Source, answers: list[Prediction]) -> None:
    """Print where the video is and, if the true actions are known, how many predictions are right."""
    from edgehar.sources.synthetic.source import SyntheticSource

    if isinstance(source, SyntheticSource):
        told = [(answer, source.true_action_at(answer.window.start_s)) for answer in answers]
        clear = [(a.label, truth) for a, truth in told if truth == source.true_action_at(a.window.end_s)]
        right = sum(label == truth for label, truth in clear)
        mixed = len(answers) - len(clear)
        print(
            f"edgehar demo: {right} of {len(clear)} windows that show one action are right; "
            f"{mixed} more contain a change of action",
            file=sys.stderr,
        )
    print(f"edgehar demo: {len(answers)} predictions; wrote {out}. Open it, then try: edgehar-run", file=sys.stderr)
