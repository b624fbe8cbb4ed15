"""The configuration: layers, messages, origins, secrets, and what of it can be changed in a running program."""

import re
import tomllib
from pathlib import Path

import msgspec
import pytest
from support.paths import ROOT

from edgehar.config import CameraOptions, Config, ConfigProblemsError, diff, find_config, load, read, search_path
from edgehar.config.__main__ import BEGIN, renewed
from edgehar.config.layers import build
from edgehar.config.loading import with_service_state
from edgehar.config.pages import as_set
from edgehar.config.settings import every_path
from edgehar.config.words import toml
from edgehar.errors import ConfigError
from edgehar.events.options import DecisionOptions
from edgehar.sinks.spool.options import SpoolOptions


@pytest.fixture
def written(tmp_path):
    """Writes a configuration; returns its path."""

    def write(text):
        path = tmp_path / "edgehar.toml"
        path.write_text(text)
        path.chmod(0o600)
        return path

    return write


def problems(path, environ=None, overrides=None):
    with pytest.raises(ConfigProblemsError) as caught:
        read(path, environ, overrides)
    assert all("\n" not in problem for problem in caught.value.problems)
    return caught.value.problems


def test_without_any_setting_it_is_what_the_command_does_without_any_option():
    config = load(None)
    assert config == Config()
    assert (config.model, config.hop, config.threads, config.output) == ("fight", None, 1, "jsonl")
    assert config.cameras == [CameraOptions(source="camera:0")]
    assert config.decision_of(config.cameras[0]) == DecisionOptions()


def test_the_environment_is_laid_upon_the_file_and_the_command_line_upon_both(written):
    path = written('threads = 2\nhop = 3\nmodel = "a"\n[decision]\nk = 2\nn = 4\n')
    config = load(
        path,
        {"EDGEHAR_HOP": "4", "EDGEHAR_MODEL": "b", "EDGEHAR_DECISION__K": "3", "HOME": "/root", "EDGEHAR_THREADS": ""},
        {"model": "c", "hop": None, "decision": {"threshold": 0.5, "k": None}},
    )
    assert (config.threads, config.hop, config.model) == (2, 4, "c")
    assert config.decision == DecisionOptions(k=3, n=4, threshold=0.5)


def test_every_value_knows_who_gave_it(written):
    path = written('threads = 2\n[[camera]]\nname = "a"\n[[camera]]\nname = "b"\n')
    given = read(path, {"EDGEHAR_CAMERA__1__HOP": "4"}, {"output": "text"}).given
    assert given["threads"].origin == str(path)
    assert given["output"].origin == "the command line"
    assert given["camera"][1]["hop"].origin == "EDGEHAR_CAMERA__1__HOP"
    assert given["camera"][1]["name"].origin == str(path)
    assert "model" not in given


def test_what_a_camera_does_not_set_is_that_of_the_whole_program(written):
    config = load(
        written(
            'hop = 2\n[decision]\nthreshold = 0.3\nthresholds = { fight = 0.4, run = 0.5 }\n[[camera]]\nname = "a"\n'
            '[[camera]]\nname = "b"\nmodel = "other"\nhop = 7\nthreshold = 0.6\nthresholds = { fight = 0.9 }\n'
        )
    )
    first, second = config.cameras
    assert (config.model_of(first), config.hop_of(first), config.decision_of(first)) == (
        "fight",
        2,
        config.decision,
    )
    assert (config.model_of(second), config.hop_of(second)) == ("other", 7)
    assert config.decision_of(second) == DecisionOptions(threshold=0.6, thresholds={"fight": 0.9, "run": 0.5})


def test_what_a_camera_asks_of_its_source():
    assert CameraOptions().open_options() == {}
    camera = CameraOptions(rate_hz=10, transport="udp", loop=True)
    assert camera.open_options() == {"rate_hz": 10, "transport": "udp", "loop": True}


def test_the_command_line_changes_every_camera_or_puts_others_in_their_place(written):
    path = written('[[camera]]\nname = "a"\nhop = 3\n[[camera]]\nname = "b"\n')
    assert [(c.name, c.hop) for c in load(path, {}, {"camera": {"hop": 9}}).cameras] == [("a", 9), ("b", 9)]
    assert load(path, {}, {"camera": [{"source": "clip.mp4"}]}).cameras == [CameraOptions(source="clip.mp4")]
    assert load(None, {}, {"camera": {"region": (0, 0, 0.5, 1)}}).cameras == [CameraOptions(region=(0, 0, 0.5, 1))]


