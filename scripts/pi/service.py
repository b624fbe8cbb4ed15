"""Checks of docs/service.md: the unit under a real systemd, its sandbox, watchdog, journal and restarts."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from install import BIN
from machine import Trouble

if TYPE_CHECKING:
    from collections.abc import Callable

    from machine import Machine

# The camera, and a video of drawn people who cause events, which wait for a server that is not there.
CONFIG = """\
[[camera]]
name = "hall"
source = "camera:0"
[[camera]]
name = "stage"
source = "/jobs/people.mp4"
model = "actions-synthetic"
loop = true
realtime = true
[webhook]
url = "http://10.0.2.2:9/events"
[reconnect]
# An emulated processor needs long for everything.
frozen_s = 900
at_start = true
"""
_PATH = "/etc/edgehar/config.toml"
_DROP_INS = "/etc/systemd/system/edgehar.service.d"
_START_S = 600.0
# Folders, and whether the service may write there. Its /tmp is its own.
_PLACES = {
    "/usr": False,
    "/etc": False,
    "/var/lib": False,
    "/boot": False,
    "/var/lib/private/edgehar": True,
    "/tmp": True,  # noqa: S108
}


def properties(machine: Machine, *names: str) -> dict[str, str]:
    """Return properties of the unit."""
    said = machine.run(f"systemctl show edgehar --property={','.join(names)}").good()
    return dict(line.partition("=")[::2] for line in said.splitlines())


def answers(machine: Machine) -> int:
    """Return how many answers the status line counts, of all cameras; 0 if there is none."""
    return sum(map(int, re.findall(r"(\d+) answers", properties(machine, "StatusText").get("StatusText", ""))))


def wait_active(machine: Machine, timeout_s: float = _START_S, *, with_answers: bool = True) -> str:
    """Wait until the service is active and has answered; returns its status line."""
    deadline_s = time.monotonic() + timeout_s
    while time.monotonic() < deadline_s:
        now = properties(machine, "ActiveState", "StatusText")
        if now["ActiveState"] == "active" and (not with_answers or answers(machine)):
            return now["StatusText"]
        time.sleep(2)
    journal = machine.run("journalctl -u edgehar -n 20 --no-pager -o cat").text
    raise Trouble(f"not active with answers in {timeout_s:.0f} s: {now}: {journal}")


def install(machine: Machine) -> str:
    """The lines of docs/service.md. A line that edits the configuration stands for the editor."""
    for line in (
        "sudo mkdir -p /etc/edgehar",
        f"sudo {BIN}/edgehar config init {_PATH}",
        f"sudo chmod 644 {_PATH}",
    ):
        machine.run(line, user="pi").good()
    machine.put(_PATH, CONFIG)
    machine.run(f"{BIN}/edgehar config check {_PATH}").good()
    # An emulated processor may need longer than systemd's 90 s to load the libraries.
    machine.put(f"{_DROP_INS}/emulated.conf", "[Service]\nTimeoutStartSec=600\n")
    began_s = time.monotonic()
    machine.run(f"sudo {BIN}/edgehar service install", user="pi").good()
    ready_s = time.monotonic() - began_s
    status = wait_active(machine)
    return f"ready {ready_s:.0f} s after the command; {status}"


def status(machine: Machine) -> str:
    """`edgehar service status`."""
    said = machine.run(f"{BIN}/edgehar service status", user="pi").good()
    if "state: active" not in said:
        raise Trouble(said)
    return ", ".join(said.splitlines()[1:4])


def exposure(machine: Machine) -> str:
    """systemd accepts the unit, and rates its sandbox."""
    machine.run("systemd-analyze verify /etc/systemd/system/edgehar.service").good()
    said = machine.run("systemd-analyze security --no-pager edgehar | tail -1").good()
    rating = re.search(r"([\d.]+) (OK|MEDIUM|EXPOSED|UNSAFE|SAFE)", said)
    if rating is None or float(rating[1]) > 3:
        raise Trouble(said)
    return f"verified; exposure {rating[1]} of 10"


def sandbox(machine: Machine) -> str:
    """What the running process may do: no capability, a filter of system calls, a read-only system."""
    pid = properties(machine, "MainPID")["MainPID"]
    fields = dict(
        line.split(":", 1) for line in machine.run(f"cat /proc/{pid}/status").good().splitlines() if ":" in line
    )
    held = {name: fields[name].strip() for name in ("CapEff", "CapBnd", "NoNewPrivs", "Seccomp")}
    if held != {"CapEff": "0" * 16, "CapBnd": "0" * 16, "NoNewPrivs": "1", "Seccomp": "2"}:
        raise Trouble(f"the process has {held}")
    if fields["Uid"].split()[0] == "0":
        raise Trouble("the process is root")
    # Root outside, in the mount namespace of the service: only the file systems say no.
    for place, writable in _PLACES.items():
        wrote = machine.run(f"nsenter -t {pid} -m touch {place}/probe && nsenter -t {pid} -m rm {place}/probe")
        if (wrote.code == 0) is not writable:
            raise Trouble(f"{place}: {wrote.text or 'can be written'}")
    if machine.run("stat -c %a /var/lib/private/edgehar").good() != "700":
        raise Trouble("the state folder is open to others")
    hidden = machine.run(f"nsenter -t {pid} -m ls -A /home /root").text.split()
    return f"user {fields['Uid'].split()[0]}, no capability, seccomp, /usr /etc /var/lib read-only; homes: {hidden}"


def working(machine: Machine) -> str:
    """It goes on answering."""
    before = answers(machine)
    time.sleep(20)
    after = answers(machine)
    if after <= before:
        raise Trouble(f"{before} answers, and {after} after 20 s")
    return f"{after - before} answers of two cameras in 20 s"


def journal(machine: Machine) -> str:
    """Log lines come with their levels, and predictions do not."""
    lines = machine.run("journalctl -u edgehar --no-pager -o json --output-fields=PRIORITY,MESSAGE").good().splitlines()
    if not lines or any('\\"scores\\"' in line or "Traceback" in line for line in lines):
        raise Trouble("\n".join(lines[-10:]))
    levels = sorted(set(re.findall(r'"PRIORITY":"(\d)"', "\n".join(lines))))
    return f"{len(lines)} lines with levels {', '.join(levels)}"


def reload(machine: Machine) -> str:
    """A reload keeps the process, and a bad file changes nothing."""
    pid = properties(machine, "MainPID")["MainPID"]
    machine.put(_PATH, f"{CONFIG}[decision]\nthreshold = 0.9\n")
    machine.run("systemctl reload edgehar").good()
    machine.put(_PATH, "model = ")
    machine.run("systemctl reload edgehar").good()
    machine.put(_PATH, CONFIG)
    machine.run("systemctl reload edgehar").good()
    if properties(machine, "MainPID")["MainPID"] != pid:
        raise Trouble("the process is another one")
    said = machine.run("journalctl -u edgehar -n 6 --no-pager -o cat").good()
    return " / ".join(said.splitlines()[-3:])


def restarted(machine: Machine, what: str, pid: str, timeout_s: float) -> str:
    """Wait for another process that answers; returns the time it took."""
    began_s = time.monotonic()
    while time.monotonic() - began_s < timeout_s:
        now = properties(machine, "MainPID", "ActiveState", "NRestarts")
        if now["MainPID"] not in ("0", pid) and now["ActiveState"] == "active":
            wait_active(machine)
            return f"{what}; active again after {time.monotonic() - began_s:.0f} s, restart {now['NRestarts']}"
        time.sleep(1)
    raise Trouble(f"{what}: not restarted in {timeout_s:.0f} s: {now}")


def watchdog(machine: Machine) -> str:
    """A stopped process is killed and restarted. The unit's three minutes are shortened to one."""
    machine.put(f"{_DROP_INS}/short.conf", "[Service]\nWatchdogSec=60\n")
    machine.run("systemctl daemon-reload; systemctl restart edgehar").good()
    wait_active(machine)
    pid = properties(machine, "MainPID")["MainPID"]
    machine.run(f"kill -STOP {pid}").good()
    took = restarted(machine, "SIGSTOP, WatchdogSec=60", pid, 600)
    if "Watchdog timeout" not in machine.run("journalctl -u edgehar -n 40 --no-pager").good():
        raise Trouble("the journal does not name the watchdog")
    machine.run(f"rm {_DROP_INS}/short.conf; systemctl daemon-reload").good()
    return took


