"""One answer about a clip from those about its windows."""

from __future__ import annotations

import msgspec

from edgehar.records import Prediction, Window


def mean_prediction(answers: list[Prediction], frames: int, lost: int) -> Prediction:
    """Return one prediction for all windows of a clip of `frames` frames, of which `lost` others are missing."""
    last = answers[-1]
    scores = {label: sum(answer.scores[label] for answer in answers) / len(answers) for label in last.scores}
    label = max(scores, key=scores.__getitem__)
    whole = Window(frames, answers[0].window.start_s, last.window.end_s, lost)
    rate_ok = all(answer.rate_ok for answer in answers)
    mean = msgspec.structs.replace(
        last, seq=0, label=label, score=scores[label], scores=scores, window=whole, rate_ok=rate_ok
    )
    return mean.with_raw(last.raw)
