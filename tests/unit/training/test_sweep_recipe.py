"""A recipe that a sweep wrote: which trainings with it are fair."""

import pytest

from edgehar_training.cli.train import _warn_of_sweep
from edgehar_training.runs.run import RunConfig
from edgehar_training.settings import SplitSettings
from edgehar_training.settings.recipe import read_recipe

TEXT = '[sweep]\ntrials = 4\naccuracy = 0.9\nloss = 0.3\n[split]\nkind = "{kind}"\nseed = 3\n'


@pytest.mark.parametrize(
    ("kind", "changes", "seeds", "warned"),
    [
        ("group", {}, [3], False),
        ("group", {}, [3, 4], True),
        ("group", {"seed": 4}, [4], True),
        ("group", {"folds": 5}, [3], True),
        ("group", {"test_fraction": 0.3}, [3], True),
        # The test part is the same for all seeds.
        ("official", {}, [3, 4], False),
    ],
)
def test_a_training_that_tests_clips_of_the_sweep_warns(tmp_path, caplog, kind, changes, seeds, warned):
    path = tmp_path / "best.toml"
    path.write_text(TEXT.format(kind=kind))
    split = SplitSettings(**{"kind": kind, "seed": 3, **changes})
    _warn_of_sweep(read_recipe(str(path)), RunConfig(split=split), seeds)
    assert ("has seen clips" in caplog.text) == warned
