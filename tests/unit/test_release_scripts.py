"""The scripts that make packages for devices: what they tell pip and dpkg, and what they leave out."""

import importlib.util
import subprocess
import sys

import pytest
from support.paths import ROOT

FOLDER = ROOT / "scripts" / "release"


@pytest.fixture
def script(monkeypatch):
    """Import a script by its name, with those beside it."""
    monkeypatch.syspath_prepend(str(FOLDER))

    def imported(name):
        monkeypatch.delitem(sys.modules, "environment", raising=False)
        spec = importlib.util.spec_from_file_location(f"release_{name}", FOLDER / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, spec.name, module)
        spec.loader.exec_module(module)
        return module

    return imported


def test_pip_is_asked_for_wheels_of_the_device(script):
    options = script("environment").Target("aarch64", "3.13").pip_options()
    assert "--python-version=3.13" in options
    assert options.index("--platform=manylinux_2_36_aarch64") < options.index("--platform=manylinux2014_aarch64")
    assert {"--abi=cp313", "--abi=abi3", "--abi=none"} <= set(options)
    assert "--only-binary=:all:" in options
    assert not any("x86_64" in option for option in options)


def test_only_what_is_named_is_trimmed(script, tmp_path):
    environment = script("environment")
    names = ["numpy/lib/tests/test_x.py", "numpy/lib/x.py", "cv2/cv2.so", "opencv_python_headless.libs/a", "PIL/x.py"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()

    def left():
        return sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())

    environment.trim(tmp_path, environment.UNUSED)
    assert left() == sorted(names[1:])
    environment.trim(tmp_path, environment.OPENCV)
    assert left() == ["PIL/x.py", "numpy/lib/x.py"]


@pytest.mark.parametrize("slim", [False, True])
def test_the_control_file_of_a_package(script, slim):
    text = script("deb").control("arm64", "trixie", 1234, slim=slim)
    fields = dict(line.split(": ", 1) for line in text.splitlines() if not line.startswith(" "))
    assert fields["Package"] == ("edgehar-slim" if slim else "edgehar")
    assert fields["Conflicts"] == fields["Replaces"] == ("edgehar" if slim else "edgehar-slim")
    assert fields.get("Provides") == ("edgehar" if slim else None)
    assert fields["Depends"].startswith("python3.13,")
    assert fields["Architecture"] == "arm64"
    assert fields["Version"].endswith("+trixie")
    assert fields["Installed-Size"] == "1234"
    assert "" not in text.splitlines()


def test_the_scripts_of_a_package_are_valid(script):
    deb = script("deb")
    for text in (deb._POSTINST, deb._PRERM, deb._POSTRM):
        subprocess.run(["sh", "-n"], input=text, text=True, check=True)
        assert text.startswith("#!/bin/sh\nset -e\n")
