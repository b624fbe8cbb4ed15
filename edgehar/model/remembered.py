"""Training windows that a bundle remembers, so that `edgehar teach` can measure what a new head forgets.

A window is kept as the head's correction sees it: the mean, the maximum and the standard deviation over time of every
feature, as int8, and the logits of the bundle's own head. No picture can be made of them. The file holds one line of
JSON (`_Header`), the logits (float32, little-endian, windows x labels) and the statistics (int8, windows x columns).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import numpy as np

from edgehar.errors import BundleError
from edgehar.model.manifest import Sha256

if TYPE_CHECKING:
    import numpy.typing as npt

    from edgehar.model.manifest import Affine

# The optional file of a bundle, and bounds of what is written and read.
REMEMBERED_FILE = "remembered.bin"
MOST_WINDOWS = 64
MOST_WRITTEN_BYTES = 512_000
MOST_BYTES = 2_000_000
_MOST_HEADER_BYTES = 65_536
# Statistics of a feature: mean, maximum, standard deviation.
_STATISTICS = 3


class _Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The first line.

    Attributes:
        head: SHA-256 of the head whose logits they are.
        labels: labels of the logits.
        windows: number of windows of each label, in the order of the rows.
        columns: statistics of a window.
    """

    head: Sha256
    labels: Annotated[list[str], msgspec.Meta(min_length=2, max_length=1000)]
    windows: dict[str, Annotated[int, msgspec.Meta(ge=1, le=100_000)]]
    columns: Annotated[int, msgspec.Meta(ge=_STATISTICS, le=1_000_000)]


@dataclass(frozen=True)
class RememberedWindows:
    """Remembered windows of several labels.

    Attributes:
        head: SHA-256 of the head whose logits they are.
        labels: labels of the logits.
        truth: index of the label of each window, int `(windows,)`, not decreasing.
        logits: float32 `(windows, labels)`.
        codes: means, maxima and standard deviations of the features, int8 `(windows, columns)`.
    """

    head: str
    labels: tuple[str, ...]
    truth: npt.NDArray[np.intp]
    logits: npt.NDArray[np.float32]
    codes: npt.NDArray[np.int8]

    def pack(self) -> bytes:
        """Return the content of the file."""
        counts = np.bincount(self.truth, minlength=len(self.labels))
        windows = {label: int(count) for label, count in zip(self.labels, counts, strict=True) if count}
        header = msgspec.json.encode(_Header(self.head, list(self.labels), windows, self.codes.shape[1]))
        return b"\n".join([header, self.logits.astype("<f4").tobytes() + self.codes.tobytes()])

    def pooled(self, seam: Affine) -> npt.NDArray[np.float32]:
        """Return the statistics as real numbers, float32 `(windows, columns)`.

        Args:
            seam: quantization of the features.
        """
        scales, zeros = _columns(self.codes.shape[1], seam)
        return ((self.codes.astype(np.float32) - zeros) * scales).astype(np.float32)


def parse(content: bytes, name: str) -> RememberedWindows:
    """Read the content of the file.

    Args:
        content: all of it.
        name: how errors call it.

    Raises:
        BundleError: it is too large, damaged, or contradicts itself.
    """
    if len(content) > MOST_BYTES:
        raise BundleError(
            f"{name}: has {len(content):,} bytes, but {MOST_BYTES:,} are allowed; convert the model again"
        )
    line, _, rest = content[:_MOST_HEADER_BYTES].partition(b"\n")
    try:
        header = msgspec.json.decode(line, type=_Header)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BundleError(f"{name}: is damaged: {error}; convert the model again") from error
    labels, rest = header.labels, content[len(line) + 1 :]
    count, size = sum(header.windows.values()), 4 * len(labels) + header.columns
    order = [labels.index(label) for label in header.windows if label in labels]
    consistent = count and len(order) == len(header.windows) and order == sorted(order)
    if not consistent or len(set(labels)) < len(labels) or header.columns % _STATISTICS or len(rest) != count * size:
        raise BundleError(f"{name}: is damaged: its header contradicts its content; convert the model again")
    logits = np.frombuffer(rest, "<f4", count * len(labels)).reshape(count, len(labels)).astype(np.float32)
    if not np.isfinite(logits).all():
        raise BundleError(f"{name}: is damaged: a logit is not a number; convert the model again")
    codes = np.frombuffer(rest, np.int8, offset=logits.nbytes).reshape(count, header.columns)
    truth = np.repeat(np.array(order, np.intp), list(header.windows.values()))
    return RememberedWindows(header.head, tuple(labels), truth, logits, codes)


def codes_of(pooled: npt.NDArray[Any], seam: Affine) -> npt.NDArray[np.int8]:
    """Return statistics of features as int8, `(windows, columns)`.

    Args:
        pooled: means, then maxima, then standard deviations, float `(windows, columns)`.
        seam: quantization of the features.
    """
    scales, zeros = _columns(pooled.shape[1], seam)
    return np.clip(np.rint(pooled / scales) + zeros, -128, 127).astype(np.int8)


def windows_a_label(labels: int, actions: int, columns: int) -> int:
    """Return how many windows of each action fit into the file.

    Args:
        labels: of the model.
        actions: labels that are remembered.
        columns: statistics of a window.
    """
    size = columns + 4 * labels
    return min(MOST_WINDOWS, math.floor(MOST_WRITTEN_BYTES / size / max(1, actions)))


def _columns(columns: int, seam: Affine) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return scale and zero point of each statistic, float32 `(columns,)`.

    Means and maxima lie on the scale of the features. A deviation is at most half the range, and never negative.
    """
    features = columns // _STATISTICS
    scales = np.repeat(np.array([seam.scale, seam.scale, seam.scale / 2], np.float32), features)
    return scales, np.repeat(np.array([seam.zero_point, seam.zero_point, -128], np.float32), features)
