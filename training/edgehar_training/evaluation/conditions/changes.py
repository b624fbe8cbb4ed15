"""Conditions: changes of the decoded frames of a clip, before they are resized.

Most conditions change the pixels of one frame independently of other frames. Randomness depends only on the clip, the
condition and the number of the frame, so that the same clip changes in the same way for every model and process.
"""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from edgehar.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    # uint8 `(height, width, 3)` BGR, or `(height, width)` gray levels.
    Picture: TypeAlias = npt.NDArray[np.uint8]

GAMMA = 2.5
BLUR_OF_HEIGHT = 0.01
NOISE_SIGMA = 10.0
SHAKE_OF_WIDTH = 0.01
# Largest movement of a camera, in standard deviations.
SHAKE_SIGMAS = 3.0
FLICKER = 0.2
CUT = 0.1
DROPPED = 0.2
BITS_PER_S = 150_000


@dataclasses.dataclass(frozen=True)
class Place:
    """The position of a frame.

    Attributes:
        seed: of the clip under its condition.
        index: number of the frame in the clip as recorded, from 0.
    """

    seed: int
    index: int = 0

    @property
    def clip_rng(self) -> np.random.Generator:
        """The same draws for every frame of the clip."""
        return np.random.default_rng([self.seed])

    @property
    def frame_rng(self) -> np.random.Generator:
        """Draws of this frame alone."""
        return np.random.default_rng([self.seed, 1 + self.index])


@dataclasses.dataclass(frozen=True)
class Condition:
    """A change of a clip; as recorded if all fields have their defaults.

    Attributes:
        name: as on the command line.
        words: description.
        change: a frame's picture made into another.
        keeps: whether a frame is there at all; the others keep their times.
        bits_per_s: re-encode the clip as H.264 at this bit rate.
        running: by an encoder that has run for a while.
    """

    name: str
    words: str
    change: Callable[[Picture, Place], Picture] | None = None
    keeps: Callable[[Place], bool] | None = None
    bits_per_s: int | None = None
    running: bool = False


def clip_seed(condition: str, clip: str) -> int:
    """Return the seed of a clip under a condition; `clip` is its name in the data set, the same on all machines."""
    return zlib.crc32(f"{condition} {clip}".encode())


def every_other(place: Place) -> bool:
    """Return whether a frame is kept at half the frame rate; the first frame is."""
    return place.index % 2 == 0


def not_dropped(place: Place) -> bool:
    """Return whether a frame is kept at random; the first frame always is, so that there is a clip."""
    return place.index == 0 or bool(place.frame_rng.random() >= DROPPED)


def dark(picture: Picture, _: Place) -> Picture:
    """Simulate low light: v becomes 255 (v / 255)^2.5, rounded to whole levels as an 8-bit camera does."""
    import cv2

    levels = np.rint(255 * (np.arange(256) / 255) ** GAMMA).astype(np.uint8)
    return _picture(cv2.LUT(picture, levels))


def blur(picture: Picture, _: Place) -> Picture:
    """Simulate defocus: a Gaussian blur whose standard deviation is 1 % of the frame height."""
    import cv2

    sigma = BLUR_OF_HEIGHT * picture.shape[0]
    return _picture(cv2.GaussianBlur(picture, (0, 0), sigma))


def noise(picture: Picture, place: Place) -> Picture:
    """Add sensor noise: Gaussian, standard deviation 10 levels, independent for each pixel, channel and frame."""
    import cv2

    drawn = np.empty(picture.shape, np.int16)
    # OpenCV draws four times faster than numpy, which matters for whole frames.
    cv2.setRNGSeed(int(place.frame_rng.integers(2**31)))
    cv2.randn(drawn, (0.0,) * 3, (NOISE_SIGMA,) * 3)
    return _picture(cv2.add(picture, drawn, dtype=cv2.CV_8U))


def mirrored(picture: Picture, _: Place) -> Picture:
    """Mirror left and right."""
    import cv2

    return _picture(cv2.flip(picture, 1))


