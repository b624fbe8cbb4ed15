"""The file of settings that `edgehar sweep` searches."""

import pytest

from edgehar.errors import ConfigError
from edgehar_training.runs.run import RunConfig
from edgehar_training.settings import FitSettings
from edgehar_training.sweep.space import Choice, Parameter, Range, read_space

CONFIG = RunConfig()


def read(tmp_path, text):
    path = tmp_path / "space.toml"
    path.write_text(text)
    return read_space(path, CONFIG)


def test_lists_and_ranges(tmp_path):
    space = read(
        tmp_path,
        """
        [fit]
        learning_rate = { low = 1e-4, high = 0.01, log = true }
        batch_size = [8, 16, 8]
        patience = { low = 5, high = 20, step = 5 }
        [network.options]
        units = { low = 16, high = 64 }
        [augment]
        on = [true, false]
        shift = { low = 0, high = 0.5 }
        """,
    )
    assert space.parameters == (
        Parameter("fit.learning_rate", Range(1e-4, 0.01, whole=False, log=True)),
        Parameter("fit.batch_size", Choice((8, 16))),
        Parameter("fit.patience", Range(5, 20, whole=True, step=5)),
        Parameter("network.options.units", Range(16, 64, whole=True)),
        Parameter("augment.on", Choice((True, False))),
        Parameter("augment.shift", Range(0, 0.5, whole=False)),
    )


def test_values_are_put_in_their_places(tmp_path):
    space = read(tmp_path, "[fit]\nlearning_rate = [0.1]\n[network.options]\nunits = [8]\n[network]\nwindow = [9]\n")
    changed = space.applied(CONFIG, {"fit.learning_rate": 0.1, "network.options.units": 8, "network.window": 9})
    assert (changed.fit.learning_rate, changed.network.options, changed.network.window) == (0.1, {"units": 8}, 9)
    assert changed.augment == CONFIG.augment


def test_the_own_values_of_the_settings(tmp_path):
    text = "[fit]\nlearning_rate = { low = 1e-4, high = 1e-2 }\npatience = { low = 5, high = 25, step = 5 }\n"
    space = read(tmp_path, text + "[network.options]\nunits = [16, 32]\n")
    assert space.own(CONFIG) == {"fit.learning_rate": 1e-3, "fit.patience": 15, "network.options.units": 32}
    other = RunConfig(fit=FitSettings(patience=16))
    assert space.own(other) is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "holds no setting"),
        ("fit = 3\n", "fit cannot be searched; a space has the tables [network], [network.options], [fit]"),
        ("[split]\nfolds = [3, 5]\n", "split cannot be searched"),
        ("[fit]\nlearningrate = [0.1]\n", "[fit] has no setting 'learningrate'; did you mean learning_rate?"),
        ("[network.options]\nunit = [8]\n", "did you mean units?"),
        ("[fit]\nepochs = [8]\n", "fit.epochs is the length of a trial; set it in the recipe"),
        ("[fit]\nbatch_size = 8\n", "fit.batch_size is 8; give a list of values, or { low = ..., high = ... }"),
        ("[fit]\nbatch_size = []\n", "fit.batch_size is []; give a list"),
        ("[fit]\nbatch_size = [0]\n", "fit.batch_size has the value 0; it must be a whole number, 1 or more"),
        ("[fit]\nbatch_size = { low = 0, high = 4 }\n", "fit.batch_size has the value 0"),
        ("[fit]\nbatch_size = { low = 1.5, high = 4 }\n", "fit.batch_size takes whole numbers"),
        ("[fit]\nfreeze = [['encoder']]\n", "the values of a list are numbers, texts, true or false"),
        ("[fit]\noptimizer = { low = 1, high = 2 }\n", "fit.optimizer is not a number; give a list of values"),
        ("[fit]\noptimizer = ['adamx']\n", 'fit.optimizer has the value "adamx"; it must be'),
        ("[fit]\nlearning_rate = { low = 0.1 }\n", "missing required field `high`"),
        ("[fit]\nlearning_rate = { low = 0.1, high = 0.1 }\n", "low must be less than high"),
        ("[fit]\nlearning_rate = { low = 0.1, high = 1, log = true, step = 0.1 }\n", "log needs a low above 0"),
        ("[augment]\nshift = { low = 0, high = 0.5, log = true }\n", "log needs a low above 0"),
        ("[augment]\nshift = { low = 0, high = 0.5, step = 0 }\n", "step must be above 0"),
        ("[fit\n", "space.toml"),
    ],
)
def test_an_invalid_space_says_what_to_write(tmp_path, text, says):
    with pytest.raises(ConfigError, match=r"space\.toml: ") as raised:
        read(tmp_path, text)
    assert says in str(raised.value)
