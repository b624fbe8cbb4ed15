"""`edgehar demo`: a shipped model at work on built-in scenes, as JSON Lines and as a video to look at."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from edgehar.cli.common import EXIT_DONE
from edgehar.errors import SourceError

if TYPE_CHECKING:
    import argparse
    from typing import Any

    from edgehar.records import Prediction
    from edgehar.sources.base import Source


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "demo", help="run a shipped model on built-in scenes, and write a video", description=__doc__
    )
    parser.add_argument("--model", default="actions-synthetic", help="name of a shipped model, or path of a bundle")
    parser.add_argument("--source", default="synthetic:all", help="what to watch (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("demo.mp4"), help="video to write (default: %(default)s)")
    parser.add_argument("--hop", type=int, default=5, help="frames between answers (default: %(default)s)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Classify the source, print every prediction, and write the annotated video."""
    from edgehar.annotate import AnnotatedVideo
    from edgehar.model.classifier import Classifier
    from edgehar.sinks.jsonl import JsonLinesSink, LineWriter, stdout_descriptor
    from edgehar.sources import open_source

    lines = JsonLinesSink(LineWriter(stdout_descriptor(), "standard output"))
    answers: list[Prediction] = []
    frames = 0
    with Classifier(args.model, hop=args.hop) as classifier, open_source(args.source) as source:
        classifier.source_name = source.name
        with AnnotatedVideo(args.out, rate_hz=25.0) as video:
            for frames, frame in enumerate(source, 1):  # noqa: B007 - how many there were is used below
                if (prediction := classifier.push(frame)) is not None:
                    answers.append(prediction)
                    lines.write(prediction)
                video.write(frame, answers[-1] if answers else None)
    if not frames:
        raise SourceError(f"{source.name}: gave no frame, so there is nothing to show; try --source synthetic:all")
    _report(args.out, source, answers)
    return EXIT_DONE


def _report(out: Path, source: Source, answers: list[Prediction]) -> None:
    """Say on stderr where the video is and, where the truth is known, how many answers were right."""
    print(f"edgehar demo: {len(answers)} answers; the video is {out}", file=sys.stderr)
    from edgehar.sources.synthetic.source import SyntheticSource

    if isinstance(source, SyntheticSource):
        told = [(answer, source.true_action_at(answer.window.start_s)) for answer in answers]
        clear = [(a.label, truth) for a, truth in told if truth == source.true_action_at(a.window.end_s)]
        right = sum(label == truth for label, truth in clear)
        mixed = len(answers) - len(clear)
        print(
            f"edgehar demo: {right} of {len(clear)} windows that show one action were named right; "
            f"{mixed} more span a change of action",
            file=sys.stderr,
        )
