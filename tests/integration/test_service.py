"""`edgehar service`: the unit as systemd reads it, and what is done with it, never outside a temporary folder."""

import getpass
import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from support.helpers import COMMANDS, environment, run_command

from edgehar.errors import ConfigError
from edgehar.systemd.unit import Service, unit_path

needs_analyze = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
RUN = COMMANDS / "edgehar-run"

_SYSTEMCTL = """#!/bin/sh
echo "$@" >> "$CALLS"
case "$*" in *show*) printf '%s' "$ANSWER";; *"$FAIL_ON"*) [ -n "$FAIL_ON" ] && { echo "no bus" >&2; exit 1; };; esac
exit 0
"""


class Systemctl:
    """A stand-in that notes how it is called."""

    def __init__(self, folder):
        self.folder, self.calls_file = folder / "bin", folder / "calls"
        self.folder.mkdir()
        script = self.folder / "systemctl"
        script.write_text(_SYSTEMCTL)
        script.chmod(0o755)

    def service(self, home, *arguments, answer="", fail_on=""):
        self.calls_file.write_text("")
        env = environment(
            PATH=f"{self.folder}:{os.environ['PATH']}", CALLS=str(self.calls_file), ANSWER=answer, FAIL_ON=fail_on,
            HOME=str(home), XDG_CONFIG_HOME=str(home / "config"),
        )  # fmt: skip
        return run_command("edgehar", "service", *arguments, env=env)

    @property
    def calls(self):
        return self.calls_file.read_text().splitlines()


@pytest.fixture
def systemctl(tmp_path):
    return Systemctl(tmp_path)


@pytest.fixture
def home(tmp_path):
    home = tmp_path / "home"
    (home / "config" / "edgehar").mkdir(parents=True)
    (home / "config" / "edgehar" / "config.toml").touch(mode=0o600)
    return home


def unit_of(home):
    return home / "config/systemd/user/edgehar.service"


@pytest.mark.parametrize(
    "service",
    [
        Service(RUN, Path("/etc/edgehar/config.toml")),
        Service(RUN, Path("/etc/edgehar/config.toml"), run_as=getpass.getuser()),
        Service(RUN, Path("/home/ann/.config/edgehar/config.toml"), user=True),
        Service(RUN, Path('/etc/edge har/a"b\\c$d%n.toml')),
    ],
    ids=["machine", "run-as", "user", "odd path"],
)
@needs_analyze
def test_systemd_understands_the_unit(service, tmp_path):
    unit = tmp_path / "edgehar.service"
    unit.write_text(service.unit())
    scope = ["--user"] if service.user else []
    env = environment(XDG_RUNTIME_DIR=str(tmp_path))
    done = subprocess.run(
        ["systemd-analyze", *scope, "verify", "--man=no", unit], capture_output=True, text=True, check=False, env=env
    )
    if "Failed to initialize manager" in done.stderr:
        pytest.skip(f"systemd-analyze cannot work here: {done.stderr}")
    # Whatever else is installed on this machine is none of our business.
    assert [line for line in done.stderr.splitlines() if "edgehar" in line] == []
    assert done.returncode == 0 or "edgehar" not in done.stderr


@needs_analyze
def test_the_sandbox_is_rated_well(tmp_path):
    unit = tmp_path / "edgehar.service"
    unit.write_text(Service(RUN, Path("/etc/edgehar/config.toml")).unit())
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=25", "--no-pager", unit],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if "unrecognized option" in done.stderr:
        pytest.skip("this systemd-analyze is too old")
    assert done.returncode == 0, done.stdout[-300:] + done.stderr


def test_the_unit_says_what_a_long_run_needs(monkeypatch):
    monkeypatch.setattr("sys.executable", "/usr/bin/python3")
    lines = Service(RUN, Path("/etc/edgehar/config.toml")).unit().splitlines()
    for line in (
        "Type=notify",
        f"ExecStart={RUN} --config /etc/edgehar/config.toml",
        "Restart=on-failure",
        "MemoryMax=75%",
        "RestartPreventExitStatus=2",
        "StartLimitIntervalSec=0",
        "DynamicUser=yes",
        "SupplementaryGroups=video",
        "ProtectHome=yes",
        "StateDirectory=edgehar",
    ):
        assert line in lines
    of_ann = Service(RUN, Path("/home/ann/config.toml"), run_as="ann").unit()
    assert "User=ann\n" in of_ann
    assert "DynamicUser" not in of_ann
    assert "ProtectHome=read-only" in of_ann
    of_user = Service(RUN, Path("/home/ann/config.toml"), user=True).unit()
    assert "WantedBy=default.target" in of_user
    assert "SupplementaryGroups" not in of_user


def test_words_of_the_unit_cannot_be_smuggled():
    odd = Service(RUN, Path('/a b/"$HOME"%n\\.toml')).unit()
    assert "ExecStart=" + f'{RUN} --config "/a b/\\"$$HOME\\"%%n\\\\.toml"' in odd.splitlines()
    with pytest.raises(ConfigError, match="control characters"):
        Service(RUN, Path("/a\nExecStartPre=/bin/evil")).unit()
    with pytest.raises(ConfigError, match="is not a valid user name"):
        Service(RUN, Path("/a"), run_as="ann\nEnvironment=X=1").unit()
    with pytest.raises(ConfigError, match="install elsewhere"):
        Service(Path("/opt/edge har/bin/edgehar-run"), Path("/a")).unit()