def test_the_command_line_holds_for_cameras_with_settings_of_their_own(written):
    path = written('[[camera]]\nname = "a"\nhop = 3\nmodel = "x"\nthreshold = 0.1\n[[camera]]\nname = "b"\n')
    config = load(path, {}, {"hop": 9, "model": "y", "decision": {"threshold": 0.5}, "camera": {"region": None}})
    for camera in config.cameras:
        assert (config.hop_of(camera), config.model_of(camera)) == (9, "y")
        assert config.decision_of(camera).threshold == 0.5
    only = load(path, {}, {"hop": 9, "camera": {"source": "clip.mp4", "region": None}})
    assert (only.hop, only.cameras) == (9, [CameraOptions(source="clip.mp4")])


def test_variables_set_one_camera_or_all(written):
    path = written('[[camera]]\nname = "a"\n[[camera]]\nname = "b"\n')
    cameras = load(path, {"EDGEHAR_CAMERA__HOP": "2", "EDGEHAR_CAMERA__1__REGION": "0, 0, 0.5, 1"}).cameras
    assert [(camera.hop, camera.region) for camera in cameras] == [(2, None), (2, (0, 0, 0.5, 1))]
    assert load(None, {"EDGEHAR_CAMERA__0__SOURCE": "rtsp://cam/"}).cameras[0].source == "rtsp://cam/"
    assert "there is no camera[2]" in problems(path, {"EDGEHAR_CAMERA__2__HOP": "2"})[0]


def test_paths_in_a_file_start_at_its_folder(written, tmp_path, monkeypatch):
    path = written('model = "models/my.edgehar"\n[[camera]]\nsource = "clips/a.mp4"\n')
    monkeypatch.chdir("/")
    config = load(path, {})
    assert config.model == str(tmp_path / "models/my.edgehar")
    assert config.cameras[0].source == str(tmp_path / "clips/a.mp4")
    assert load(path, {"EDGEHAR_MODEL": "models/my.edgehar"}).model == "models/my.edgehar"
    unchanged = load(written('model = "fight"\n[[camera]]\nsource = "rtsp://cam/stream"\n'))
    assert (unchanged.model, unchanged.cameras[0].source) == ("fight", "rtsp://cam/stream")
    assert load(written('[[camera]]\nsource = "/a.mp4"\n')).cameras[0].source == "/a.mp4"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    written('model = "~/my.edgehar"\n[[camera]]\nsource = "a.mp4"\n')
    config = load(Path("edgehar.toml"))
    assert (config.model, config.cameras[0].source) == ("/home/me/my.edgehar", str(tmp_path / "a.mp4"))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("threds = 2", "threds is not a setting; did you mean threads?"),
        ("min_duration_s = 2", "min_duration_s is not a setting; did you mean decision.min_duration_s?"),
        ("threshold = 0.5", "threshold is not a setting; did you mean decision.threshold?"),
        ("zzz = 2", "zzz is not a setting; known here: model, hop,"),
        ("[decision]\nthreshhold = 0.5", "decision.threshhold is not a setting; did you mean threshold?"),
        ("[decision]\nregion = 0.5", "decision.region is not a setting; did you mean camera.region?"),
        ('hop = "x"', 'hop is "x", it must be a whole number from 1 to 100000'),
        ("hop = true", "hop is true, it must be a whole number from 1 to 100000"),
        ("hop = 2.5", "hop is 2.5, it must be a whole number from 1 to 100000"),
        ("threads = 0", "threads is 0, it must be a whole number from 1 to 1024"),
        ("model = 3", "model is 3, it must be text, not empty"),
        ('output = "josnl"', 'is "josnl", it must be "jsonl", "none" or "text"; did you mean "jsonl"?'),
        ("[decision]\nthreshold = nan", "decision.threshold is nan, it must be a number from 0 to 1"),
        (
            "[decision]\nthresholds = { a = 2 }",
            "is { a = 2 }, it must be a table of names, each with a number from 0 to 1",
        ),
        ("[decision]\nk = 4\nn = 2", "[decision]: k is 4, it must not be above n, which is 2"),
        (
            "[[camera]]\nregion = [0, 0, 1]",
            "camera[0].region is [0, 0, 1], it must be a list of 4, each a number from 0",
        ),
        ("[[camera]]\nrate_hz = 0", "camera[0].rate_hz is 0, it must be a number above 0 to 1000"),
        ("[[camera]]\nrate_hz = inf", "camera[0].rate_hz is inf, it must be a number above 0 to 1000"),
        ("[[camera]]\nname = 'a/b'", "it must be letters, digits, - and _, starting with a letter or digit"),
        ("[[camera]]\n[[camera]]\nname = 'a'", "camera[0] has no name; with several cameras each needs one"),
        ("[[camera]]\nname = 'a'\n[[camera]]\nname = 'a'", 'two cameras have the name "a"'),
        ("camera = []", "camera is an empty list"),
        ("[camera]\nname = 'a'", "camera must be an array of tables: write [[camera]], and its keys below it"),
        ("decision = 3", "decision must be a table: write [decision], and its keys below it"),
        ("[[decision]]", "decision must be a table: write [decision], and its keys below it"),
        ("hop = = 3", "is not TOML: Invalid value (at line 1, column 7)"),
        ("hop = 3\nhop = 4", "is not TOML: Cannot overwrite a value"),
        ("hop = " + "9" * 5000, "is not TOML"),
        ("hop = " + "9" * 400, "..., it must be a whole number from 1 to 100000"),
        ("hop = " + "[" * 100_000, "brackets within brackets, too deep"),
        ("#" * 1_000_001, "is larger than 1 MB"),
    ],
)
def test_what_is_wrong_is_said_with_file_key_and_remedy(written, text, problem):
    path = written(text)
    (found,) = problems(path)
    assert found.startswith(f"{path}: ")
    assert problem in found
    assert len(found) < len(str(path)) + 300


