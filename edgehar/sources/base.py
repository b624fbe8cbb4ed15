"""What every source of frames has in common."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgehar.frames import Frame


class Source(abc.ABC):
    """Frames in capture order. Iterate it, and close it (or use it as a context manager).

    Attributes:
        name: how results name this source, without credentials.
        live: True when frames come at their own pace and late ones are worth nothing (a camera); False when every
            frame counts and the reader sets the pace (a file).
    """

    live: bool = False
    name: str

    @abc.abstractmethod
    def __iter__(self) -> Iterator[Frame]:
        """Frames until the source ends; SourceError when it cannot be read."""

    def close(self) -> None:  # noqa: B027 - many sources have nothing to close
        """Let go of the device or file. Safe to call twice, and from another thread than the one that iterates."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
