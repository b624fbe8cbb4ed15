"""Checks of the Debian packages on the booted system: install, upgrade, remove, purge."""

from __future__ import annotations

from typing import TYPE_CHECKING

from machine import Trouble

if TYPE_CHECKING:
    from collections.abc import Callable

    from machine import Machine


def packages(machine: Machine) -> str:
    """Install and purge each package of the second disk. What the image has in /opt/edgehar is put aside meanwhile."""
    found = machine.run("ls /jobs/*.deb").text.split()
    if not all(name.endswith(".deb") for name in found):
        raise Trouble("no package on the second disk; build one with scripts/release/deb.py, and make the image again")
    machine.run("mv /opt/edgehar /opt/aside").good()
    said = []
    for package in found:
        answer = machine.run(f"sh /jobs/test_deb_inside.sh {package} /jobs/people.mp4", 900)
        said.append(answer.good().splitlines()[-1])
    machine.run("mv /opt/aside /opt/edgehar").good()
    return "; ".join(said)


CHECKS: dict[str, Callable[[Machine], str]] = {"packages": packages}
