"""The common layout of UCF50 and UCF101: `<Class>/v_<Class>_gNN_cNN.avi`, in 25 groups."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from edgehar_training.data.datasets.folder import class_folders, misnamed

if TYPE_CHECKING:
    from pathlib import Path

NAMED = "v_<Class>_gNN_cNN.avi"
_NAME = re.compile(r"v_.+_g(?P<group>\d{2})_c\d{2}")


def ucf_videos(data_dir: Path, dataset: str, beside: frozenset[str] = frozenset()) -> list[tuple[str, Path, int]]:
    """Return class, path and group number of every video.

    The clips of a group were cut from the same video, or show the same person or scene. Each class counts its groups
    separately, so that g01 of two classes has nothing in common; the official protocols split by the number all the
    same, which keeps every class in every part.

    Raises:
        DatasetError: the folder is not laid out so.
    """
    videos = []
    for _, label, path in class_folders(data_dir, layout=f"<Class>/{NAMED}", beside=beside):
        match = _NAME.fullmatch(path.stem)
        if match is None:
            raise misnamed(path, NAMED, dataset)
        videos.append((label, path, int(match["group"])))
    return videos
