"""Changes of the configuration file: comments stay, nothing invalid is written, and the last change can be undone."""

import threading

import pytest

pytest.importorskip("tomlkit", reason="needs the web extra")

from edgehar.config import Text, read
from edgehar.config.editing import ConfigFile
from edgehar.errors import ConfigError
from edgehar.web.services import ChangedMeanwhileError, SettingChange

TEXT = """\
# The hall of the care home.
model = "actions-synthetic"  # six actions

[decision]
threshold = 0.5  # chosen in May

[[camera]]
name = "hall"
source = "rtsp://user:secret@camera/stream"
masks = []  # none yet

[[camera]]
name = "yard"
source = "camera:0"
"""
MASK = [[0.0, 0.0], [0.3, 0.0], [0.3, 0.25]]


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "edgehar.toml"
    path.write_text(TEXT)
    path.chmod(0o640)
    return path


def change(file, *pairs):
    return file.change([SettingChange(list(path), value) for path, value in pairs], file.settings().version)


def found(file, *path):
    (setting,) = [one for table in file.settings().tables for one in table.settings if one.path == list(path)]
    return setting


def test_a_change_keeps_comments_order_and_mode(path):
    result = change(ConfigFile(path), (("decision", "threshold"), 0.7), (("camera", 0, "masks"), [MASK]))
    assert path.read_text() == TEXT.replace("threshold = 0.5", "threshold = 0.7").replace(
        "masks = []", f"masks = [{MASK}]"
    )
    assert path.stat().st_mode & 0o777 == 0o640
    assert result.changed == ["camera", "decision"]
    # A running camera takes new masks.
    assert result.restart == []
    assert [file.name for file in path.parent.iterdir() if file.suffix == ".tmp"] == []


def test_new_keys_and_tables_are_added_where_they_belong(path):
    file = ConfigFile(path)
    change(
        file,
        (("hop",), 3),
        (("camera", 1, "thresholds"), {"running": 0.9}),
        (("notify", "quiet_hours"), ["22:00-06:00"]),
        (("decision", "smoothing"), "ema"),
    )
    config = read(path).config
    assert (config.hop, config.cameras[1].thresholds, config.decision.smoothing) == (3, {"running": 0.9}, "ema")
    assert config.notify.quiet_hours == ["22:00-06:00"]
    assert "# chosen in May" in path.read_text()
    change(file, (("hop",), None), (("decision", "smoothing"), None), (("reconnect", "frozen_s"), None))
    assert read(path).config.hop is None
    assert "smoothing" not in path.read_text()


def test_a_file_without_cameras_gets_the_one_that_is_watched(path):
    path.write_text("")
    change(ConfigFile(path), (("camera", 0, "threshold"), 0.9))
    assert [(camera.source, camera.threshold) for camera in read(path).config.cameras] == [("camera:0", 0.9)]


def test_the_last_change_is_undone_and_done_again(path):
    file = ConfigFile(path)
    assert not file.settings().can_undo
    with pytest.raises(ConfigError, match="no earlier version"):
        file.undo()
    change(file, (("hop",), 3))
    assert file.settings().can_undo
    assert file.undo().changed == ["hop"]
    assert path.read_text() == TEXT
    file.undo()
    assert read(path).config.hop == 3


@pytest.mark.parametrize(
    ("where", "value", "message"),
    [
        (("hop",), 0, "hop is 0, it must be a whole number from 1"),
        (("hop",), "x", "hop is"),
        (("hop",), 1000, "the window of"),
        (("decision", "threshold"), 1.5, "it must be a number from 0 to 1"),
        (("decision", "threshold"), float("nan"), "decision.threshold"),
        (("decision", "smoothing"), "exa", 'did you mean "ema"'),
        (("camera", 0, "masks"), [[[0, 0], [1, 1]]], "has 2 corners"),
        (("camera", 0, "masks"), [[[0, 0], [2, 0], [1, 1]]], "camera[0].masks"),
        (("camera", 0, "thresholds"), {"nothing": 0.5}, "nothing"),
        (("camera", 0, "watch_hours"), ["25:00-26:00"], "watch_hours"),
        (("camera", 7, "hop"), 3, "camera[7] is not in the file"),
    ],
)
def test_what_is_not_valid_is_not_written(path, where, value, message):
    with pytest.raises(ConfigError) as caught:
        change(ConfigFile(path), (("decision", "k"), 2), (("decision", "n"), 3), (where, value))
    assert message in "\n".join(getattr(caught.value, "problems", [str(caught.value)]))
    assert path.read_text() == TEXT


