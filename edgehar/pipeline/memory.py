"""Freed memory: shared between threads, and returned to the system.

By default glibc keeps freed memory in an arena of each thread: as much as was ever in use at once, until the process
ends. A run would keep, for example, the memory of every decoder whose connection broke.
"""

from __future__ import annotations

import ctypes
from typing import Any

# In malloc.h.
M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8


def share_arena() -> None:
    """Let all threads that start from now on allocate from one arena. Does nothing with another C library than glibc.

    Threads then reuse what others freed, and `release_freed` can return all of it: of any arena but the first it does
    not return the end, however large. The lock of the arena costs little here, because threads hold Python's lock.
    """
    mallopt({M_ARENA_MAX: 1})


def release_freed() -> None:
    """Return free memory to the system. Does nothing with another C library than glibc.

    This takes a few milliseconds for a lot of memory, and less than one otherwise. Returning it at once
    (`M_TRIM_THRESHOLD`) would make the system map the same pages again for every frame, which takes as long each time.
    """
    trim = _of_glibc("malloc_trim")
    if trim is not None:
        trim(ctypes.c_size_t(0))


def mallopt(options: dict[int, int]) -> None:
    """Set options of glibc's allocator, by their numbers in malloc.h. Does nothing with another C library."""
    set_option = _of_glibc("mallopt")
    if set_option is not None:
        for option, value in options.items():
            set_option(option, value)


def _of_glibc(name: str) -> Any:
    """Return a function of glibc, or None if the C library does not have it."""
    try:
        return getattr(ctypes.CDLL(None), name, None)
    except (OSError, TypeError):
        return None
