"""The scripts that judge the emulated Raspberry Pi: what they ask qemu for, what is a failure, and their table."""

import importlib
import sys
from pathlib import Path

import pytest
from support.paths import ROOT

FOLDER = ROOT / "scripts" / "pi"


@pytest.fixture
def script(monkeypatch):
    """Import a script by its name; the modules of the folder are forgotten afterwards."""
    monkeypatch.syspath_prepend(str(FOLDER))
    names = [path.stem for path in FOLDER.glob("*.py")]
    for name in names:
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield importlib.import_module
    for name in names:
        sys.modules.pop(name, None)


def test_qemu_gets_the_disks_and_the_memory(script):
    hardware = script("machine").Hardware(Path("/x"), "format=raw,file=/x/root.img", Path("/x/jobs.img"), memory_mb=512)
    command = hardware.command()
    assert command[command.index("-m") + 1] == "512"
    drives = [command[at + 1] for at, word in enumerate(command) if word == "-drive"]
    assert drives == [
        "if=none,id=root,format=raw,file=/x/root.img",
        "if=none,id=jobs,format=raw,file=/x/jobs.img,readonly=on",
    ]


def test_a_command_that_failed_is_trouble(script):
    machine = script("machine")
    assert machine.Answer(0, "fine").good() == "fine"
    with pytest.raises(machine.Trouble, match="exit code 3: no such file"):
        machine.Answer(3, "no such file").good()


def test_the_table_shows_what_failed(script):
    rows = [("boot", True, "16 s", 16.4), ("watchdog", False, "a | b\nc", 3.0)]
    assert script("check").table(rows).splitlines()[2:] == [
        "| boot | passed | 16 s | 16 |",
        "| watchdog | **failed** | a \\| b c | 3 |",
    ]
