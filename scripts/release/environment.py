"""Make edgehar's virtual environment for a device of any 64-bit architecture, without running anything of it.

    python3 scripts/release/environment.py [--arch arm64] [--python 3.11] [--slim] dist/edgehar-*aarch64.whl OUT
    python3 scripts/release/environment.py --download dist/edgehar-*aarch64.whl FOLDER      only download the wheels

OUT becomes a copy of /opt/edgehar on a Debian whose /usr/bin/python3.11 (or --python) it uses: `pip install --target`
takes the wheels of the other architecture as they are, and paths inside are those on the device. Byte code is
included if that Python is here too (any architecture writes the same). --slim leaves out OpenCV and parts of packages
that edgehar never imports.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
# glibc 2.36, of Debian 12. The older tags are those that wheels carry.
_GLIBC_MINOR = range(17, 37)
# Below site-packages: tests, headers, and compilers and drivers for other chips, none of which edgehar loads.
UNUSED = (
    "ai_edge_litert/*_pb2.py",
    "ai_edge_litert/aot",
    "ai_edge_litert/libLiteRtWebGpuAccelerator.so",
    "ai_edge_litert/schema_py_generated.py",
    "ai_edge_litert/tools",
    "ai_edge_litert/vendors",
    "av/include",
    "av/**/*.pxd",
    "av/**/*.pyx",
    "google/protobuf",
    "ml_dtypes",
    "numpy/**/*.pyi",
    "numpy/**/tests",
    "numpy/_core/include",
    "numpy/_core/lib",
    "numpy/core/include",
    "numpy/core/lib",
    "numpy/f2py",
    "PIL/_avif*.so",
    "pillow.libs/libavif*",
    "pycparser",
)
# Of OpenCV, which only USB cameras, drawn scenes and `edgehar bench` need.
OPENCV = ("cv2", "opencv_python_headless*")


@dataclass(frozen=True)
class Target:
    """The device.

    Attributes:
        machine: of the wheels: x86_64 or aarch64.
        python: minor version, such as "3.11".
        prefix: folder of the environment on the device.
    """

    machine: str
    python: str
    prefix: str = "/opt/edgehar"

    def pip_options(self) -> list[str]:
        """Return the options that make pip choose wheels for the device."""
        short = self.python.replace(".", "")
        tags = [f"manylinux_2_{minor}_{self.machine}" for minor in reversed(_GLIBC_MINOR)]
        return [
            *("--only-binary=:all:", "--implementation=cp", f"--python-version={self.python}"),
            *(f"--platform={tag}" for tag in [*tags, f"manylinux2014_{self.machine}", f"linux_{self.machine}"]),
            *(f"--abi={abi}" for abi in (f"cp{short}", "abi3", "none")),
        ]


def install(target: Target, packages: list[str], out: Path) -> None:
    """Install packages with all that they need into a new environment at `out`."""
    site = out / "lib" / f"python{target.python}" / "site-packages"
    _pip("install", "--no-compile", "--no-warn-conflicts", f"--target={site}", *target.pip_options(), *packages)
    (out / "bin").mkdir()
    for script in (site / "bin").iterdir():
        place = out / "bin" / script.name
        place.write_text(re.sub(r"\A#!.*", f"#!{target.prefix}/bin/python", script.read_text()))
        place.chmod(0o755)
    shutil.rmtree(site / "bin")
    for name in ("python", "python3", f"python{target.python}"):
        (out / "bin" / name).symlink_to(f"/usr/bin/python{target.python}")
    # picamera2 comes from the system's packages.
    (out / "pyvenv.cfg").write_text(
        f"home = /usr/bin\ninclude-system-site-packages = true\nversion = {target.python}\n"
    )


def trim(site: Path, patterns: tuple[str, ...]) -> None:
    """Remove files and folders below site-packages."""
    for pattern in patterns:
        for found in sorted(site.glob(pattern)):
            if found.is_dir():
                shutil.rmtree(found)
            else:
                found.unlink(missing_ok=True)


def compile_all(target: Target, out: Path) -> bool:
    """Add byte code that is never checked against its source. Returns False if that Python is not on this machine."""
    python = find_python(target.python)
    if python is None:
        return False
    # Old syntax in parts of packages that are never imported is not a failure.
    options = ["-qq", "-j0", "--invalidation-mode=unchecked-hash", "-s", str(out), "-p", target.prefix]
    subprocess.run([python, "-m", "compileall", *options, str(out / "lib")], check=False)
    return True


def find_python(version: str) -> str | None:
    """Return a Python of this version: on PATH, or of pyenv."""
    versions = Path("~/.pyenv/versions").expanduser().glob(f"{version}.*/bin/python3")
    found = shutil.which(f"python{version}") or next((str(path) for path in sorted(versions)), None)
    works = found is not None and subprocess.run([found, "-c", ""], check=False, capture_output=True).returncode == 0
    return found if works else None


def _pip(command: str, *arguments: str) -> None:
    # The machine's own folders of wheels hold wheels of its own architecture only.
    done = subprocess.run([sys.executable, "-m", "pip", command, "--quiet", *arguments], check=False)
    if done.returncode:
        raise SystemExit(f"environment.py: pip {command} failed (above)")


def main() -> None:
    """Make an environment, or download its wheels."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arch", choices=MACHINES, default="arm64", help="architecture of the device (arm64)")
    parser.add_argument("--python", default="3.11", metavar="VERSION", help="its Python (3.11)")
    parser.add_argument("--prefix", default="/opt/edgehar", metavar="PATH", help="folder on the device (/opt/edgehar)")
    parser.add_argument("--slim", action="store_true", help="leave out OpenCV")
    parser.add_argument("--download", action="store_true", help="only download the wheels, to OUT")
    parser.add_argument("packages", nargs="+", metavar="PACKAGE", help="wheel of edgehar, perhaps with extras; others")
    parser.add_argument("out", type=Path, metavar="OUT", help="new folder")
    args = parser.parse_args()
    target = Target(MACHINES[args.arch], args.python, args.prefix)
    if args.download:
        _pip("download", f"--dest={args.out}", *target.pip_options(), *args.packages)
        return
    if args.out.exists():
        raise SystemExit(f"environment.py: {args.out}: exists; name a new folder")
    make(target, args.packages, args.out, slim=args.slim)


def make(target: Target, packages: list[str], out: Path, *, slim: bool) -> None:
    """Make an environment at `out`, with everything trimmed and compiled."""
    install(target, packages, out)
    site = out / "lib" / f"python{target.python}" / "site-packages"
    trim(site, UNUSED + (OPENCV if slim else ()))
    if not compile_all(target, out):
        print(f"environment.py: no Python {target.python} here: the device compiles at each start", file=sys.stderr)


if __name__ == "__main__":
    main()
