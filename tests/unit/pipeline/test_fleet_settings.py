"""Settings that an operator pushes, in a real configuration file."""

import pytest

from edgehar.config.editing import ConfigFile
from edgehar.config.pushed import check_settings
from edgehar.errors import ConfigError, EdgeharError
from edgehar.pipeline.fleet_settings import FleetSettings

pytest.importorskip("tomlkit", reason="needs the web extra")

TEXT = """\
model = "actions-synthetic"
[decision]
threshold = 0.5  # chosen in May
[[camera]]
source = "camera:0"
"""
PUSHED = "[decision]\nthreshold = 0.75\nmin_duration_s = 2.0\n"


class Program:
    """Applies the file, unless it cannot."""

    def __init__(self):
        self.applied, self.problem = 0, None

    def apply(self):
        if self.problem is not None:
            raise self.problem
        self.applied += 1


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "edgehar.toml"
    path.write_text(TEXT)
    return path


@pytest.fixture
def program():
    return Program()


@pytest.fixture
def settings(path, program):
    return FleetSettings(ConfigFile(path, {}), program.apply)


def test_settings_are_written_applied_and_undone(path, program, settings):
    version = settings.change(PUSHED)
    assert "threshold = 0.75" in path.read_text()
    assert "min_duration_s = 2.0" in path.read_text()
    settings.undo(version)
    assert path.read_text() == TEXT
    assert program.applied == 2


def test_what_was_in_force_before_is_not_undone(path, program, settings):
    settings.change(PUSHED)
    now = path.read_text()
    settings.undo(settings.change(PUSHED))
    assert path.read_text() == now
    assert program.applied == 1


def test_a_file_that_has_changed_since_is_left_alone(path, program, settings):
    version = settings.change(PUSHED)
    path.write_text(path.read_text().replace("0.75", "0.8"))
    with pytest.raises(ConfigError, match="changed on the device meanwhile"):
        settings.undo(version)
    assert "threshold = 0.8" in path.read_text()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[decision]\nthreshold = 1.5\n", "decision.threshold"),
        ("[decision]\nthresold = 0.5\n", "unknown setting decision.thresold; did you mean threshold?"),
        ("decision = 3\n", "decision: is a table"),
        ("[[camera]]\nthreshold = 0.5\n", "camera: cameras differ"),
        ('[mqtt]\nurl = "mqtt://elsewhere/x/y"\n', "mqtt.url: cannot be changed here"),
        ("[capture]\nrate_hz = 5.0\n", "capture"),
        ("[decision\n", "settings: "),
    ],
)
def test_settings_that_cannot_be_pushed_change_nothing(path, program, settings, text, says):
    with pytest.raises(ConfigError) as raised:
        settings.change(text)
    assert says in str(raised.value)
    assert (path.read_text(), program.applied) == (TEXT, 0)


def test_settings_that_the_program_cannot_apply_are_taken_back(path, program, settings):
    program.problem = EdgeharError("no label 'x'")
    with pytest.raises(EdgeharError, match="no label"):
        settings.change(PUSHED)
    assert path.read_text() == TEXT


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "holds no setting"),
        ("[record]\nmax_gb = 1.0\n", "record.max_gb cannot be pushed; only settings of [decision] can"),
        ("[decision]\nthreshold = 2.0\n", "[decision] "),
        ("[decision]\nthreshold = 0.5 # " + "x" * 16_000, "at most 16000 can be pushed"),
    ],
)
def test_the_operator_is_told_before_anything_is_pushed(tmp_path, text, says):
    path = tmp_path / "night.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as raised:
        check_settings(path)
    assert str(raised.value).startswith(f"{path}: ")
    assert says in str(raised.value)
