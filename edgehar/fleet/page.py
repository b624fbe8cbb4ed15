"""A page of all devices in the browser. It shows, and changes nothing."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import msgspec

from edgehar.fleet.client import Message
from edgehar.fleet.view import DeviceInfo, device_info
from edgehar.health.monitor import Monitor
from edgehar.web.api import session
from edgehar.web.api.operation import Operation
from edgehar.web.board import Board
from edgehar.web.guard import json_response
from edgehar.web.services import Parts
from edgehar.web.site import Site

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from edgehar.fleet.client import Outage
    from edgehar.fleet.view import FleetView
    from edgehar.web.options import WebOptions
    from edgehar.web.services import Services


class FleetInfo(msgspec.Struct, frozen=True):
    """All devices.

    Attributes:
        connected: whether the broker is reached; if not, the rest may be old.
        devices: sorted by name.
    """

    connected: bool
    devices: list[DeviceInfo]


class FleetBoard:
    """What the page shows. Its two sides are in threads of their own."""

    def __init__(self, view: FleetView) -> None:
        """Show a view, which only this board may change from now on."""
        self._view, self._connected = view, True
        self._lock = threading.Lock()

    def take(self, message: Message | Outage) -> None:
        """Learn from a message."""
        with self._lock:
            if isinstance(message, Message):
                self._view.take(message)
            else:
                self._connected = not message.reason

    def info(self) -> FleetInfo:
        """Return the devices as they are now."""
        with self._lock:
            devices = sorted(self._view.devices.values(), key=lambda device: device.name)
            return FleetInfo(self._connected, [device_info(device, self._view.now()) for device in devices])


class FleetSite(Site):
    """The page of a fleet, with the log-in of the pages of a run."""

    pages = (("/", "fleet"), ("/login", "login"))
    sections = (("fleet", ""),)

    def __init__(self, options: WebOptions, board: FleetBoard) -> None:
        """Make the page.

        Args:
            options: address, password and language.
            board: the devices.

        Raises:
            ConfigError: the password cannot be read.
        """
        super().__init__(options, Parts(cameras=[], board=Board([]), monitor=Monitor()))
        self._board = board
        self.operations = (
            *session.OPERATIONS,
            Operation("GET", "/fleet", self._read_fleet, "All devices.", FleetInfo),
        )

    async def _read_fleet(self, _: Request, __: Services) -> Response:
        return json_response(self._board.info())
