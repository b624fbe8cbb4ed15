"""Memory of a training process: freed blocks are reused instead of returned to the system."""

from __future__ import annotations

from edgehar.pipeline.memory import M_ARENA_MAX, M_MMAP_MAX, M_TRIM_THRESHOLD, mallopt


def keep_freed() -> None:
    """Keep freed blocks for reuse. Does nothing with another C library than glibc.

    TensorFlow frees and allocates tens of megabytes in every step on the CPU. Faulting these pages in again took a
    fifth of the time of a step.
    """
    mallopt({M_TRIM_THRESHOLD: 2**31 - 1, M_MMAP_MAX: 0, M_ARENA_MAX: 1})
