"""`edgehar config` as a user runs it: written, checked, shown."""

import stat
import tomllib

import msgspec
import pytest
from support.helpers import assert_one_line_error, environment, run_command
from support.tiny_bundle import write_tiny_bundle

from edgehar.config import Config
from edgehar.model.bundle import installed_bundles


@pytest.fixture
def env(tmp_path):
    return environment(XDG_CONFIG_HOME=str(tmp_path / "home"))


def config(*arguments, env):
    return run_command("edgehar", "config", *arguments, env=env)


def test_a_sample_is_written_once_and_only_for_its_owner(tmp_path, env):
    done = config("init", env=env)
    path = tmp_path / "home/edgehar/config.toml"
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{path}: written; edit it, then: edgehar config check {path}\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert_one_line_error(config("init", env=env), 2, f"{path}: exists already; --force overwrites it")
    path.write_text("threads = 2\n")
    assert config("init", "--force", env=env).returncode == 0
    assert path.read_text() == config("init", "-", env=env).stdout
    assert [other.name for other in path.parent.iterdir()] == ["config.toml"]
    done = config("check", env=env)
    assert (done.returncode, done.stdout) == (0, f"{path}: ok, 1 camera, fight\n"), done.stderr


def test_a_folder_that_is_not_there(tmp_path, env):
    done = config("init", tmp_path / "none/config.toml", env=env)
    assert_one_line_error(done, 1, "No such file or directory")


def test_check_says_all_that_is_wrong(tmp_path, env):
    path = tmp_path / "my.toml"
    path.write_text('threds = 2\nhop = 0\nmodel = "none.edgehar"\n[[camera]]\nsource = "no.mp4"\nca_file = "no.pem"\n')
    done = config("check", path, env={**env, "EDGEHAR_OUTPUT": "xml"})
    assert done.returncode == 2
    names = ", ".join(bundle.stem for bundle in installed_bundles())
    assert done.stderr.splitlines() == [
        f"edgehar: {path}: threds is not a setting; did you mean threads?",
        f"edgehar: {path}: hop is 0, it must be a whole number from 1 to 100000",
        'edgehar: EDGEHAR_OUTPUT is "xml", it must be "jsonl", "none" or "text"',
        f"edgehar: {path}: camera[0].source: {tmp_path}/no.mp4: no such file or folder",
        f"edgehar: {path}: model: {tmp_path}/none.edgehar: no such model bundle; known names: {names}",
        f"edgehar: {path}: camera[0].ca_file: {tmp_path}/no.pem: no such file",
    ]


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("[decision]\nthresholds = { Fight = 0.5 }", "did you mean 'fight'?"),
        ("[[camera]]\nfps = 10", "did you mean rate_hz?"),
        ("[[camera]]\nURL = 'rtsp://cam/'", "did you mean source?"),
        ("Hop = 3", "did you mean hop?"),
        ("[mqtt]\npassword-file = 'x'", "did you mean password_file?"),
    ],
)
def test_a_key_is_guessed_by_its_meaning(tmp_path, env, text, meant):
    path = tmp_path / "my.toml"
    path.write_text(text)
    assert_one_line_error(config("check", path, env=env), 2, meant)


def test_a_file_that_windows_has_saved_is_read(tmp_path, env):
    path = tmp_path / "my.toml"
    path.write_bytes(b"\xef\xbb\xbfthreads = 2\r\n")
    assert config("check", path, env=env).returncode == 0


def test_check_looks_at_models_and_labels(tmp_path, env, tiny_bundle):
    path = tmp_path / "my.toml"
    path.write_text(f'model = "{tiny_bundle}"\nhop = 99\n[decision]\nthresholds = {{ brihgt = 0.5 }}\n')
    done = config("check", path, env=env)
    assert done.returncode == 2
    hop, labels = done.stderr.splitlines()
    assert "hop is 99, it must be a whole number from 1 to 4 (the window of tiny)" in hop
    assert "brihgt" in labels
    path.write_text('model = "none.edgehar"\n')
    assert_one_line_error(config("check", path, env=env), 2, f"{path}: model: {tmp_path / 'none.edgehar'}: no such")


