"""Checks of docs/install.md: installation, the first commands, the camera, the doctor."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from machine import Trouble

if TYPE_CHECKING:
    from collections.abc import Callable

    from machine import Machine

PIP = "pip install"
BIN = "/opt/edgehar/bin"
_SLOW_S = 900.0


def pip_install(machine: Machine) -> str:
    """The lines for a wheel in docs/install.md, from a folder of wheels instead of the network."""
    machine.run("python3 -m venv ~/edgehar", _SLOW_S, user="pi").good()
    machine.run("~/edgehar/bin/pip install -q --no-index --find-links /jobs/wheels edgehar", _SLOW_S, user="pi").good()
    return machine.run("~/edgehar/bin/edgehar --version; du -sm edgehar | cut -f1", user="pi").good() + " MB"


def inspect(machine: Machine) -> str:
    """The first command of docs/install.md."""
    return machine.run(f"{BIN}/edgehar inspect fight | head -3", user="pi").good()


def synthetic(machine: Machine) -> str:
    """The second one: answers about a drawn scene."""
    command = f"{BIN}/edgehar-run --source 'synthetic:walking?duration_s=4' --model actions-synthetic --output text"
    said = machine.run(command, user="pi").good()
    if "walking" not in said:
        raise Trouble(f"nobody walks: {said}")
    return said.splitlines()[-1]


def python_and_system(machine: Machine) -> str:
    """What it runs on."""
    return machine.run(". /etc/os-release; echo $PRETTY_NAME, $(uname -r -m), $(python3 --version)").good()


def no_group(machine: Machine) -> str:
    """Without the group video the message names the fix, and the fix works."""
    command = f"{BIN}/edgehar-run --camera 0"
    refused = machine.run(command, user="pi")
    if refused.code != 1 or "usermod -aG video" not in refused.text or "Traceback" in refused.text:
        raise Trouble(f"without the group: exit code {refused.code}: {refused.text}")
    machine.run("sudo usermod -aG video $USER", user="pi").good()
    return refused.text.splitlines()[-1]


def devices(machine: Machine) -> str:
    """The camera is listed."""
    said = machine.run(f"{BIN}/edgehar devices", user="pi").good()
    if "camera:0" not in said or "vivid" not in said:
        raise Trouble(f"no camera: {said}")
    return said.splitlines()[0]


def doctor(machine: Machine) -> str:
    """No check of the doctor fails."""
    answer = machine.run(f"{BIN}/edgehar doctor --json", user="pi")
    found = json.loads(answer.text[answer.text.index("{") :])
    # An emulated processor is too slow for the model; a real one is not.
    checks = [check for check in found["checks"] if not check["check"].startswith("speed ")]
    failed = [f"{check['check']}: {check['says']}" for check in checks if check["level"] == "fail"]
    if failed:
        raise Trouble("; ".join(failed))
    warned = "; ".join(f"{check['check']}: {check['says']}" for check in checks if check["level"] == "warn")
    return f"{len(checks)} findings, none fails; warnings: {warned or 'none'}"


def camera(machine: Machine) -> str:
    """`--camera 0` reads a real V4L2 driver and answers."""
    options = "--camera 0 --max-predictions 10 --output jsonl --verbose"
    began_s = time.monotonic()
    machine.run(f"timeout -s INT 400 {BIN}/edgehar-run {options} >/tmp/out.jsonl 2>/tmp/log", user="pi")
    took_s = time.monotonic() - began_s
    log = machine.run("cat /tmp/log").good()
    answers = int(machine.run("grep -c '\"label\"' /tmp/out.jsonl").text or 0)
    offer = next((line for line in log.splitlines() if "camera:0: " in line), "")
    if answers < 10 or "Traceback" in log:
        raise Trouble(f"{answers} answers in {took_s:.0f} s: {log[-1500:]}")
    return f"{answers} answers in {took_s:.0f} s; {offer.strip()}"


CHECKS: dict[str, Callable[[Machine], str]] = {
    "system": python_and_system,
    PIP: pip_install,
    "edgehar inspect": inspect,
    "a drawn scene": synthetic,
    "without the group video": no_group,
    "edgehar devices": devices,
    "edgehar doctor": doctor,
    "--camera 0": camera,
}
