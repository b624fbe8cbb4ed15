"""The built-in data set: figures doing KTH's six actions, made by code, with persons as groups."""

from __future__ import annotations

import urllib.parse

from edgehar.sources.synthetic.people import ACTIONS
from edgehar_training.data.datasets.clip import Clip


def synthetic_clips(subjects: int = 40, takes: int = 4, duration_s: float = 4.0, seed: int = 0) -> list[Clip]:
    """Return every action by every subject in every take, as KTH has 25 persons in 4 scenarios.

    Args:
        subjects: persons, numbered from 1; body, clothes and habits are a person's own.
        takes: clips of each person and action, in different places, light and framing.
        duration_s: seconds of each clip, at 25 frames a second.
        seed: another seed is another set of people and places.

    Returns:
        Clips whose path is a `synthetic:` address and whose group is `subjectNN`, in order of subject, action and take.
    """
    clips = []
    for subject in range(1, subjects + 1):
        for action in ACTIONS:
            for take in range(1, takes + 1):
                values = {"subject": subject, "take": take, "duration_s": f"{duration_s:g}", "seed": seed}
                uri = f"synthetic:{action}?{urllib.parse.urlencode(values)}"
                clips.append(Clip(uri, action, f"subject{subject:02d}"))
    return clips
