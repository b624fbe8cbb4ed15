"""Network cameras and their streams, with the stream that suits a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

from edgehar.errors import ConfigError, SourceError
from edgehar.sources import wsdiscovery
from edgehar.sources.onvif import OnvifCamera, StreamInfo

if TYPE_CHECKING:
    from collections.abc import Iterator

_SERVICE_PATH = "/onvif/device_service"


class NetworkCamera(msgspec.Struct, frozen=True, kw_only=True):
    """An ONVIF camera.

    Attributes:
        source: address of the stream to watch, without user and password; None if there is none.
        host: the camera's address.
        name: its name and hardware; "" if it was not announced.
        service: address of its device service.
        streams: its streams, largest first.
        why_not: why its streams are not known, or none is proposed; None if one is.
    """

    source: str | None
    host: str
    name: str
    service: str
    streams: list[StreamInfo] = []
    why_not: str | None = None


@dataclass(frozen=True)
class Wanted:
    """What a stream is for, and who asks.

    Attributes:
        least: fewest rows and columns that suit the model.
        rate_hz: frames a second of the model.
        user: user name at the cameras; "" for none.
        password: its password.
    """

    least: tuple[int, int]
    rate_hz: float
    user: str = ""
    password: str = ""


def find(wanted: Wanted, wait_s: float = 3.0) -> Iterator[NetworkCamera]:
    """Search the local networks, and ask each camera for its streams.

    Args:
        wanted: what the stream is for.
        wait_s: how long cameras may take to answer the search, in seconds.

    Raises:
        OSError: the network cannot be searched.
    """
    for found in wsdiscovery.probe(wait_s):
        yield _ask(found.service, found.host, found.name, wanted)


def ask(host: str, wanted: Wanted) -> NetworkCamera:
    """Ask one camera for its streams, by its host, `host:port` or the address of its device service.

    Raises:
        ConfigError: the address is invalid.
    """
    service = host if host.startswith(("http://", "https://")) else f"http://{host}{_SERVICE_PATH}"
    try:
        parts = urlsplit(service)
        valid = bool(parts.hostname) and parts.port != 0 and "@" not in parts.netloc
    except ValueError:
        valid = False
    if not valid or not service.isprintable() or " " in service:
        raise ConfigError("--network: not the address of a camera; give its host, as in 192.0.2.7, and --user")
    return _ask(service, parts.hostname or "", "", wanted)


def _ask(service: str, host: str, name: str, wanted: Wanted) -> NetworkCamera:
    try:
        streams = OnvifCamera(service, wanted.user, wanted.password).streams()
    except SourceError as error:
        trouble = str(error).removeprefix(f"{host}: ")
        return NetworkCamera(source=None, host=host, name=name, service=service, why_not=trouble)
    best = smallest_sufficient(streams, wanted.least, wanted.rate_hz)
    why_not = None
    if best is None:
        rows, columns = wanted.least
        why_not = f"no stream has the {columns}x{rows} pixels that suit the model; set a larger one in the camera"
    source = None if best is None else best.uri
    return NetworkCamera(source=source, host=host, name=name, service=service, streams=streams, why_not=why_not)


def smallest_sufficient(streams: list[StreamInfo], least: tuple[int, int], rate_hz: float) -> StreamInfo | None:
    """Return the smallest stream that suits a model; None if there is none.

    Streams at the model's rate or above come first, then H.264 and H.265 before JPEG, which needs more of the network.

    Args:
        streams: the streams.
        least: fewest rows and columns.
        rate_hz: frames a second of the model.
    """
    rows, columns = least
    enough = [stream for stream in streams if stream.height >= rows and stream.width >= columns]
    return min(
        enough,
        key=lambda stream: (
            stream.rate_hz is not None and stream.rate_hz < rate_hz,
            stream.encoding.upper() == "JPEG",
            stream.width * stream.height,
        ),
        default=None,
    )