def crash(machine: Machine) -> str:
    """A killed process is restarted."""
    pid = properties(machine, "MainPID")["MainPID"]
    machine.run(f"kill -KILL {pid}").good()
    return restarted(machine, "SIGKILL", pid, 600)


def bad_configuration(machine: Machine) -> str:
    """A wrong file ends it with 2, and systemd does not try again."""
    machine.put(_PATH, "treshold = 1\n")
    machine.run("systemctl restart edgehar")
    deadline_s = time.monotonic() + 300
    while (now := properties(machine, "ActiveState", "ExecMainStatus"))["ActiveState"] != "failed":
        if time.monotonic() > deadline_s:
            raise Trouble(f"still {now}")
        time.sleep(1)
    time.sleep(8)
    if (now := properties(machine, "ActiveState", "ExecMainStatus")) != {
        "ActiveState": "failed",
        "ExecMainStatus": "2",
    }:
        raise Trouble(f"{now}")
    said = machine.run("journalctl -u edgehar -n 5 --no-pager -o cat").good()
    machine.put(_PATH, CONFIG)
    machine.run("systemctl reset-failed edgehar; systemctl restart edgehar").good()
    wait_active(machine)
    return next((line for line in said.splitlines() if "treshold" in line), said)


def reboot(machine: Machine) -> str:
    """It starts automatically after a reboot."""
    machine.reboot()
    return wait_active(machine)


CHECKS: dict[str, Callable[[Machine], str]] = {
    "edgehar service install": install,
    "edgehar service status": status,
    "the unit": exposure,
    "the sandbox": sandbox,
    "answers": working,
    "journal": journal,
    "reload": reload,
    "watchdog": watchdog,
    "crash": crash,
    "wrong configuration": bad_configuration,
    "reboot": reboot,
}
