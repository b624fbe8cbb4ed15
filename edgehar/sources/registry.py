"""The kinds of sources there are: what each is called, which class reads it, and which library that needs."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgehar.errors import SourceError

if TYPE_CHECKING:
    from edgehar.sources.base import Source

_PIP_NAMES = {"cv2": "opencv-python-headless"}


@dataclass(frozen=True)
class BackEnd:
    """What reads one kind of source.

    Attributes:
        name: what it is called.
        reads: what it reads, for people.
        schemes: how its addresses begin.
        home: module and class, imported at first use: a missing library disables one back end and no other.
        replays: whether its files can be read with `loop` and `realtime`.
    """

    name: str
    reads: str
    schemes: tuple[str, ...]
    home: str
    replays: bool = False

    def load(self) -> type[Source]:
        """The class.

        Raises:
            SourceError: a library is missing; says which, and how to install it.
        """
        module_name, _, class_name = self.home.partition(":")
        try:
            back_end: type[Source] = getattr(importlib.import_module(module_name), class_name)
        except ImportError as error:
            library = (error.name or "").partition(".")[0]
            needed = _PIP_NAMES.get(library, library)
            raise SourceError(f"this source needs {library}; run: pip install {needed}") from error
        return back_end


_SOURCES = "edgehar.sources"
BACK_ENDS = (
    BackEnd("v4l2", "USB and other V4L2 cameras", ("camera",), f"{_SOURCES}.camera:CameraSource"),
    BackEnd("picamera2", "camera modules of a Raspberry Pi", ("picamera2",), f"{_SOURCES}.picamera2:Picamera2Source"),
    BackEnd(
        "video",
        "video files and network streams",
        ("file", "http", "https", "rtsp", "rtsps"),
        f"{_SOURCES}.video:VideoSource",
        replays=True,
    ),
    BackEnd("images", "image files", ("images",), f"{_SOURCES}.images:ImagesSource", replays=True),
    BackEnd("stdin", "raw frames on standard input", ("stdin",), f"{_SOURCES}.stdin:StdinSource"),
    BackEnd("synthetic", "drawn figures", ("synthetic",), f"{_SOURCES}.synthetic.source:SyntheticSource"),
)
BY_SCHEME = {scheme: back_end for back_end in BACK_ENDS for scheme in back_end.schemes}


@dataclass(frozen=True)
class Availability:
    """Whether a back end can be used here.

    Attributes:
        back_end: which.
        why_not: what is missing, and how to get it; None when it can be used.
    """

    back_end: BackEnd
    why_not: str | None


def registry() -> list[Availability]:
    """All back ends, and whether each can be used here. It imports their libraries, and opens no camera."""
    return [Availability(back_end, _why_not(back_end)) for back_end in BACK_ENDS]


def _why_not(back_end: BackEnd) -> str | None:
    try:
        back_end.load().check()
    except SourceError as error:
        return str(error)
    except Exception as error:  # a library that is there and broken
        return f"{type(error).__name__} while it was loaded: {error}; reinstall its library"
    return None
