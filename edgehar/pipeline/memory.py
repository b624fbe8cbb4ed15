"""What the C library does with memory that was freed: it goes back to the system, or is kept where that is quicker.

By itself glibc keeps in every thread's arena what was freed there for the next that asks: as much as was ever needed at
once, for as long as the process runs, be it the decoder of a connection that broke off.
"""

from __future__ import annotations

import ctypes
from typing import Any

# In malloc.h.
M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8


def share_arena() -> None:
    """Let all threads started from now on allocate from one arena; nothing with another C library than glibc.

    They use what others have freed, and `release_freed` can give all of it back: of other arenas than the first it
    leaves the end alone, however large. Threads that hold Python's lock do not wait for each other here.
    """
    mallopt({M_ARENA_MAX: 1})


def release_freed() -> None:
    """Give what is free back to the system; nothing with another C library than glibc.

    This takes some milliseconds when there is much, and less than one when not. To have it given back at once
    (`M_TRIM_THRESHOLD`) would make every frame ask the system for its pages anew, which takes as long each time.
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
    """A function of glibc's; None when the C library has none of that name."""
    try:
        return getattr(ctypes.CDLL(None), name, None)
    except (OSError, TypeError):
        return None