def test_text_that_is_not_utf_8(tmp_path):
    path = tmp_path / "edgehar.toml"
    path.write_bytes(b'model = "caf\xe9"')
    assert "is not UTF-8 text, at byte 12" in problems(path)[0]


def test_files_that_cannot_be_read(tmp_path):
    assert "No such file or directory; create one with edgehar config init" in problems(tmp_path / "none.toml")[0]
    assert "Is a directory" in problems(tmp_path)[0]


def test_all_problems_are_found_and_the_message_has_the_first(written):
    path = written("threds = 2\nhop = 0\n")
    with pytest.raises(ConfigError, match=r"threds is not a setting.* \(and 2 more: edgehar config check shows all\)"):
        load(path, {"EDGEHAR_OUTPUT": "x"})
    assert len(problems(path, {"EDGEHAR_OUTPUT": "x"})) == 3


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("EDGEHAR_HOP", "x", 'EDGEHAR_HOP is "x", it must be a whole number from 1 to 100000'),
        ("EDGEHAR_HOPS", "3", "EDGEHAR_HOPS is not a setting; did you mean EDGEHAR_HOP?"),
        ("EDGEHAR_DECISION_THRESHOLD", "0.5", "did you mean EDGEHAR_DECISION__THRESHOLD?"),
        ("EDGEHAR_QQ__X", "3", "EDGEHAR_QQ__X is not a setting; unset it; edgehar config show lists all settings"),
        ("EDGEHAR_DECISION__THRESHOLDS", "{ fight = 2 }", 'is "{ fight = 2 }", it must be a table of names'),
        ("EDGEHAR_DECISION__THRESHOLDS", "{", 'is "{", it must be a table of names'),
        ("EDGEHAR_CAMERA__REGION", "[" * 100_000, "it must be a list of 4"),
    ],
)
def test_a_variable_that_is_wrong(name, value, problem):
    (found,) = problems(None, {name: value})
    assert problem in found


def test_variables_of_other_programs_are_left_alone():
    assert load(None, {"EDGEHAR_SERVICE_HOST": "10.0.0.1", "EDGEHAR_RUNTIME": "tflite-runtime"}) == Config()


def test_credentials_are_never_shown(written):
    path = written('output = "mqtt://me:hunter2@host"\n[[camera]]\nregion = ["rtsp://me:hunter2@cam/"]\n')
    assert "hunter2" not in " ".join(problems(path))


def test_credentials_are_not_in_what_an_error_might_print(written):
    path = written(
        '[mqtt]\nurl = "mqtt://me:hunter2@host"\npassword = "hunter2"\n[[camera]]\nsource = "rtsp://me:hunter2@cam/"\n'
    )
    config = load(path)
    assert "hunter2" not in repr(config) + repr(read(path))
    assert config.mqtt.password is not None
    assert config.mqtt.password.reveal() == "hunter2"
    assert "hunter2" not in as_set(read(path))


def test_a_password_of_the_wrong_kind_is_not_shown(written):
    assert problems(written("[mqtt]\npassword = 12345\n"))[0].endswith("mqtt.password is set, it must be text")


def test_a_password_file_that_others_can_read(written, tmp_path):
    secret = tmp_path / "password"
    secret.write_text("hunter2")
    secret.chmod(0o600)
    path = written('[mqtt]\npassword_file = "password"\n')
    assert read(path).config.mqtt.password_file == str(secret)
    assert read(path).warnings == []
    secret.chmod(0o644)
    assert read(path).warnings == [f"{secret}: can be read by other users; run: chmod o-rwx {secret}"]


