"""The kinds of sources: name, schemes, options, the class that reads each, and the library it needs."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgehar.errors import SourceError
from edgehar.sources import options

if TYPE_CHECKING:
    from edgehar.sources.base import Source

# Names for people, and of the package for pip, by module.
_NAMES = {"cv2": ("OpenCV", "opencv-python-headless")}


@dataclass(frozen=True)
class BackEnd:
    """One kind of source and the class that reads it.

    Attributes:
        name: its name.
        reads: description of the sources, for people.
        schemes: schemes of its addresses.
        home: module and class, imported at first use, so that a missing library disables only this back end.
        options: struct of its options.
        replays: whether its files can be read with `loop` and `realtime`.
        library: module that the class imports only when it is used; empty if there is none.
    """

    name: str
    reads: str
    schemes: tuple[str, ...]
    home: str
    options: type[options.SourceOptions]
    replays: bool = False
    library: str = ""

    def load(self) -> type[Source]:
        """Import the class.

        Raises:
            SourceError: a library is missing. The message names it and how to install it.
        """
        module_name, _, class_name = self.home.partition(":")
        try:
            if self.library:
                importlib.import_module(self.library)
            back_end: type[Source] = getattr(importlib.import_module(module_name), class_name)
        except ImportError as error:
            library = (error.name or "").partition(".")[0]
            called, package = _NAMES.get(library, (library, library))
            raise SourceError(f"this source needs {called}; run: pip install {package}") from error
        return back_end


_SOURCES = "edgehar.sources"
BACK_ENDS = (
    BackEnd(
        "v4l2",
        "USB and other V4L2 cameras",
        ("camera",),
        f"{_SOURCES}.camera:CameraSource",
        options.V4l2Options,
    ),
    BackEnd(
        "picamera2",
        "camera modules of a Raspberry Pi",
        ("picamera2",),
        f"{_SOURCES}.picamera2:Picamera2Source",
        options.Picamera2Options,
    ),
    BackEnd(
        "video",
        "video files and network streams",
        ("file", "http", "https", "rtsp", "rtsps"),
        f"{_SOURCES}.video:VideoSource",
        options.VideoOptions,
        replays=True,
    ),
    BackEnd(
        "images",
        "image files",
        ("images",),
        f"{_SOURCES}.images:ImagesSource",
        options.StillOptions,
        replays=True,
    ),
    BackEnd(
        "stdin",
        "raw frames on standard input",
        ("stdin",),
        f"{_SOURCES}.stdin:StdinSource",
        options.StdinOptions,
    ),
    BackEnd(
        "synthetic",
        "drawn figures",
        ("synthetic",),
        f"{_SOURCES}.synthetic.source:SyntheticSource",
        options.SourceOptions,
        library="cv2",
    ),
)
BY_SCHEME = {scheme: back_end for back_end in BACK_ENDS for scheme in back_end.schemes}


@dataclass(frozen=True)
class Availability:
    """Whether a back end can be used on this machine.

    Attributes:
        back_end: the back end.
        why_not: the missing library and how to install it; None if the back end works.
    """

    back_end: BackEnd
    why_not: str | None


def registry() -> list[Availability]:
    """List all back ends and whether each works here. Imports their libraries; opens no camera."""
    return [Availability(back_end, _why_not(back_end)) for back_end in BACK_ENDS]


def _why_not(back_end: BackEnd) -> str | None:
    try:
        back_end.load().check()
    except SourceError as error:
        return str(error)
    except Exception as error:  # a library that is installed but broken
        return f"{type(error).__name__} while loading it: {error}; reinstall its library"
    return None
