"""Find network cameras: a probe of WS-Discovery by multicast, as ONVIF asks (OASIS WS-Discovery 1.0; ONVIF Core, 7)."""

from __future__ import annotations

import contextlib
import re
import select
import socket
import struct
import time
import uuid
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit, urlunsplit

import msgspec

from edgehar.sources.xml_text import find_text, parsed

if TYPE_CHECKING:
    from collections.abc import Iterator

GROUP, PORT = "239.255.255.250", 3702
_PROBE = """<?xml version="1.0" encoding="UTF-8"?>\
<e:Envelope xmlns:e="http://www.w3.org/2003/05/soap-envelope" \
xmlns:w="http://schemas.xmlsoap.org/ws/2004/08/addressing" \
xmlns:d="http://schemas.xmlsoap.org/ws/2005/04/discovery" \
xmlns:dn="http://www.onvif.org/ver10/network/wsdl"><e:Header><w:MessageID>{message_id}</w:MessageID>\
<w:To e:mustUnderstand="true">urn:schemas-xmlsoap-org:ws:2005:04:discovery</w:To>\
<w:Action e:mustUnderstand="true">http://schemas.xmlsoap.org/ws/2005/04/discovery/Probe</w:Action></e:Header>\
<e:Body><d:Probe><d:Types>dn:NetworkVideoTransmitter</d:Types></d:Probe></e:Body></e:Envelope>"""
_DISCOVERY = "{http://schemas.xmlsoap.org/ws/2005/04/discovery}"
_RELATES_TO = "{http://schemas.xmlsoap.org/ws/2004/08/addressing}RelatesTo"
# Datagrams get lost, and cameras answer a repeated probe again.
_SENDS = 2
_MOST_BYTES = 1 << 16
_MOST_CAMERAS = 256
_SCOPE = re.compile(r"onvif://www\.onvif\.org/(name|hardware)/(\S+)", re.IGNORECASE)


class Found(msgspec.Struct, frozen=True):
    """A camera that answered.

    Attributes:
        host: the address that the answer came from.
        service: address of its device service.
        name: its name and hardware, as it announces them; "" if it does not.
    """

    host: str
    service: str
    name: str


def probe(wait_s: float = 3.0, *, group: str = GROUP, port: int = PORT) -> list[Found]:
    """Ask all cameras of the local networks to answer, and return those that did within `wait_s` seconds.

    Raises:
        OSError: no socket can be opened.
    """
    message_id = f"uuid:{uuid.uuid4()}"
    data = _PROBE.format(message_id=message_id).encode()
    found: dict[str, Found] = {}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 1)
        udp.bind(("", 0))
        for _ in range(_SENDS):
            _send(udp, data, (group, port))
            for answer, host in _answers(udp, wait_s / _SENDS):
                camera = _read(answer, host, message_id)
                if camera is not None and len(found) < _MOST_CAMERAS:
                    found.setdefault(camera.service, camera)
    return sorted(found.values(), key=lambda camera: tuple(map(int, camera.host.split("."))))


def _send(udp: socket.socket, data: bytes, to: tuple[str, int]) -> None:
    """Send a datagram on every interface. Those without a network refuse it."""
    for index, _ in socket.if_nameindex():
        with contextlib.suppress(OSError):
            # struct ip_mreqn: group, local address, index of the interface.
            udp.setsockopt(
                socket.IPPROTO_IP, socket.IP_MULTICAST_IF, struct.pack("=4s4si", b"\0" * 4, b"\0" * 4, index)
            )
            udp.sendto(data, to)


def _answers(udp: socket.socket, wait_s: float) -> Iterator[tuple[bytes, str]]:
    end_s = time.monotonic() + wait_s
    while (left_s := end_s - time.monotonic()) > 0:
        if select.select([udp], [], [], left_s)[0]:
            answer, (host, _) = udp.recvfrom(_MOST_BYTES)
            yield answer, host


def _read(answer: bytes, host: str, message_id: str) -> Found | None:
    """Return the camera of an answer; None if it does not answer this probe."""
    root = parsed(answer)
    if root is None or (find_text(root, _RELATES_TO) or "").strip() != message_id:
        return None
    services = (find_text(root, f"{_DISCOVERY}XAddrs") or "").split()
    scopes = dict(_SCOPE.findall(find_text(root, f"{_DISCOVERY}Scopes") or ""))
    names = dict.fromkeys(unquote(scopes[kind]).replace("_", " ") for kind in ("name", "hardware") if kind in scopes)
    service = _service(services, host)
    return None if service is None else Found(host, service, " ".join(names))


def _service(services: list[str], host: str) -> str | None:
    """Return the address of the device service. It is on the host that answered, whatever the answer says."""
    valid = []
    for service in services:
        with contextlib.suppress(ValueError):
            parts = urlsplit(service)
            if parts.scheme in ("http", "https") and parts.hostname:
                valid.append((parts, parts.port))
    valid.sort(key=lambda pair: (pair[0].hostname != host, pair[0].scheme != "http"))
    if not valid:
        return None
    parts, port = valid[0]
    return urlunsplit((parts.scheme, host if port is None else f"{host}:{port}", parts.path or "/", "", ""))
