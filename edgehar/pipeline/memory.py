"""What the C library does with memory that was freed: it goes back to the system, or is kept where that is quicker.

By itself glibc keeps in every thread's arena what was freed there for the next that asks: as much as was ever needed at
once, for as long as the process runs, be it the decoder of a connection that broke off.
"""

from __future__ import annotations

import ctypes
from typing import Any

# Of malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -4, -8


def share_arena() -> None:
    """Let all threads started from now on allocate from one arena; nothing with another C library than glibc.

    They use what others have freed, and `release_freed` can give all of it back: of other arenas than the first it
    leaves the end alone, however large. Threads that hold Python's lock do not wait for each other here.
    """
    _set({_M_ARENA_MAX: 1})


def release_freed() -> None:
    """Give what is free back to the system; nothing with another C library than glibc.

    This takes some milliseconds when there is much, and less than one when not. To have it given back at once
    (`M_TRIM_THRESHOLD`) would make every frame ask the system for its pages anew, which takes as long each time.
    """
    trim = _of_glibc("malloc_trim")
    if trim is not None:
        trim(ctypes.c_size_t(0))


def keep_freed() -> None:
    """Reuse large blocks and do not give them back, for a program that frees and allocates much all the time.

    TensorFlow does so with tens of megabytes in every step on the CPU; faulting the pages in again took a fifth of the
    time of a step.
    """
    _set({_M_TRIM_THRESHOLD: 2**31 - 1, _M_MMAP_MAX: 0, _M_ARENA_MAX: 1})


def _set(options: dict[int, int]) -> None:
    mallopt = _of_glibc("mallopt")
    if mallopt is not None:
        for option, value in options.items():
            mallopt(option, value)


def _of_glibc(name: str) -> Any:
    """A function of glibc's; None when the C library has none of that name."""
    try:
        return getattr(ctypes.CDLL(None), name, None)
    except (OSError, TypeError):
        return None
