"""Build a Debian package of edgehar: .venv/bin/python scripts/release/deb.py [--arch arm64] [--suite bookworm] [--slim]

The package holds a virtual environment in /opt/edgehar for the release's own Python, the commands in /usr/bin, a
systemd unit that runs as the user `edgehar`, and /etc/edgehar/config.toml, which an upgrade keeps. It is written to
dist/. --slim builds edgehar-slim, without OpenCV: for network cameras, files and camera modules. The wheel must be in
dist/ (wheels.sh). Nothing of the other architecture is run, so any Linux with pip and dpkg-deb builds all packages.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from environment import MACHINES, Target, make

from edgehar._version import __version__
from edgehar.config.pages import sample
from edgehar.systemd.unit import Service

ROOT = Path(__file__).resolve().parents[2]
# Python of each release, and what else pip must know: picamera2 of bookworm is built for numpy 1.
SUITES = {"bookworm": ("3.11", ["numpy<2"]), "trixie": ("3.13", [])}
# By slim: messages and signatures bring 40 MB of libraries.
EXTRAS = {False: "[web,notify,seal,sign]", True: "[web,seal]"}
COMMANDS = ("edgehar", "edgehar-run")
USER = "edgehar"

_CONTROL = """\
Package: {name}
Version: {version}
Architecture: {arch}
Maintainer: edgehar <edgehar@localhost>
Installed-Size: {size_kb}
Depends: python{python}, libstdc++6, ca-certificates, systemd
Suggests: python3-picamera2
{relations}Section: video
Priority: optional
Description: human action recognition on small computers{variant}
 Watches cameras, recognizes actions such as fights with a compact network, and reports
 events over MQTT or a webhook. Runs on the device alone, without a cloud.
"""
_SYSUSERS = f"""\
u {USER} - "edgehar" /var/lib/edgehar
m {USER} video
"""
_POSTINST = f"""\
#!/bin/sh
set -e
if [ "$1" = configure ]; then
    systemd-sysusers edgehar.conf
    # The configuration may hold addresses of cameras with passwords: only root and the service read it.
    if [ -z "$2" ]; then
        chgrp {USER} /etc/edgehar /etc/edgehar/config.toml
    fi
    if [ -d /run/systemd/system ]; then
        systemctl daemon-reload
        systemctl try-restart edgehar.service || true
    fi
    if [ -z "$2" ]; then
        echo "edgehar: edit /etc/edgehar/config.toml, then run: sudo systemctl enable --now edgehar"
    fi
fi
"""
_PRERM = """\
#!/bin/sh
set -e
if [ "$1" = remove ] && [ -d /run/systemd/system ]; then
    systemctl disable --now edgehar.service || true
fi
"""
_POSTRM = f"""\
#!/bin/sh
set -e
if [ "$1" = remove ] || [ "$1" = purge ]; then
    # Byte code that Python wrote, and links that systemctl made.
    rm -rf /opt/edgehar
    rm -f /etc/systemd/system/multi-user.target.wants/edgehar.service
    if [ -d /run/systemd/system ]; then
        systemctl daemon-reload || true
    fi
fi
if [ "$1" = purge ]; then
    rm -rf /etc/edgehar /etc/systemd/system/edgehar.service.d /var/lib/edgehar /var/cache/edgehar
    if getent passwd {USER} >/dev/null; then
        userdel {USER} || true
    fi
fi
"""


def lay_out(tree: Path, wheel: Path, target: Target, constraints: list[str], *, slim: bool) -> None:
    """Write the files of the package below `tree`."""
    make(target, [f"{wheel}{EXTRAS[slim]}", *constraints], tree / "opt" / "edgehar", slim=slim)
    unit = Service(Path("/opt/edgehar/bin/edgehar-run"), Path("/etc/edgehar/config.toml"), run_as=USER).unit()
    files = {
        "usr/lib/systemd/system/edgehar.service": (unit, 0o644),
        "usr/lib/sysusers.d/edgehar.conf": (_SYSUSERS, 0o644),
        "etc/edgehar/config.toml": (sample(), 0o640),
        "usr/share/doc/edgehar/copyright": ((ROOT / "LICENSE").read_text(), 0o644),
        "DEBIAN/conffiles": ("/etc/edgehar/config.toml\n", 0o644),
        "DEBIAN/postinst": (_POSTINST, 0o755),
        "DEBIAN/prerm": (_PRERM, 0o755),
        "DEBIAN/postrm": (_POSTRM, 0o755),
    }
    for name, (text, mode) in files.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text)
        (tree / name).chmod(mode)
    (tree / "etc" / "edgehar").chmod(0o750)
    (tree / "usr" / "bin").mkdir()
    for command in COMMANDS:
        (tree / "usr" / "bin" / command).symlink_to(f"/opt/edgehar/bin/{command}")


def control(arch: str, suite: str, size_kb: int, *, slim: bool) -> str:
    """Return the control file."""
    name, other = ("edgehar-slim", "edgehar") if slim else ("edgehar", "edgehar-slim")
    relations = f"Conflicts: {other}\nReplaces: {other}\n" + (f"Provides: {other}\n" if slim else "")
    return _CONTROL.format(
        name=name, version=f"{__version__}+{suite}", arch=arch, size_kb=size_kb, python=SUITES[suite][0],
        relations=relations, variant=" (without OpenCV)" if slim else "",
    )  # fmt: skip


def size_kb(tree: Path) -> int:
    """Return the size of all files, in units of 1024 bytes, each rounded up to a block of 4096."""
    files = [path for path in tree.rglob("*") if path.is_file() and not path.is_symlink()]
    return sum(-(-path.stat().st_size // 4096) * 4 for path in files)


def build(arch: str, suite: str, *, slim: bool) -> Path:
    """Build a package; returns its path in dist/."""
    wheels = sorted((ROOT / "dist").glob(f"edgehar-*{MACHINES[arch]}.whl"))
    if not wheels:
        raise SystemExit(f"deb.py: no wheel in dist/; run: scripts/release/wheels.sh {MACHINES[arch]}")
    python, constraints = SUITES[suite]
    work = ROOT / "build" / "deb"
    work.mkdir(parents=True, exist_ok=True)
    tree = Path(tempfile.mkdtemp(dir=work))
    try:
        tree.chmod(0o755)
        lay_out(tree, wheels[-1], Target(MACHINES[arch], python), constraints, slim=slim)
        (tree / "DEBIAN" / "control").write_text(control(arch, suite, size_kb(tree), slim=slim))
        name = f"edgehar{'-slim' if slim else ''}_{__version__}+{suite}_{arch}.deb"
        whole = work / name
        command = ["dpkg-deb", "--root-owner-group", "-Zzstd", "-z9", "--build", str(tree), str(whole)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return whole.rename(ROOT / "dist" / name)
    finally:
        shutil.rmtree(tree)


def main() -> None:
    """Build the package that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arch", choices=MACHINES, default="arm64", help="architecture (arm64)")
    parser.add_argument("--suite", choices=SUITES, default="bookworm", help="Debian release (bookworm)")
    parser.add_argument("--slim", action="store_true", help="edgehar-slim, without OpenCV")
    args = parser.parse_args()
    # Readable by everybody, whatever this user's own umask is.
    os.umask(0o022)
    path = build(args.arch, args.suite, slim=args.slim)
    print(f"{path}: {path.stat().st_size / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