def test_a_service_of_ones_own_from_install_to_uninstall(home, systemctl):
    done = systemctl.service(home, "install", "--user")
    unit = unit_of(home)
    assert (done.returncode, done.stderr) == (0, "")
    assert systemctl.calls == [
        "--user daemon-reload",
        "--user enable edgehar.service",
        "--user restart edgehar.service",
    ]
    assert stat.S_IMODE(unit.stat().st_mode) == 0o644
    assert f"--config {home}/config/edgehar/config.toml" in unit.read_text()
    assert "loginctl enable-linger" in done.stdout

    answer = "ActiveState=active\nSubState=running\nStatusText=hall: running, 25.0 frames/s\nMainPID=12\nNRestarts=0\n"
    done = systemctl.service(home, "status", "--user", answer=answer)
    assert done.returncode == 0
    assert "state: active\nmore: running\nstatus: hall: running, 25.0 frames/s\nprocess: 12\n" in done.stdout
    done = systemctl.service(home, "status", "--user", answer="ActiveState=failed\nSubState=failed\nMainPID=0\n")
    assert (done.returncode, done.stdout.splitlines()[1:]) == (1, ["state: failed", "more: failed"])

    done = systemctl.service(home, "uninstall", "--user")
    assert (done.returncode, unit.exists()) == (0, False)
    assert systemctl.calls == ["--user disable --now edgehar.service", "--user daemon-reload"]
    assert (home / "config/edgehar/config.toml").exists()
    assert systemctl.service(home, "status", "--user").returncode == 1
    again = systemctl.service(home, "uninstall", "--user")
    assert (again.returncode, again.stderr.count("\n")) == (2, 1)


def test_installing_twice_replaces_the_unit(home, systemctl):
    systemctl.service(home, "install", "--user")
    other = home / "other.toml"
    other.touch()
    assert systemctl.service(home, "install", "--user", "--config", other).returncode == 0
    assert f"--config {other}" in unit_of(home).read_text()
    assert [path.name for path in unit_of(home).parent.iterdir()] == ["edgehar.service"]


def test_without_a_configuration_nothing_is_written(home, systemctl):
    done = systemctl.service(home, "install", "--user", "--config", home / "gone.toml")
    assert done.returncode == 2
    assert done.stderr == (
        f"edgehar: {home}/gone.toml: no such file; create one with: edgehar config init {home}/gone.toml\n"
    )
    assert not unit_of(home).exists()
    assert systemctl.calls == []


def test_a_systemctl_that_fails_is_one_line(home, systemctl):
    done = systemctl.service(home, "install", "--user", fail_on="restart")
    assert (done.returncode, done.stderr) == (1, "edgehar: systemctl --user restart edgehar.service: no bus\n")
    assert unit_of(home).exists()


def test_options_that_contradict_each_other(home, systemctl, tmp_path):
    assert systemctl.service(home, "install", "--user", "--run-as", "ann").returncode == 2
    assert systemctl.service(home, "install", "--user", "--root", tmp_path).returncode == 2
    assert systemctl.calls == []


def test_print_writes_nothing(home, systemctl):
    done = systemctl.service(home, "install", "--print", "--config", "/etc/x.toml")
    assert (done.returncode, systemctl.calls) == (0, [])
    assert done.stdout == Service(RUN, Path("/etc/x.toml")).unit()


@pytest.mark.skipif(shutil.which("systemctl") is None, reason="needs systemctl")
def test_an_image_of_a_card_is_prepared_with_the_real_systemctl(tmp_path):
    done = run_command("edgehar", "service", "install", "--root", tmp_path)
    assert done.returncode == 0, done.stderr
    unit = unit_path(user=False, root=tmp_path)
    assert unit == tmp_path / "etc/systemd/system/edgehar.service"
    link = tmp_path / "etc/systemd/system/multi-user.target.wants/edgehar.service"
    assert link.is_symlink()
    assert run_command("edgehar", "service", "status", "--root", tmp_path).returncode == 0
    assert run_command("edgehar", "service", "uninstall", "--root", tmp_path).returncode == 0
    assert not unit.exists()
    assert not link.is_symlink()


def test_the_unit_of_a_debian_package_is_used_as_it_is(home, systemctl, tmp_path):
    root = tmp_path / "card"
    unit = root / "usr" / "lib" / "systemd" / "system" / "edgehar.service"
    unit.parent.mkdir(parents=True)
    unit.write_text("[Service]\n")
    done = systemctl.service(home, "install", "--root", root)
    assert done.returncode == 0, done.stderr
    assert systemctl.calls == [f"--root={root} enable edgehar.service"]
    assert not (root / "etc").exists()
    assert systemctl.service(home, "status", "--root", root).stdout == f"unit: {unit}\n"
    done = systemctl.service(home, "uninstall", "--root", root)
    assert done.returncode == 2
    assert "belongs to the package; run: sudo systemctl disable --now edgehar" in done.stderr
    assert unit.exists()


def test_what_the_service_could_not_reach_is_said(tmp_path):
    command, config = tmp_path / "opt" / "edgehar-run", tmp_path / "config.toml"
    command.parent.mkdir()
    command.touch()
    config.touch(mode=0o600)
    (problem, *_) = Service(command, config).problems()
    # pytest's own folders are closed to others.
    assert "; install edgehar under /opt, or add" in problem
    assert Service(command, config, run_as=getpass.getuser()).problems() == []
    assert Service(command, config, run_as="no-such-user-1").problems() == [
        "there is no user no-such-user-1; give an existing user to --run-as"
    ]
    assert Service(command, config, user=True).problems() == []


def test_a_configuration_with_mode_600_is_told_to_whoever_installs(tmp_path, monkeypatch):
    config = Path("/usr/lib/os-release")
    monkeypatch.setattr("edgehar.systemd.unit._closed_part", lambda path: path if path == config else None)
    (problem,) = Service(Path("/usr/bin/env"), config).problems()
    assert problem.startswith(f"the dynamic user of the service cannot access {config}; chmod 644 it, with ")
