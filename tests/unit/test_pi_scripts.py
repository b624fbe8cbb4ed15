"""The scripts that judge the emulated Raspberry Pi: what they ask qemu for, what counts as lost, and their table."""

import importlib
import sys
from collections import Counter
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


def image(events, clips, **changes):
    """What cut_check.py says about a disk."""
    found = {
        "spool": {"events": events, "lost": 0},
        "recordings": {"clips": clips, "unreadable": [], "problems": []},
        "history": {"files": 1, "answers": 100},
        "models": {"active": {"actions-synthetic": None}, "unreadable": 0},
        "file_system": 0,
    }
    for name, value in changes.items():
        part, _, key = name.partition("__")
        if key:
            found[part][key] = value
        else:
            found[part] = value
    return found


def test_nothing_is_lost_where_everything_known_is_there(script, tmp_path):
    ledger = script("cuts").Ledger(tmp_path / "known.json")
    counted = Counter({"edgehar_webhook_spool_messages": 2})
    assert "nothing lost" in ledger.check(image(["a", "b"], ["c"]), counted)
    assert "nothing lost" in ledger.check(image(["a", "b", "d"], ["c", "e"]), counted)
    assert ledger.problems == []
    again = script("cuts").Ledger(tmp_path / "known.json")
    assert (again.events, again.clips) == ({"a", "b", "d"}, {"c", "e"})


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (image(["b"], ["c"]), "events lost 1"),
        (image(["a"], ["c"]), "events counted but not there 1"),
        (image(["a", "b"], []), "clips lost 1"),
        (image(["a", "b"], ["c"], spool__lost=2), "events lost 2"),
        (image(["a", "b"], ["c"], recordings__unreadable=["c"]), "clips unreadable 1"),
        (image(["a", "b"], ["c"], recordings__problems=["x"]), "problems of the chain 1"),
        (image(["a", "b"], ["c"], models__unreadable=1), "models unreadable 1"),
        (image(["a", "b"], ["c"], file_system=4), "file system 4"),
    ],
)
def test_every_kind_of_loss_is_found(script, tmp_path, found, says):
    ledger = script("cuts").Ledger(tmp_path / "known.json")
    ledger.check(image(["a"], ["c"]), Counter())
    assert says in ledger.check(found, Counter({"edgehar_webhook_spool_messages": 2}))
    assert len(ledger.problems) == 1


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
