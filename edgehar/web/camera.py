"""A camera as the pages see it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

    from edgehar.frames import Frame
    from edgehar.masks import View
    from edgehar.model.manifest import Decision, Manifest
    from edgehar.records import Status, StreamState

    # Takes the encoder's input, which is valid during the call only: int8 (1, height, width, 3), or (1, 2, height,
    # width, 3) of a model with two looks.
    TakeInput: TypeAlias = Callable[[npt.NDArray[np.int8]], object]


@dataclass(frozen=True)
class WebCamera:
    """A camera's functions for the pages. They may be called from any thread.

    Attributes:
        name: its name in records.
        key: its name in addresses of pages, and of its folder of recordings.
        read_manifest: returns that of its model, which may change while the run goes on.
        bundle_path: returns the path of that model.
        read_view: returns what may be shown of its picture, which may change while the run goes on.
        frame: returns the newest frame; None before the first.
        take_input: has a function called once with the next input of the network, by the thread that classifies.
        state: returns the state of its stream.
        status: returns its status.
        rules: returns the rules of decision in force.
    """

    name: str
    key: str
    read_manifest: Callable[[], Manifest]
    bundle_path: Callable[[], Path]
    read_view: Callable[[], View]
    frame: Callable[[], Frame | None]
    take_input: Callable[[TakeInput], object]
    state: Callable[[], StreamState]
    status: Callable[[], Status]
    rules: Callable[[], Decision]

    @property
    def manifest(self) -> Manifest:
        """That of the model now."""
        return self.read_manifest()

    @property
    def view(self) -> View:
        """What may be shown of its picture now."""
        return self.read_view()

    @property
    def actions(self) -> list[str]:
        """The labels that may open an event."""
        background = set(self.rules().background)
        return [label for label in self.manifest.labels if label not in background]
