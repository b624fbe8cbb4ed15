import numpy as np
import numpy.typing as npt

CHANNELS: int
FILTERS: int
POOL: int

def supported() -> bool: ...
def forward(
    images: npt.NDArray[np.float32], kernel: npt.NDArray[np.float32], bias: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int8]]: ...
def backward(
    images: npt.NDArray[np.float32], gradient: npt.NDArray[np.float32], winner: npt.NDArray[np.int8]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]: ...
