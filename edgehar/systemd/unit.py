"""The systemd unit that runs `edgehar-run` unattended: its path, its text, and checks before it is installed."""

from __future__ import annotations

import os
import pwd
import re
import stat
import sys
from dataclasses import dataclass
from pathlib import Path

from edgehar.errors import ConfigError

UNIT = "edgehar.service"
STATE = Path("/var/lib/edgehar")
ENVIRONMENT_FILE = Path("/etc/edgehar/environment")
_SYSTEM_UNITS, _USER_UNITS = Path("etc/systemd/system"), Path("systemd/user")
_PACKAGED_UNITS = Path("usr/lib/systemd/system")
# If no camera gives frames for this long, systemd restarts the program, which helps some USB cameras.
WATCHDOG_S = 180
_USER_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,30}")
_HOMES = (Path("/home"), Path("/root"))
# Readable by everyone, or for folders: accessible.
_READ, _PASS = stat.S_IROTH, stat.S_IXOTH


@dataclass(frozen=True)
class Service:
    """A service.

    Attributes:
        command: path of edgehar-run.
        config: path of the configuration.
        user: whether it is a service of the user's own systemd instead of the machine's.
        run_as: user of a machine's service; None for a dynamic user.
    """

    command: Path
    config: Path
    user: bool = False
    run_as: str | None = None

    def unit(self) -> str:
        """Return the text of the unit file. Raises ConfigError if a path or name cannot be written in it."""
        if self.run_as is not None and not _USER_NAME.fullmatch(self.run_as):
            raise ConfigError(f"{self.run_as!r} is not a valid user name; give an existing user to --run-as")
        run = f"{_plain(self.command)} --config {_quoted(self.config)}"
        if self.user:
            return _UNIT.format(scope="--user ", order="", run=run, of_kind=_OF_USER, target="default.target")
        of_kind = _OF_MACHINE.format(
            environment=ENVIRONMENT_FILE,
            who="DynamicUser=yes" if self.run_as is None else f"User={self.run_as}",
            home="read-only" if self._in_a_home() else "yes",
        )
        return _UNIT.format(scope="", order=_AFTER_NETWORK, run=run, of_kind=of_kind, target="multi-user.target")

    def problems(self) -> list[str]:
        """Return what would keep the service from running, each with its fix."""
        found = [f"{path}: no such file{hint}" for path, hint in self._files() if not path.is_file()]
        if found or self.user:
            return found
        if self.run_as is not None:
            return (
                [] if _is_user(self.run_as) else [f"there is no user {self.run_as}; give an existing user to --run-as"]
            )
        python = Path(sys.executable).resolve()
        return [
            f"the dynamic user of the service cannot access {closed}; {hint}, or add --run-as USER"
            for path, hint in (
                (self.command, "install edgehar under /opt"),
                (python, "create its virtual environment with the system's Python"),
                (self.config, f"chmod 644 it, with passwords in {ENVIRONMENT_FILE} only"),
            )
            if (closed := _closed_part(path)) is not None
        ]

    def _files(self) -> tuple[tuple[Path, str], ...]:
        return (
            (self.command, "; reinstall edgehar"),
            (self.config, f"; create one with: edgehar config init {self.config}"),
        )

    def _in_a_home(self) -> bool:
        paths = (self.command, self.config, Path(sys.executable).resolve())
        return any(path.is_relative_to(home) for path in paths for home in _HOMES)


def unit_path(*, user: bool, root: Path = Path("/")) -> Path:
    """Return the path of the unit file: below `root` for the machine, below the home for a user."""
    if not user:
        return root / _SYSTEM_UNITS / UNIT
    given = Path(os.environ.get("XDG_CONFIG_HOME", ""))
    return (given if given.is_absolute() else Path("~/.config").expanduser()) / _USER_UNITS / UNIT


def packaged_unit(root: Path = Path("/")) -> Path | None:
    """Return the path of the unit that a Debian package has installed, or None."""
    path = root / _PACKAGED_UNITS / UNIT
    return path if path.exists() else None


def _closed_part(path: Path) -> Path | None:
    """Return the first part of a path that not everyone may access."""
    for folder in reversed(path.parents):
        if not folder.stat().st_mode & _PASS:
            return folder
    return None if path.stat().st_mode & _READ else path


def _is_user(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def _plain(path: Path) -> str:
    """Return the path of a command, in which systemd allows few characters."""
    if not re.fullmatch(r"[\w/.+,:@=-]+", str(path)):
        raise ConfigError(f"{path}: systemd allows no such characters in the path of a command; install elsewhere")
    return str(path)


def _quoted(path: Path) -> str:
    """Return a path as a word of ExecStart, with specifiers, variables and quotes escaped."""
    if re.search(r"[\x00-\x1f\x7f]", str(path)):
        raise ConfigError(f"{str(path)!r}: systemd allows no control characters in a path; choose another path")
    text = str(path).replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return text if re.fullmatch(r"[\w/.$%+,:@=-]+", text) else f'"{text}"'


_UNIT = """\
# Make changes with: systemctl {scope}edit edgehar
[Unit]
Description=edgehar: human action recognition
{order}# Restart without limit, however often it fails.
StartLimitIntervalSec=0

[Service]
Type=notify
ExecStart={run}
ExecReload=/bin/kill -HUP $MAINPID
Restart=on-failure
RestartSec=5
# Exit code 2 is wrong usage or configuration: a restart would not fix it.
RestartPreventExitStatus=2
# Fed only while frames arrive and are classified. A clean end is tried first.
WatchdogSec={watchdog_s}
WatchdogSignal=SIGTERM
TimeoutStopSec=15
# Results go to the configured outputs: several lines per second would wear out the SD card under the journal.
StandardOutput=null
StandardError=journal
# A hostile stream or file must not take the memory of the whole machine.
MemoryMax=75%
OOMPolicy=stop
CacheDirectory=edgehar
UMask=0077
NoNewPrivileges=yes
LockPersonality=yes
RestrictRealtime=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
SystemCallArchitectures=native
{of_kind}
[Install]
WantedBy={target}
""".replace("{watchdog_s}", str(WATCHDOG_S))

_AFTER_NETWORK = """\
Wants=network-online.target
After=network-online.target time-sync.target
"""

# For a user's own systemd, without privileges.
_OF_USER = """\
EnvironmentFile=-%E/edgehar/environment
"""

# No DeviceAllow list, because the devices that libcamera needs differ between boards. ProtectClock and PrivateDevices
# would hide them as well. The group decides.
_OF_MACHINE = """\
# Passwords such as EDGEHAR_MQTT_PASSWORD=...; the file belongs to root, with mode 600.
EnvironmentFile=-{environment}
{who}
SupplementaryGroups=video
StateDirectory=edgehar
StateDirectoryMode=0700
ProtectSystem=strict
ProtectHome={home}
PrivateTmp=yes
CapabilityBoundingSet=
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectProc=invisible
RestrictNamespaces=yes
RestrictSUIDSGID=yes
RemoveIPC=yes
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
"""