@pytest.mark.parametrize(
    "where",
    [
        *(("model",), ("camera", 0, "source"), ("camera", 0, "record_source"), ("file", "path"), ("mqtt", "url")),
        *(("mqtt", "password"), ("web", "listen"), ("web", "password_hash"), ("webhook", "url"), ("upload", "url")),
        *(("record", "directory"), ("notify", "urls"), ("health", "prometheus_address"), ("spool", "directory")),
        *(("nothing",), ("decision",), ("camera",), ("camera", 0), ("decision", "threshold", "more"), (0,)),
        *(("record", "seal_to"), ("camera", 0, "tls_verify")),
        *(("camera", "threshold"), ("camera", 0, 0, "threshold"), ("camera", -9, "threshold")),
    ],
)
def test_where_it_connects_listens_and_writes_cannot_be_changed(path, where):
    with pytest.raises(ConfigError, match="cannot be changed here"):
        change(ConfigFile(path), (where, "x"))
    assert path.read_text() == TEXT


def test_every_editable_setting_is_harmless(path):
    editable = {tuple(s.path) for table in ConfigFile(path).settings().tables for s in table.settings if s.editable}
    assert ("camera", 1, "masks") in editable
    assert not {name for *_, name in editable if name.endswith(("url", "file", "path", "directory", "source", "urls"))}
    assert "web" not in {where[0] for where in editable}


def test_two_people_do_not_overwrite_each_other(path):
    file = ConfigFile(path)
    version = file.settings().version
    file.change([SettingChange(["hop"], 3)], version)
    with pytest.raises(ChangedMeanwhileError):
        file.change([SettingChange(["hop"], 4)], version)
    assert read(path).config.hop == 3


def test_of_many_at_once_one_wins(path):
    file, version, refused = ConfigFile(path), ConfigFile(path).settings().version, []

    def work(hop):
        try:
            file.change([SettingChange(["hop"], hop)], version)
        except ChangedMeanwhileError as error:
            refused.append(error)

    threads = [threading.Thread(target=work, args=(hop,)) for hop in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 7
    assert read(path).config.hop in range(1, 9)


def test_passwords_are_not_shown(path):
    path.write_text(TEXT + '[mqtt]\nurl = "mqtt://a:hidden@broker/x"\npassword = "hidden"\n')
    tables = repr(ConfigFile(path).settings())
    assert "hidden" not in tables
    assert "secret" not in tables.replace("secret key", "")
    assert found(ConfigFile(path), "camera", 0, "source").value == "rtsp://camera/stream"


def test_every_value_says_where_it_comes_from(path):
    file = ConfigFile(path, {"EDGEHAR_DECISION__THRESHOLD": "0.6"}, {"hop": Text("4", "--hop")})
    assert found(file, "camera", 1, "name").origin == str(path)
    threshold, hop = found(file, "decision", "threshold"), found(file, "hop")
    assert (threshold.value, threshold.origin, threshold.editable) == (0.6, "EDGEHAR_DECISION__THRESHOLD", False)
    assert (hop.value, hop.origin, hop.editable) == (4, "--hop", False)
    smoothing = found(file, "decision", "smoothing")
    assert (smoothing.value, smoothing.origin, smoothing.kind) == (None, "default", "choice")
    with pytest.raises(ConfigError, match="cannot be changed here"):
        change(file, (("hop",), 3))


def test_cameras_of_the_command_line_are_not_those_of_the_file(path):
    file = ConfigFile(path, {}, {"camera": {"source": "camera:3"}})
    assert found(file, "camera", 0, "source").value == "camera:3"
    assert not found(file, "camera", 0, "masks").editable


def test_without_a_file_settings_are_shown_only():
    file = ConfigFile(None, {}, {"hop": 3})
    settings = file.settings()
    assert settings.file is None
    assert not any(one.editable for table in settings.tables for one in table.settings)
    with pytest.raises(ConfigError, match="start with --config FILE"):
        change(file, (("decision", "threshold"), 0.5))


def test_a_folder_that_cannot_be_written_leaves_the_file(path, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("edgehar.config.editing.os.fsync", refuse)
    with pytest.raises(PermissionError):
        change(ConfigFile(path), (("hop",), 3))
    assert path.read_text() == TEXT
    assert sorted(file.name for file in path.parent.iterdir()) == ["edgehar.toml"]


def test_a_linked_file_stays_a_link(path, tmp_path):
    link = tmp_path / "link.toml"
    link.symlink_to(path)
    change(ConfigFile(link), (("hop",), 3))
    assert link.is_symlink()
    assert read(path).config.hop == 3
