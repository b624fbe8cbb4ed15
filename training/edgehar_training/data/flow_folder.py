"""Optical flow computed before, as pictures: `<folder>/<label>/<clip>/flow_x_00001.jpg` and `flow_y_00001.jpg`.

The layout of TSN (Wang et al., ECCV 2016) and the tools after it: 8-bit pictures, 128 means no motion, 0 and 255 are 20
pixels of the picture either way; picture k is the motion from frame k of the video to frame k + 1, counted from 1.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgehar.errors import DatasetError
from edgehar_training.data.flow import quantized_flow
from edgehar_training.data.sampling import earlier_frames

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from edgehar_training.data.datasets import Clip
    from edgehar_training.data.frames_cache import Crop

BOUND_PIXELS = 20.0
# Tools treat the first and last frame differently.
_TOLERATED_FRAMES = 2


def clip_folder(folder: Path, clip: Clip) -> Path:
    """Return the folder with the flow of a clip."""
    return folder / clip.label / Path(clip.path).stem


def pairs(folder: Path) -> list[tuple[Path, Path]]:
    """Return the pictures of x and y in the folder of a clip, in order.

    Raises:
        DatasetError: no pictures, or a picture without its partner.
    """
    found: dict[str, dict[int, Path]] = {"x": {}, "y": {}}
    if folder.is_dir():
        for path in folder.iterdir():
            if match := re.fullmatch(r"flow_([xy])_(\d+)\.(?:jpg|jpeg|png)", path.name):
                found[match[1]][int(match[2])] = path
    if not found["x"] or found["x"].keys() != found["y"].keys():
        raise DatasetError(
            f"{folder}: holds no flow_x_00001.jpg, flow_y_00001.jpg and so on; compute the flow of this clip, or use "
            "--flow dis"
        )
    return [(found["x"][number], found["y"][number]) for number in sorted(found["x"])]


def flow_from(
    folder: Path, times_s: npt.NDArray[np.float64], rate_hz: float, shape: tuple[int, int], crop: Crop
) -> Iterator[tuple[npt.NDArray[np.int8], float]]:
    """Return the motion of each frame within one period of the time grid: the sum of the pictures since then.

    Args:
        folder: of the clip.
        times_s: capture times of the clip's frames in seconds, `(n,)`.
        rate_hz: frames a second of the grid.
        shape: rows and columns wanted.
        crop: how a frame of another shape is fitted.

    Yields:
        As `flow.flow_of`.

    Raises:
        DatasetError: there are not as many pictures as the clip has frames, or one cannot be read.
    """
    pictures = pairs(folder)
    if abs(len(pictures) - (len(times_s) - 1)) > _TOLERATED_FRAMES:
        raise DatasetError(
            f"{folder}: holds flow of {len(pictures)} frames, and the clip has {len(times_s)}; compute it of this clip"
        )
    earlier = earlier_frames(times_s, rate_hz).tolist()
    recent: dict[int, npt.NDArray[np.float32]] = {}
    for index, since in enumerate(earlier):
        if index:
            recent[index] = _read(pictures[min(index, len(pictures)) - 1], shape, crop)
        recent = {number: moved for number, moved in recent.items() if number > since}
        total = sum(recent.values(), np.zeros((*shape, 2), np.float32))
        yield quantized_flow(total, shape), float(times_s[index])


def _read(pair: tuple[Path, Path], shape: tuple[int, int], crop: Crop) -> npt.NDArray[np.float32]:
    """Return flow as a share of the sides of the small frame, float32 `(height, width, 2)`."""
    import cv2

    levels = []
    for path in pair:
        picture = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_GRAYSCALE)
        if picture is None:
            raise DatasetError(f"{path}: cannot be read as a picture; compute the flow of this clip again")
        levels.append(picture)
    if levels[0].shape != levels[1].shape:
        raise DatasetError(f"{pair[1]}: is not of the size of {pair[0].name}; compute the flow of this clip again")
    moved = _fitted((np.stack(levels, axis=-1).astype(np.float32) - 128) * (BOUND_PIXELS / 127.5), shape, crop)
    shares = moved / np.array(moved.shape[1::-1], np.float32)
    resized: npt.NDArray[np.float32] = cv2.resize(shares, shape[::-1], interpolation=cv2.INTER_AREA)
    return resized


def _fitted(moved: npt.NDArray[np.float32], shape: tuple[int, int], crop: Crop) -> npt.NDArray[np.float32]:
    """Return a picture cropped or padded with zero motion to the aspect ratio of `shape`."""
    if crop == "stretch":
        return moved
    rows, columns = moved.shape[:2]
    ratio = shape[1] / shape[0]
    if crop == "center":
        height, width = min(rows, round(columns / ratio)), min(columns, round(rows * ratio))
        top, left = (rows - height) // 2, (columns - width) // 2
        return moved[top : top + height, left : left + width]
    height, width = max(rows, round(columns / ratio)), max(columns, round(rows * ratio))
    fitted = np.zeros((height, width, 2), np.float32)
    top, left = (height - rows) // 2, (width - columns) // 2
    fitted[top : top + rows, left : left + columns] = moved
    return fitted
