"""Write a video with the answer of a bundle next to every frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgehar.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from edgehar.frames import Frame
    from edgehar.records import Prediction


def annotate_video(
    model: str | Path, video: str, out: Path, *, hop: int = 1, threshold: float | None = None
) -> tuple[int, int]:
    """Write a video with the label and score of the latest answer next to each frame.

    Args:
        model: a bundle, or the name of a shipped one.
        video: a file, or another source with an end that `open_source` takes.
        out: the MP4 to write.
        hop: frames between answers.
        threshold: a best score below this is shown as "unknown"; None uses the threshold of the bundle.

    Returns:
        Frames written, and answers given.

    Raises:
        SourceError: the video cannot be read, or holds no frame.
        SinkError: `out` cannot be written.
    """
    from edgehar.annotate import AnnotatedVideo
    from edgehar.inspect import trial
    from edgehar.model.classifier import Classifier
    from edgehar.sources import open_source

    frames = answers = 0
    answer: Prediction | None = None
    bundle = trial.open_bundle(model)
    with Classifier(bundle, hop=hop, source_name=video) as classifier, open_source(video) as source:
        least = classifier.bundle.manifest.decision.threshold if threshold is None else threshold
        with AnnotatedVideo(out, rate_hz=25.0) as written:
            for frame, is_last in _with_last(iter(source)):
                given = classifier.push(frame)
                if given is None and is_last:
                    # A clip shorter than a window gets its answer at the end.
                    given = classifier.flush()
                if given is not None:
                    answers += 1
                    answer = given if given.score >= least else given.decided("unknown", given.score, given.scores)
                written.write(frame, answer)
                frames += 1
    if not frames:
        raise SourceError(f"{video}: holds no frame")
    return frames, answers


def _with_last(frames: Iterator[Frame]) -> Iterator[tuple[Frame, bool]]:
    """Yield each frame, and whether it is the last one."""
    kept = next(frames, None)
    while kept is not None:
        following = next(frames, None)
        yield kept, following is None
        kept = following
