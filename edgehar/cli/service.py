"""`edgehar service`: run `edgehar-run` as a systemd service, from boot, restarted after failures."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

from edgehar.cli.common import EXIT_DONE, EXIT_FAILED
from edgehar.errors import ConfigError, EdgeharError

if TYPE_CHECKING:
    from typing import Any

# More than the 90 s after which systemd itself gives up a start.
_TIMEOUT_S = 120.0
# Properties of systemd for `status`, and their names in the output.
_PROPERTIES = {
    "ActiveState": "state",
    "SubState": "more",
    "StatusText": "status",
    "MainPID": "process",
    "NRestarts": "restarts",
    "ActiveEnterTimestamp": "since",
    "MemoryCurrent": "memory in bytes",
}
_NOTHING = {"", "0", "[not set]", "18446744073709551615"}


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser("service", help="install, remove or show the systemd service", description=__doc__)
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    install = _add_action(actions, "install", "write the unit, and start it now and at boot", _install)
    install.add_argument(
        "--config",
        metavar="FILE",
        help="configuration (default: /etc/edgehar/config.toml; with --user ~/.config/edgehar/config.toml)",
    )
    install.add_argument("--run-as", metavar="USER", help="run as this user instead of a dynamic one")
    install.add_argument("--print", action="store_true", help="only print the unit")
    _add_action(actions, "uninstall", "stop it and remove the unit; configuration and undelivered events stay", _remove)
    _add_action(actions, "status", "show whether it runs; exit code 1 if not", _status)


def _add_action(actions: Any, name: str, what: str, run: Any) -> argparse.ArgumentParser:
    action: argparse.ArgumentParser = actions.add_parser(name, help=what, description=f"{what.capitalize()}.")
    where = action.add_mutually_exclusive_group()
    where.add_argument("--user", action="store_true", help="as a service of your user, without root")
    where.add_argument("--root", type=Path, metavar="DIR", help="in a disk image of another machine, mounted at DIR")
    action.set_defaults(run=run)
    return action


def _install(args: argparse.Namespace) -> int:
    from edgehar.systemd.unit import Service, packaged_unit

    if args.run_as is not None and args.user:
        raise ConfigError("--run-as is for a service of the machine; a service of your user runs as you")
    own = args.user or args.config or args.run_as or args.print
    if not own and (packaged := packaged_unit(args.root or Path("/"))) is not None:
        print(f"{packaged}: belongs to the package")
        return _start(args, packaged)
    service = Service(_command(), _config(args), args.user, args.run_as)
    text = service.unit()
    if args.print:
        print(text, end="")
        return EXIT_DONE
    if args.root is None and (problems := service.problems()):
        raise ConfigError("; and ".join(problems))
    return _start(args, _write(args, text))


def _write(args: argparse.Namespace, text: str) -> Path:
    """Write the unit and return its path."""
    from edgehar.files import write_text
    from edgehar.systemd.unit import unit_path

    path = unit_path(user=args.user, root=args.root or Path("/"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, text)
        path.chmod(0o644)
    except PermissionError as error:
        raise EdgeharError(f"{path}: no permission to write there; {_as_root(args)}") from error
    print(f"{path}: written")
    return path


def _start(args: argparse.Namespace, path: Path) -> int:
    """Enable and start a unit."""
    _systemctl(args, "daemon-reload")
    _systemctl(args, "enable", path.name)
    _systemctl(args, "restart", path.name)
    if args.root is None:
        scope = "--user " if args.user else ""
        print(f"{path.name}: enabled and started; its log: journalctl {scope}-u edgehar")
    if args.user:
        print("it ends when you log out; to keep it running: loginctl enable-linger")
    return EXIT_DONE


def _remove(args: argparse.Namespace) -> int:
    from edgehar.systemd.unit import ENVIRONMENT_FILE, STATE, packaged_unit, unit_path

    root = args.root or Path("/")
    path = unit_path(user=args.user, root=root)
    if not path.exists() and not args.user and (packaged := packaged_unit(root)) is not None:
        fix = "sudo systemctl disable --now edgehar (or: sudo apt remove edgehar)"
        raise ConfigError(f"{packaged}: belongs to the package; run: {fix}")
    if not path.exists():
        raise ConfigError(
            f"{path}: does not exist; {'nothing' if args.user else 'no service of the machine'} is installed"
        )
    if not os.access(path.parent, os.W_OK):
        raise EdgeharError(f"{path}: no permission to remove it; {_as_root(args)}")
    _systemctl(args, "disable", "--now", path.name)
    path.unlink()
    _systemctl(args, "daemon-reload")
    kept = "~/.config/edgehar and ~/.local/state/edgehar" if args.user else f"{ENVIRONMENT_FILE.parent} and {STATE}"
    print(f"{path}: removed; {kept} stay")
    return EXIT_DONE


def _status(args: argparse.Namespace) -> int:
    from edgehar.systemd.unit import packaged_unit, unit_path

    root = args.root or Path("/")
    path = unit_path(user=args.user, root=root)
    if not path.exists() and not args.user:
        path = packaged_unit(root) or path
    if not path.exists():
        print(f"not installed ({path} does not exist)")
        return EXIT_FAILED
    print(f"unit: {path}")
    if args.root is not None:
        return EXIT_DONE
    answer = _systemctl(args, "show", f"--property={','.join(_PROPERTIES)}", path.name)
    values = dict(line.partition("=")[::2] for line in answer.splitlines())
    for name, shown in _PROPERTIES.items():
        if values.get(name, "") not in _NOTHING:
            print(f"{shown}: {values[name]}")
    return EXIT_DONE if values.get("ActiveState") in ("active", "reloading") else EXIT_FAILED


def _command() -> Path:
    """Return the edgehar-run of this installation."""
    beside = Path(sysconfig.get_path("scripts")) / "edgehar-run"
    found = beside if beside.is_file() else shutil.which("edgehar-run")
    if found is None:
        raise EdgeharError(f"{beside}: command not found; reinstall edgehar")
    return Path(found)


def _config(args: argparse.Namespace) -> Path:
    from edgehar.config import search_path

    of_user, of_machine = search_path(os.environ)
    return Path(args.config).absolute() if args.config else (of_user if args.user else of_machine)


def _as_root(args: argparse.Namespace) -> str:
    again = f"sudo {Path(sys.argv[0]).absolute()} service {args.action}"
    return "check its owner" if args.user or args.root else f"run: {again} (or use --user)"


def _systemctl(args: argparse.Namespace, action: str, *words: str) -> str:
    """Run systemctl and return its output. For a disk image, only enable and disable are run."""
    command = ["systemctl", *(["--user"] if args.user else []), action, *words]
    if args.root is not None:
        if action not in ("enable", "disable"):
            return ""
        command = ["systemctl", f"--root={args.root}", action, words[-1]]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)  # noqa: S603
    except FileNotFoundError:
        raise EdgeharError("systemctl not found: this machine does not run systemd") from None
    except subprocess.TimeoutExpired:
        raise EdgeharError(f"{' '.join(command)}: no answer in {_TIMEOUT_S:.0f} s; see journalctl -xe") from None
    if answer.returncode:
        why = " ".join(answer.stderr.split()) or f"exit code {answer.returncode}"
        raise EdgeharError(f"{' '.join(command)}: {why}")
    return answer.stdout
