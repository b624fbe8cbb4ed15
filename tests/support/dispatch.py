"""Force the copies of the kernel's functions for one instruction set, whatever the processor would select.

On x86-64 with glibc, the compiler made three copies of each `CLONED` function, and the loader wrote the addresses of
the best ones into the extension's table. This writes those of another level over them: for tests on the machine itself.
"""

from __future__ import annotations

import ctypes
import mmap
import struct
from pathlib import Path

LEVELS = {"baseline": "default", "avx2": "avx2", "avx512": "arch_x86_64_v4"}
# What the processor must have, in the words of /proc/cpuinfo.
NEEDS = {
    "baseline": set(),
    "avx2": {"avx2"},
    "avx512": {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl", "avx2", "bmi2", "fma"},
}
_SYMBOLS, _RELOCATIONS, _SYMBOLS_OF_LOADER = 2, 4, 11
_SLOT, _DATA, _RESOLVED = 7, 6, 37


def supported(level: str) -> bool:
    """Whether this processor can run a level."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    flags = next((line.split(":")[1].split() for line in lines if line.startswith("flags")), [])
    return NEEDS[level] <= set(flags)


def copies(path: Path) -> dict[str, set[str]]:
    """Return the functions of an extension that have copies, by level; empty if it was stripped or has none."""
    names = _Elf(path).symbols()
    return {
        level: {name.removesuffix(f".{word}") for name in names if name.endswith(f".{word}")}
        for level, word in LEVELS.items()
    }


def force(path: Path, level: str) -> set[str]:
    """Make the loaded extension call the copies of a level from now on; return the names of the functions."""
    elf, base, done = _Elf(path), _loaded_at(path), set[str]()
    symbols = elf.symbols()
    by_address = {address: name for name, address in symbols.items() if name.endswith(".resolver")}
    for offset, kind, name, addend in elf.relocations():
        if kind == _RESOLVED:
            name = by_address.get(addend, "").removesuffix(".resolver")
        target = symbols.get(f"{name}.{LEVELS[level]}")
        if target is not None and kind in {_SLOT, _DATA, _RESOLVED}:
            _write(base + offset, base + target)
            done.add(name)
    return done


class _Elf:
    """The tables of a 64-bit little-endian ELF file."""

    def __init__(self, path: Path) -> None:
        self._data = path.read_bytes()
        start, size, count = struct.unpack_from("<Q10xHH", self._data, 0x28)
        # Name, type, flags, address, offset, size, link, info, alignment, size of an entry.
        self._sections = [struct.unpack_from("<IIQQQQIIQQ", self._data, start + i * size) for i in range(count)]

    def symbols(self) -> dict[str, int]:
        """Return the addresses of all named symbols."""
        return {name: address for _, name, address in self._entries(_SYMBOLS)}

    def relocations(self) -> list[tuple[int, int, str, int]]:
        """Return offset, type, name of the symbol, and addend of each relocation."""
        names = {index: name for index, name, _ in self._entries(_SYMBOLS_OF_LOADER)}
        found = []
        for _, kind, _, _, start, size, *_ in self._sections:
            if kind == _RELOCATIONS:
                for offset, info, addend in struct.iter_unpack("<QQq", self._data[start : start + size]):
                    found.append((offset, info & 0xFFFFFFFF, names.get(info >> 32, ""), addend))
        return found

    def _entries(self, kind: int) -> list[tuple[int, str, int]]:
        found = []
        for _, of, _, _, start, size, link, *_ in self._sections:
            if of == kind:
                text = self._sections[link][4]
                table = struct.iter_unpack("<IBBHQQ", self._data[start : start + size])
                for index, (name, _, _, _, address, _) in enumerate(table):
                    end = self._data.index(b"\0", text + name)
                    found.append((index, self._data[text + name : end].decode(), address))
        return found


def _loaded_at(path: Path) -> int:
    for line in Path("/proc/self/maps").read_text().splitlines():
        span, _, offset, *_ = line.split()
        if line.endswith(str(path)) and int(offset, 16) == 0:
            return int(span.split("-")[0], 16)
    raise LookupError(f"{path} is not loaded")


def _write(address: int, value: int) -> None:
    # The table is read-only once the loader is done.
    page = address & -mmap.PAGESIZE
    libc = ctypes.CDLL(None, use_errno=True)
    length = address + 8 - page
    if libc.mprotect(ctypes.c_void_p(page), ctypes.c_size_t(length), mmap.PROT_READ | mmap.PROT_WRITE):
        raise OSError(ctypes.get_errno(), "mprotect")
    ctypes.c_uint64.from_address(address).value = value
