"""Small pictures of clips for a report. They may show people to everyone who gets the report."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from edgehar.errors import SourceError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from edgehar_training.data.datasets import Clip

HEIGHT_PX = 84
PICTURES = 4
QUALITY = 80


def thumbnail(clip: Clip) -> str | None:
    """Return frames of a clip side by side, as a `data:` URL of a JPEG. Returns None if the clip cannot be read."""
    import cv2
    import numpy as np

    try:
        frames = _frames(clip)
    except SourceError:
        return None
    if not frames:
        return None
    chosen = [frames[i] for i in np.linspace(0, len(frames) - 1, min(PICTURES, len(frames))).round().astype(int)]
    good, coded = cv2.imencode(".jpg", np.hstack(chosen), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return f"data:image/jpeg;base64,{base64.b64encode(coded.tobytes()).decode()}" if good else None


def _frames(clip: Clip) -> list[npt.NDArray[np.uint8]]:
    """Return all frames between the start and end of a clip, resized: BGR, all of one size."""
    import cv2
    import numpy as np

    from edgehar import open_source
    from edgehar.pictures import as_bgr

    frames: list[npt.NDArray[np.uint8]] = []
    first_s = None
    size = None
    with open_source(clip.path) as source:
        for frame in source:
            first_s = frame.captured_s if first_s is None else first_s
            at_s = frame.captured_s - first_s
            if clip.end_s is not None and at_s > clip.end_s:
                break
            if clip.start_s is not None and at_s < clip.start_s:
                continue
            size = size or (max(1, round(frame.width * HEIGHT_PX / frame.height)), HEIGHT_PX)
            small = cv2.resize(np.ascontiguousarray(as_bgr(frame)), size, interpolation=cv2.INTER_AREA)
            frames.append(small.astype(np.uint8, copy=False))
    return frames
