"""`edgehar predict`: one answer for each clip."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from edgehar.cli.common import EXIT_DONE, EXIT_FAILED, check_folder

if TYPE_CHECKING:
    from typing import Any

    from edgehar.records import Prediction

_EXAMPLES = """\
examples:
  edgehar predict clip.mp4                              the action of one clip, by the fight detector
  edgehar predict clips/*.mp4 --model interactions      of many clips
  edgehar predict clips --csv answers.csv               of all clips of a folder, as a table with every score"""

_log = logging.getLogger(__name__)


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "predict",
        help="name the action of each clip",
        description=f"{__doc__} The answer is the mean of the scores of all windows of the clip.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("clips", nargs="+", type=Path, metavar="CLIP", help="video files, or folders of them")
    parser.add_argument("--model", default="fight", help="path of a bundle, or the name of a shipped model (fight)")
    parser.add_argument("--csv", metavar="FILE", type=Path, help="write a table with the scores of every label")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Classify every clip; returns 1 if one of them could not be read."""
    from edgehar.errors import SourceError
    from edgehar.inspect import trial
    from edgehar.model.classifier import Classifier
    from edgehar.progress import Progress

    clips = _clips(args.clips)
    if args.csv is not None:
        check_folder(args.csv)
    answers: list[tuple[Path, Prediction]] = []
    failed = 0
    with Classifier(trial.open_bundle(args.model)) as classifier:
        with Progress("classifying", len(clips), unit="clips", lines=10 if args.csv else 0) as progress:
            for clip in clips:
                try:
                    answers.append((clip, classifier.classify(clip)))
                except SourceError as error:
                    failed += 1
                    _log.error("%s", error)
                progress.advance()
        labels = classifier.bundle.manifest.labels
    if args.csv is not None:
        _write_csv(args.csv, answers, labels)
    else:
        _print(answers)
    if failed:
        _log.error("%d of %d clips could not be read", failed, len(clips))
    return EXIT_FAILED if failed else EXIT_DONE


def _clips(given: list[Path]) -> list[Path]:
    from edgehar.errors import ConfigError
    from edgehar.sources.address import VIDEO_SUFFIXES

    clips = []
    for path in given:
        if not path.is_dir():
            clips.append(path)
            continue
        found = sorted(one for one in path.rglob("*") if one.suffix.lower() in VIDEO_SUFFIXES and one.is_file())
        if not found:
            raise ConfigError(f"{path}: holds no video file; name the files, or another folder")
        clips += found
    return clips


def _print(answers: list[tuple[Path, Prediction]]) -> None:
    from edgehar.printable import printable

    width = max((len(printable(str(clip))) for clip, _ in answers), default=0)
    for clip, answer in answers:
        print(f"{printable(str(clip)):<{width}}  {printable(answer.label)}  {answer.score:.2f}")


def _write_csv(path: Path, answers: list[tuple[Path, Prediction]], labels: list[str]) -> None:
    import csv

    from edgehar.files import whole_file
    from edgehar.printable import printable

    with whole_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as table:
        writer = csv.writer(table)
        writer.writerow(["clip", "label", "score", *labels])
        for clip, answer in answers:
            scores = (f"{answer.scores[label]:.4f}" for label in labels)
            writer.writerow([printable(str(clip)), answer.label, f"{answer.score:.4f}", *scores])
    print(f"wrote {path}")