def test_results_go_where_an_address_or_path_is_set_and_nowhere_else(written, tmp_path):
    config = Config()
    assert (config.file.path, config.mqtt.url, config.webhook.url) == (None, None, None)
    assert load(written('[file]\npath = "a.jsonl"\n')).file.path == str(tmp_path / "a.jsonl")
    assert load(None, {"EDGEHAR_FILE__PATH": "a.jsonl"}).file.path == "a.jsonl"


class Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    needed: int


class Root(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    table: Table | None = None


def test_a_table_that_is_off_when_not_there_and_a_key_that_must_be_set():
    found = []
    assert build(Root, {}, found) == Root()
    assert found == []
    assert build(Root, {"table": {}}, found) is None
    assert found == ["[table]: needed is missing; it must be a whole number"]


def test_a_file_with_credentials_that_others_can_read(written):
    path = written('[[camera]]\nsource = "rtsp://me:hunter2@cam/stream"\n')
    assert read(path).warnings == []
    path.chmod(0o604)
    (warning,) = read(path).warnings
    assert warning == f"{path}: holds camera[0].source and can be read by other users; run: chmod o-rwx {path}"
    assert read(path, {"EDGEHAR_CAMERA__0__SOURCE": "rtsp://me:hunter2@cam/stream"}).warnings == []


def test_it_is_looked_for_only_when_asked(tmp_path):
    environ = {"XDG_CONFIG_HOME": str(tmp_path)}
    assert find_config(None, environ) is None
    assert str(find_config("my.toml", environ)) == "my.toml"
    assert [str(path) for path in search_path({"HOME": "/home/me"})] == [
        "/home/me/.config/edgehar/config.toml",
        "/etc/edgehar/config.toml",
    ]
    (tmp_path / "edgehar").mkdir()
    (tmp_path / "edgehar/config.toml").touch()
    assert find_config("auto", environ) == tmp_path / "edgehar/config.toml"


@pytest.mark.skipif(Path("/etc/edgehar/config.toml").exists(), reason="this machine has a configuration")
def test_auto_without_any_file(tmp_path):
    with pytest.raises(ConfigError, match="create one with edgehar config init"):
        find_config("auto", {"XDG_CONFIG_HOME": str(tmp_path)})


def test_what_can_be_changed_in_a_running_program():
    old = Config()
    assert diff(old, old) == []
    replace = msgspec.structs.replace
    assert diff(old, replace(old, decision=DecisionOptions(k=1), output="text")) == [
        ("output", True),
        ("decision", True),
    ]
    assert diff(old, replace(old, model="other", threads=2)) == [("model", False), ("threads", False)]
    assert diff(old, replace(old, cameras=[CameraOptions(threshold=0.5)])) == [("camera", True)]
    assert diff(old, replace(old, cameras=[CameraOptions(region=(0, 0, 1, 1))])) == [("camera", True)]
    hours = CameraOptions(masks=(((0, 0), (1, 0), (1, 1)),), watch_hours=["sat"], record_hours=["sat"])
    assert diff(old, replace(old, cameras=[hours])) == [("camera", True)]
    assert diff(old, replace(old, cameras=[CameraOptions(name="a")])) == [("camera", False)]


@pytest.mark.parametrize(("path", "setting"), list(every_path(Config)), ids=lambda value: str(value)[:40])
def test_every_setting_is_described_and_its_default_is_one(path, setting):
    assert setting.description.endswith("."), path
    if setting.default not in (None, msgspec.NODEFAULT) and not setting.secret:
        read_back = tomllib.loads(f"value = {toml(setting.default)}")["value"]
        assert msgspec.convert(read_back, setting.kind) == setting.default


def test_the_tables_of_the_user_guide_are_those_of_the_schema():
    """If not: python -m edgehar.config docs/config.md."""
    page = (ROOT / "docs/config.md").read_text()
    assert renewed(page) == page
    assert BEGIN in page


def test_the_examples_of_the_user_guide_are_right(written):
    page = (ROOT / "docs/config.md").read_text()
    examples = re.findall(r"^```toml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert examples
    for example in examples:
        load(written(example))


def test_commands_read_the_state_of_the_service(tmp_path):
    """Not the home folder of root, under `sudo`; what was chosen goes first."""
    missing = tmp_path / "missing"
    assert with_service_state(Config(), {}, tmp_path).spool.directory == str(tmp_path)
    assert with_service_state(Config(), {}, missing).spool.directory is None
    for name in ("STATE_DIRECTORY", "XDG_STATE_HOME"):
        assert with_service_state(Config(), {name: "/srv"}, tmp_path).spool.directory is None
    chosen = Config(spool=SpoolOptions(directory="/srv"))
    assert with_service_state(chosen, {}, tmp_path).spool.directory == "/srv"