def shifted(picture: Picture, place: Place) -> Picture:
    """Simulate a turned camera: crop a tenth off one side and off the top or bottom, the same for the whole clip.

    The center of the crop is 5 % of width and height from the center of the frame.
    """
    height, width = picture.shape[:2]
    rows, columns = round(CUT * height), round(CUT * width)
    from_top, from_left = place.clip_rng.integers(2, size=2)
    top, left = rows * int(from_top), columns * int(from_left)
    return picture[top : top + height - rows, left : left + width - columns]


def grey(picture: Picture, _: Place) -> Picture:
    """Simulate a camera without color, or infrared light at night: gray levels with BT.601 weights."""
    import cv2

    return _picture(cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_BGR2GRAY))


def jpeg(quality: int) -> Callable[[Picture, Place], Picture]:
    """Compress every frame as a JPEG, as many USB cameras do; `quality` is that of libjpeg, 1 to 100."""

    def compressed(picture: Picture, _: Place) -> Picture:
        import cv2

        _done, encoded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
        return _picture(cv2.imdecode(encoded, cv2.IMREAD_COLOR))

    return compressed


def shake(picture: Picture, place: Place) -> Picture:
    """Simulate an unsteady camera: shift every frame by whole pixels, Gaussian with 1 % of the width both ways.

    Pixels beyond the border repeat it.
    """
    import cv2

    height, width = picture.shape[:2]
    drawn = np.clip(place.frame_rng.standard_normal(2), -SHAKE_SIGMAS, SHAKE_SIGMAS)
    right, down = np.rint(SHAKE_OF_WIDTH * width * drawn)
    matrix = np.array([[1, 0, right], [0, 1, down]], np.float32)
    return _picture(
        cv2.warpAffine(picture, matrix, (width, height), flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
    )


def flicker(picture: Picture, place: Place) -> Picture:
    """Simulate flickering lamps or exposure: multiply each frame by a uniform factor of 0.8 to 1.2."""
    import cv2

    gain = place.frame_rng.uniform(1 - FLICKER, 1 + FLICKER)
    levels = np.clip(np.rint(gain * np.arange(256)), 0, 255).astype(np.uint8)
    return _picture(cv2.LUT(picture, levels))


RECORDED = Condition("as-recorded", "the clips as they are")
CONDITIONS: dict[str, Condition] = {
    condition.name: condition
    for condition in (
        RECORDED,
        Condition("h264", f"re-encoded as H.264 at {BITS_PER_S // 1000} kbit/s", bits_per_s=BITS_PER_S),
        Condition(
            "h264-running", "the same, by an encoder that has run for a while", bits_per_s=BITS_PER_S, running=True
        ),
        Condition("jpeg-90", "every frame a JPEG of quality 90", jpeg(90)),
        Condition("jpeg-40", "every frame a JPEG of quality 40", jpeg(40)),
        Condition("half-rate", "every other frame", keeps=every_other),
        Condition("dropped", f"{DROPPED:.0%} of the frames missing, at random", keeps=not_dropped),
        Condition("dark", f"gamma {GAMMA}", dark),
        Condition("flicker", f"every frame brighter or darker by up to {FLICKER:.0%}", flicker),
        Condition("noise", f"noise of {NOISE_SIGMA:g} levels", noise),
        Condition("blur", f"Gaussian blur of {BLUR_OF_HEIGHT:.0%} of the height", blur),
        Condition("grey", "a camera without color", grey),
        Condition("mirrored", "mirrored left to right", mirrored),
        Condition("shifted", f"{CUT:.0%} of width and height cut off one side", shifted),
        Condition("shake", f"every frame moved by {SHAKE_OF_WIDTH:.0%} of the width", shake),
    )
}


def chosen(names: Sequence[str]) -> list[Condition]:
    """Return conditions by name, as recorded first, the others in the order of the registry; all if no name is given.

    Raises:
        ConfigError: unknown condition.
    """
    for name in names:
        if name != "all" and name not in CONDITIONS:
            raise ConfigError(f"--conditions {name}: no such condition; there are all, {', '.join(CONDITIONS)}")
    wanted = set(CONDITIONS) if not names or "all" in names else {RECORDED.name, *names}
    return [condition for name, condition in CONDITIONS.items() if name in wanted]


def _picture(changed: object) -> Picture:
    """Return the result of OpenCV with its type."""
    return np.asarray(changed, np.uint8)
