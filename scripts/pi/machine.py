"""A computer in qemu, driven over its serial line."""

from __future__ import annotations

import contextlib
import os
import re
import select
import shlex
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

_PROMPT = b"edgepi-ready# "
# Emulated, and on a loaded machine.
BOOT_S = 900.0
_COMMAND_S = 600.0


class Trouble(Exception):  # noqa: N818 - what went wrong in the machine
    """The machine did not do what it should."""


@dataclass(frozen=True)
class Hardware:
    """What the computer is made of.

    Attributes:
        folder: with vmlinuz and initrd.gz.
        disk: value of qemu's -drive for the root disk, without id.
        jobs: image of the second disk, read-only; None for none.
        memory_mb: memory.
        cores: processors.
        clock: value of qemu's -rtc.
    """

    folder: Path
    disk: str
    jobs: Path | None = None
    memory_mb: int = 1024
    cores: int = 2
    clock: str = "base=utc"

    def command(self) -> list[str]:
        """Return the command line of qemu."""
        drives = ["-drive", f"if=none,id=root,{self.disk}", "-device", "virtio-blk-pci,drive=root"]
        if self.jobs is not None:
            drives += ["-drive", f"if=none,id=jobs,format=raw,file={self.jobs},readonly=on"]
            drives += ["-device", "virtio-blk-pci,drive=jobs"]
        return [
            *("qemu-system-aarch64", "-M", "virt", "-cpu", "cortex-a72", "-smp", str(self.cores)),
            *("-m", str(self.memory_mb), "-accel", "tcg,thread=multi", "-rtc", self.clock),
            *("-display", "none", "-monitor", "none", "-serial", "stdio"),
            *("-kernel", str(self.folder / "vmlinuz"), "-initrd", str(self.folder / "initrd.gz")),
            *("-append", "rw console=ttyAMA0 quiet systemd.show_status=1"),
            *drives,
            # Without a ROM to boot from the network, which is in another package of qemu's.
            *("-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net,romfile="),
            *("-device", "virtio-rng-pci"),
        ]


@dataclass(frozen=True)
class Answer:
    """What a command said, and its exit code."""

    code: int
    text: str

    def good(self) -> str:
        """Return the text. Raises Trouble if the command failed."""
        if self.code:
            raise Trouble(f"exit code {self.code}: {self.text[-2000:]}")
        return self.text


class Machine:
    """A running computer. Use it as a context manager, which ends it."""

    def __init__(self, hardware: Hardware, log: Path) -> None:
        """Switch it on. All that it prints is appended to `log`."""
        self._log = log.open("ab")
        self._heard = b""
        self.started_s = time.monotonic()
        self.process = subprocess.Popen(
            hardware.command(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._log.close()

    def kill(self) -> None:
        """Kill qemu. This is not a power cut, because the host keeps what the guest has written."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait()

    def log_in(self, timeout_s: float = BOOT_S) -> float:
        """Wait for the console of root after a start. Returns the seconds since then."""
        began_s = time.monotonic()
        self.wait_for(re.escape(_PROMPT), timeout_s)
        took_s = time.monotonic() - began_s
        # No echo and no prompt, and no messages of the kernel or systemd between answers.
        self._send("stty -echo; PS1=; PS2=; dmesg -n 1; kill -s SIGRTMIN+21 1; cd /")
        self.run("true")
        return took_s

    def reboot(self) -> None:
        """Reboot in order, and log in again."""
        self._send("systemctl reboot")
        self.log_in()

    def run(self, command: str, timeout_s: float = _COMMAND_S, user: str | None = None) -> Answer:
        """Run a line for the shell, as root or another user, in the home of that user."""
        if user is not None:
            command = f"runuser -l {user} -c {shlex.quote(command)}"
        self._send(f"{{ {command}\n}} </dev/null 2>&1; code=$?; echo; echo '<<''done '$code'>>'")
        heard = self.wait_for(rb"<<done (\d+)>>\r?\n", timeout_s)
        text, _, code = heard.rpartition(b"<<done ")
        return Answer(int(code.split(b">>")[0]), text.decode(errors="replace").replace("\r", "").strip())

    def wait_for(self, pattern: bytes, timeout_s: float) -> bytes:
        """Return all output up to a pattern. Raises Trouble if it does not come, or the machine ends."""
        deadline_s = time.monotonic() + timeout_s
        assert self.process.stdout is not None
        while (found := re.search(pattern, self._heard)) is None:
            ready, _, _ = select.select([self.process.stdout], [], [], max(0.0, deadline_s - time.monotonic()))
            data = os.read(self.process.stdout.fileno(), 1 << 16) if ready else b""
            if not data:
                why = "ended" if ready else f"did not print {pattern.decode()} in {timeout_s:.0f} s"
                raise Trouble(f"the machine {why}: {self._heard[-2000:].decode(errors='replace')}")
            self._log.write(data)
            self._log.flush()
            self._heard += data
        heard, self._heard = self._heard[: found.end()], self._heard[found.end() :]
        return heard

    def put(self, path: str, text: str) -> None:
        """Write a small file in the machine."""
        self.run(f"mkdir -p {shlex.quote(os.path.dirname(path))}; printf %s {shlex.quote(text)} >{path}").good()  # noqa: PTH120

    def _send(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()
