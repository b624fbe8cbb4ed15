"""The order of the frames in a window: as recorded, or changed to measure what order and motion contribute.

There are two controls, for both training and evaluation. "shuffled" removes the order of the frames (the remaining
accuracy needs no order); "single" removes all frames but one (the remaining accuracy comes from one picture, often the
scene; the single-frame network of Karpathy et al., "Large-scale Video Classification with Convolutional Neural
Networks", CVPR 2014).
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from typing import Literal, TypeAlias

    import numpy.typing as npt

    Kind: TypeAlias = Literal["ordered", "shuffled", "single"]

# The words shown beside an accuracy.
WORDS = {"ordered": "", "shuffled": "shuffled-frames control", "single": "single-frame control"}


@dataclasses.dataclass(frozen=True)
class FrameOrder:
    """The frame in each place of a window.

    Attributes:
        kind: "ordered", each in its own; "shuffled", in a random order; "single", one in all places.
        seed: of the orders in evaluation.
    """

    kind: Kind = "ordered"
    seed: int = 0

    @property
    def words(self) -> str:
        """Kind of control, as shown beside an accuracy; empty if it is not a control."""
        return WORDS[self.kind]

    def training(self, window: int, rng: np.random.Generator) -> npt.NDArray[np.intp]:
        """Return the order of the frames of a training window, `(window,)` indices; ordered ones do not use `rng`."""
        if self.kind == "single":
            return np.full(window, rng.integers(window), np.intp)
        return self._in_order(window, rng)

    def evaluation(self, window: int, start: int) -> npt.NDArray[np.intp]:
        """Return the order of the frames of an evaluated window, the same in every evaluation.

        Args:
            window: frames in a window.
            start: the first frame of the window in its stream; other windows are in other orders.

        Returns:
            `(window,)` indices into the window. A single frame is the middle one, the later of two.
        """
        if self.kind == "single":
            return np.full(window, window // 2, np.intp)
        return self._in_order(window, np.random.default_rng([self.seed, start]))

    def _in_order(self, window: int, rng: np.random.Generator) -> npt.NDArray[np.intp]:
        return rng.permutation(window) if self.kind == "shuffled" else np.arange(window)


ORDERED = FrameOrder()