def test_check_looks_at_the_broker_s_address_and_files(tmp_path, env):
    path = tmp_path / "my.toml"
    path.write_text('[mqtt]\nurl = "http://broker/"\n')
    assert_one_line_error(config("check", path, env=env), 2, f"{path}: mqtt: the address must begin with mqtt://")
    path.write_text('[mqtt]\nurl = "mqtts://me@broker/"\nca_file = "ca.pem"\n')
    missing = tmp_path / "ca.pem"
    assert_one_line_error(config("check", path, env=env), 2, f"{path}: mqtt.ca_file: {missing}: no such file")


def test_check_looks_at_the_web_server_s_address(tmp_path, env):
    path = tmp_path / "my.toml"
    path.write_text('[webhook]\nurl = "ftp://host/hunter2"\n')
    path.chmod(0o600)
    done = config("check", path, env=env)
    assert_one_line_error(done, 2, f"{path}: webhook: the address must be http:// or https://")
    assert "hunter2" not in done.stderr


def test_show_masks_what_is_secret_and_says_who_set_what(tmp_path, env):
    path = tmp_path / "my.toml"
    path.write_text('threads = 2\n[[camera]]\nsource = "rtsp://me:hunter2@cam/stream?password=hunter2"\n')
    path.chmod(0o604)
    done = config("show", path, env={**env, "EDGEHAR_DECISION__THRESHOLD": "0.5"})
    assert done.returncode == 0, done.stderr
    assert "hunter2" not in done.stdout + done.stderr
    assert "can be read by other users; run: chmod o-rwx" in done.stderr
    lines = done.stdout.splitlines()
    assert f"threads = 2  # {path}" in lines
    assert f'source = "rtsp://cam/stream"  # {path}' in lines
    assert "threshold = 0.5  # EDGEHAR_DECISION__THRESHOLD" in lines
    assert 'model = "fight"  # default' in lines
    assert "# hop is not set" in lines
    # It is a configuration itself.
    assert msgspec.convert(tomllib.loads(done.stdout), Config).threads == 2


def test_show_without_a_file(env):
    done = config("show", env=env)
    assert done.returncode == 0
    assert done.stdout.startswith("# no file\n")


def test_help_is_not_slowed_down_by_it(env):
    code = "import sys; from edgehar.cli.main import main\ntry: main(['config', '--help'])\nexcept SystemExit: pass\n"
    check = "assert not {'numpy', 'msgspec', 'edgehar.config'} & set(sys.modules), sys.modules"
    done = run_command("python", "-c", code + check, env=env)
    assert done.returncode == 0, done.stderr


def test_show_says_which_rules_are_in_force(tmp_path, env, tiny_bundle):
    """Those of the model, where the configuration says nothing."""
    ruled = write_tiny_bundle(tmp_path / "ruled.edgehar", background=["dark"], smoothing="ema", ema_seconds=3.0)
    path = tmp_path / "my.toml"
    path.write_text(
        f'model = "{ruled}"\n[decision]\nhysteresis = 0.1\n[[camera]]\nname = "hall"\n'
        f'[[camera]]\nname = "yard"\nmodel = "{tiny_bundle}"\nthreshold = 0.6\n'
        '[[camera]]\nname = "gate"\nmodel = "none"\n'
    )
    done = config("show", path, env=env)
    assert done.returncode == 0, done.stderr
    rules = [line for line in done.stdout.splitlines() if line.startswith("# rules of")]
    assert rules[0].startswith(f"# rules of hall, with those of {ruled}: threshold=0 smoothing=ema start_from=score ")
    assert rules[0].endswith(" ema_seconds=3 hysteresis=0.1")
    assert rules[1] == f"# rules of yard, with those of {tiny_bundle}: threshold=0.6 hysteresis=0.1"
    assert "unknown model 'none'" in rules[2]
