"""Checks of what goes wrong on a device: a full disk, a clock that was never set, little memory."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from install import BIN
from machine import Trouble
from service import answers, properties, wait_active

if TYPE_CHECKING:
    from collections.abc import Callable

    from machine import Machine


def full_disk(machine: Machine) -> str:
    """With a full disk it runs on, also after a restart, and returns to normal without help."""
    machine.run(
        "dd if=/dev/zero of=/filler bs=1M status=none; dd if=/dev/zero of=/filler2 bs=4k status=none; true", 600
    )
    free = machine.run("df --output=avail -k / | tail -1").good().strip()
    before = answers(machine)
    time.sleep(20)
    during = answers(machine)
    machine.run("systemctl restart edgehar").good()
    wait_active(machine)
    warned = machine.run(
        "journalctl -u edgehar -b -p warning --no-pager -o cat | grep -i -c 'space\\|disk\\|full'"
    ).text
    machine.run("rm -f /filler /filler2; sync").good()
    if during <= before:
        raise Trouble(f"{before} answers, then {during}")
    pid = properties(machine, "MainPID")["MainPID"]
    time.sleep(20)
    wait_active(machine)
    if properties(machine, "MainPID")["MainPID"] != pid:
        raise Trouble("restarted after there was room again")
    return f"{free} kB free: answers went on ({before} to {during}), restarted well; {warned} warnings"


def no_clock(machine: Machine) -> str:
    """A clock that starts in 1970 and jumps: nothing restarts, and answers go on."""
    machine.run("timedatectl set-ntp false; systemctl stop edgehar; date -s @0").good()
    doctor = machine.run(f"{BIN}/edgehar doctor").text
    said = next((line for line in doctor.splitlines() if " clock" in line), "")
    if "fail" not in said:
        raise Trouble(f"the doctor says: {said or doctor}")
    machine.run("systemctl start edgehar").good()
    wait_active(machine)
    pid, before = properties(machine, "MainPID")["MainPID"], answers(machine)
    machine.run("date -s @1796000000").good()
    time.sleep(20)
    middle = answers(machine)
    machine.run("date -s @1795000000").good()
    time.sleep(20)
    after = answers(machine)
    if properties(machine, "MainPID")["MainPID"] != pid or not before < middle < after:
        raise Trouble(f"{before}, {middle}, {after} answers")
    return f"{said.strip()}; a jump of 57 years and one back by 12 days: the same process, {after - before} answers"


def little_memory(machine: Machine) -> str:
    """The service with 512 MB: memory that it needs at most."""
    wait_active(machine)
    time.sleep(60)
    pid = properties(machine, "MainPID")["MainPID"]
    peak_kb = int(machine.run(f"grep VmHWM /proc/{pid}/status").good().split()[1])
    memory = dict(line.split(":", 1) for line in machine.run("cat /proc/meminfo").good().splitlines())
    total, free, swap = (int(memory[name].split()[0]) for name in ("MemTotal", "MemAvailable", "SwapTotal"))
    if int(properties(machine, "NRestarts")["NRestarts"]) or swap:
        raise Trouble(f"restarted, or swap: {properties(machine, 'NRestarts')}, {swap}")
    return (
        f"{total // 1000} MB in all: peak {peak_kb / 1000:.0f} MB (two cameras, two models), {free / 1000:.0f} MB "
        f"available, no restart; {answers(machine)} answers"
    )


CHECKS: dict[str, Callable[[Machine], str]] = {
    "full disk": full_disk,
    "clock in 1970, jumps": no_clock,
}
