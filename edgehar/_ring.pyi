from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from edgehar.frames import Frame

MotionInput: TypeAlias = Literal["none", "grey-difference"]
RingDtype: TypeAlias = Literal["int8", "uint8", "float32"]

class FrameRing:
    def __init__(
        self,
        window: int,
        height: int,
        width: int,
        channels: int = 3,
        dtype: RingDtype = "int8",
        scale: float = ...,
        zero_point: int = -128,
        *,
        motion: MotionInput = "none",
    ) -> None: ...
    def push(self, frame: Frame | npt.NDArray[np.uint8]) -> int: ...
    def shrink_into(self, frame: Frame | npt.NDArray[np.uint8], out: npt.NDArray[Any]) -> None: ...
    def window(self) -> npt.NDArray[Any]: ...
    def latest(self) -> npt.NDArray[Any]: ...
    def reset(self) -> None: ...
    @property
    def count(self) -> int: ...
    @property
    def window_length(self) -> int: ...
    @property
    def height(self) -> int: ...
    @property
    def width(self) -> int: ...
    @property
    def dtype(self) -> RingDtype: ...
    @property
    def motion(self) -> MotionInput: ...
