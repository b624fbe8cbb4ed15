"""What the answers of the pages are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence
    from concurrent.futures import ThreadPoolExecutor

    from edgehar.web.board import Board
    from edgehar.web.camera import WebCamera
    from edgehar.web.live import LiveFeed
    from edgehar.web.options import WebOptions
    from edgehar.web.passwords import Password, Throttle
    from edgehar.web.sessions import Sessions


@dataclass(frozen=True)
class Services:
    """Everything that a request may need.

    Attributes:
        options: the settings of `[web]`.
        cameras: in the order of the configuration.
        board: the newest answers and events.
        feed: live pictures.
        sessions: who is logged in.
        password: what visitors must know; None if everyone may see the pages.
        throttle: waiting times after wrong passwords.
        checking: held while a password is checked, because each check takes 19 MiB.
        executor: threads for work that would block the event loop.
    """

    options: WebOptions
    cameras: Sequence[WebCamera]
    board: Board
    feed: LiveFeed
    sessions: Sessions
    password: Password | None
    throttle: Throttle
    checking: asyncio.Lock
    executor: ThreadPoolExecutor
