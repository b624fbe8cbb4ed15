"""Labels that sound like background."""

import pytest

from edgehar_training.quantize.background import background_hint, likely_background


@pytest.mark.parametrize(
    ("labels", "likely"),
    [
        (["fight", "noFight"], ["noFight"]),
        (["fight", "nofight"], ["nofight"]),
        (["Violence", "NonViolence"], ["NonViolence"]),
        (["fall", "no_fall", "non-fall", "not falling"], ["no_fall", "non-fall", "not falling"]),
        (["run", "normal", "Other", "BACKGROUND", "none"], ["normal", "Other", "BACKGROUND", "none"]),
        (["nod", "north", "notebook", "nose"], []),
        (["boxing", "walking"], []),
    ],
)
def test_labels_that_sound_like_background_are_found(labels, likely):
    assert likely_background(labels) == likely


def test_the_hint_names_the_whole_option():
    assert background_hint(["fight", "noFight"], ["noFight"]) is None
    assert background_hint(["fight", "walk"], []) is None
    assert background_hint(["fight", "noFight"], []).endswith("convert with --background noFight")
    assert background_hint(["fight", "noFight", "walk"], ["walk"]).endswith("--background walk noFight")
