"""The last frames of a model with two looks, in one contiguous block, as `FrameRing` keeps those of other models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from edgehar._ring import LookResizer
    from edgehar.frames import Frame


class LookRing:
    """The two looks at each of the last `window` frames, by a `LookResizer`. Not thread-safe.

    Each slot is stored twice, `window` slots apart, so the last `window` frames are always contiguous and in order.

    Args:
        window: frames in a window, at least 1.
        resizer: makes the looks; it is closed with the ring.

    Attributes:
        window_length: frames in a window.
        count: frames pushed since construction or `reset`.
    """

    def __init__(self, window: int, resizer: LookResizer) -> None:
        self.window_length, self.count = window, 0
        self._resizer = resizer
        self._storage = np.zeros((2 * window, 2, resizer.height, resizer.width, 3), np.int8)
        self._frozen = self._storage.view()
        self._frozen.flags.writeable = False

    def push(self, frame: Frame | npt.NDArray[np.uint8]) -> int:
        """Take a frame, over the oldest one.

        Args:
            frame: as for `LookResizer.resize_into`.

        Returns:
            Its index: 0 for the first frame after construction or `reset`, then 1, 2, ...

        Raises:
            TypeError: as for `LookResizer.resize_into`.
            ValueError: as for `LookResizer.resize_into`.
        """
        slot = self.count % self.window_length
        self._resizer.resize_into(frame, self._storage[slot])
        self._storage[slot + self.window_length] = self._storage[slot]
        self.count += 1
        return self.count - 1

    def shrink_into(self, frame: Frame | npt.NDArray[np.uint8], out: npt.NDArray[np.int8]) -> None:
        """Make the looks at a frame in `out`, `(2, height, width, 3)`, instead of in the ring. The history advances."""
        self._resizer.resize_into(frame, out)

    def window(self) -> npt.NDArray[np.int8]:
        """Return the last `window` frames, oldest first.

        Returns:
            Read-only C-contiguous int8 view `(window, 2, height, width, 3)`, which later pushes overwrite.

        Raises:
            RuntimeError: fewer than `window` frames were pushed since construction or `reset`.
        """
        if self.count < self.window_length:
            raise RuntimeError(
                f"the window is not full: it takes {self.window_length} frames and {self.count} were pushed; push more,"
                " and check `count` first"
            )
        first = self.count % self.window_length
        return self._frozen[first : first + self.window_length]

    def latest(self) -> npt.NDArray[np.int8]:
        """Return the looks at the newest frame: read-only view `(2, height, width, 3)`.

        Raises:
            RuntimeError: no frame was pushed since construction or `reset`.
        """
        if self.count == 0:
            raise RuntimeError("there is no latest frame: push one first")
        newest: npt.NDArray[np.int8] = self._frozen[(self.count - 1) % self.window_length]
        return newest

    def reset(self) -> None:
        """Forget all frames. The next frame has index 0, and the scene is taken to stand still before it."""
        self._resizer.reset()
        self.count = 0

    def close(self) -> None:
        """Free the memory of the resizer; a push then raises ValueError. Safe to call twice."""
        self._resizer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
