"""Ask an ONVIF camera for its streams, with the four messages that this needs (ONVIF Core and Media, version 10)."""

from __future__ import annotations

import base64
import contextlib
import datetime
import hashlib
import http.client
import os
import urllib.error
import urllib.request
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit
from xml.sax.saxutils import escape

import msgspec

from edgehar.errors import SourceError
from edgehar.sources.xml_text import MOST_BYTES, find_text, parsed

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_DEVICE, _MEDIA = "http://www.onvif.org/ver10/device/wsdl", "http://www.onvif.org/ver10/media/wsdl"
_TYPES = "{http://www.onvif.org/ver10/schema}"
_SOAP = "{http://www.w3.org/2003/05/soap-envelope}"
_SECURITY = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss"
_MOST_PROFILES = 32
_REFUSED = 401


class StreamInfo(msgspec.Struct, frozen=True):
    """A stream of a camera.

    Attributes:
        uri: its address, without user and password.
        encoding: "H264", "H265", "JPEG", ..., as the camera names it.
        width: pixels in a row.
        height: rows.
        rate_hz: frames a second at most; None if the camera does not say.
    """

    uri: str
    encoding: str
    width: int
    height: int
    rate_hz: float | None = None


class OnvifCamera:
    """An ONVIF camera on the network."""

    def __init__(self, service: str, user: str = "", password: str = "", *, timeout_s: float = 5.0) -> None:
        """Talk to a camera; nothing is sent yet.

        Args:
            service: address of its device service.
            user: user name; "" to ask without one.
            password: password of the user.
            timeout_s: longest wait for each answer, in seconds.
        """
        self._service, self._user, self._password, self._timeout_s = service, user, password, timeout_s
        self._host = urlsplit(service).hostname or ""
        passwords = urllib.request.HTTPPasswordMgrWithDefaultRealm()
        if user:
            passwords.add_password(None, f"{urlsplit(service).scheme}://{urlsplit(service).netloc}", user, password)
        self._passwords = passwords
        # No proxy, and no redirect: the password is for this camera only.
        self._opener = urllib.request.OpenerDirector()
        for handler in (
            urllib.request.HTTPHandler(),
            urllib.request.HTTPSHandler(),
            urllib.request.HTTPDigestAuthHandler(passwords),
            urllib.request.HTTPDefaultErrorHandler(),
            urllib.request.HTTPErrorProcessor(),
        ):
            self._opener.add_handler(handler)
        self._ahead_s = 0.0

    def streams(self) -> list[StreamInfo]:
        """Return the streams of the camera, largest first.

        Raises:
            SourceError: it does not answer, refuses the user or password, or answers something else than ONVIF.
        """
        self._ahead_s = self._clock_ahead_s()
        capabilities = self._ask(
            self._service, f'<GetCapabilities xmlns="{_DEVICE}"><Category>Media</Category></GetCapabilities>'
        )
        media = capabilities.find(f".//{_TYPES}Media/{_TYPES}XAddr")
        if media is None or not media.text:
            raise SourceError(f"{self._host}: names no media service; it may be a recorder or a door station")
        # The address within the camera's own network may be another, and the password must not leave for it.
        address = self._on_host(media.text.strip())
        answer = self._ask(address, f'<GetProfiles xmlns="{_MEDIA}"/>')
        profiles = answer.findall(f".//{{{_MEDIA}}}Profiles")[:_MOST_PROFILES]
        found = [stream for profile in profiles if (stream := self._stream(address, profile)) is not None]
        return sorted(dict.fromkeys(found), key=lambda stream: -stream.width * stream.height)

    def _stream(self, address: str, profile: Element) -> StreamInfo | None:
        """Return the stream of a profile; None for one without video."""
        encoder = profile.find(f"{_TYPES}VideoEncoderConfiguration")
        if encoder is None:
            return None
        width, height = (_number(find_text(encoder, f"{_TYPES}{side}")) for side in ("Width", "Height"))
        if not width or not height:
            return None
        token = escape(profile.get("token", ""), {'"': "&quot;"})
        answer = self._ask(
            address,
            f'<GetStreamUri xmlns="{_MEDIA}"><StreamSetup><Stream xmlns="{_TYPES[1:-1]}">RTP-Unicast</Stream>'
            f'<Transport xmlns="{_TYPES[1:-1]}"><Protocol>RTSP</Protocol></Transport></StreamSetup>'
            f"<ProfileToken>{token}</ProfileToken></GetStreamUri>",
        )
        uri = (find_text(answer, f"{_TYPES}Uri") or "").strip()
        if not uri.startswith(("rtsp://", "rtsps://")):
            return None
        encoding = (find_text(encoder, f"{_TYPES}Encoding") or "").strip()
        rate_hz = _number(find_text(encoder, f"{_TYPES}FrameRateLimit"))
        return StreamInfo(_without_user(uri), encoding, round(width), round(height), rate_hz or None)

    def _clock_ahead_s(self) -> float:
        """Return how far the camera's clock is ahead of ours. It refuses passwords with a wrong time."""
        answer = self._ask(self._service, f'<GetSystemDateAndTime xmlns="{_DEVICE}"/>', secured=False)
        utc = answer.find(f".//{_TYPES}UTCDateTime")
        names = ("Year", "Month", "Day", "Hour", "Minute", "Second")
        if utc is None:
            return 0.0
        numbers = [int(_number(find_text(utc, f"{_TYPES}{name}")) or 0) for name in names]
        year, month, day, hour, minute, second = numbers
        with contextlib.suppress(ValueError, OverflowError):
            theirs = datetime.datetime(year, month, day, hour, minute, min(second, 59), tzinfo=datetime.UTC)
            return (theirs - datetime.datetime.now(datetime.UTC)).total_seconds()
        return 0.0

    def _on_host(self, address: str) -> str:
        parts, own = urlsplit(address), urlsplit(self._service)
        try:
            port = parts.port
        except ValueError:
            port = None
        if parts.hostname == own.hostname and parts.scheme == own.scheme:
            netloc = parts.netloc.rpartition("@")[2]
        else:
            netloc = own.netloc if port is None else f"{own.hostname}:{port}"
        return urlunsplit((own.scheme, netloc, parts.path or "/", parts.query, ""))

    def _ask(self, address: str, body: str, *, secured: bool = True) -> Element:
        """Return the body of the answer to a message. Raises SourceError."""
        header = self._security() if secured and self._user else ""
        text = (
            '<?xml version="1.0" encoding="UTF-8"?><s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope">'
            f"<s:Header>{header}</s:Header><s:Body>{body}</s:Body></s:Envelope>"
        )
        if self._user:
            parts = urlsplit(address)
            self._passwords.add_password(None, f"{parts.scheme}://{parts.netloc}", self._user, self._password)
        status, data = self._post(address, text.encode())
        root = parsed(data)
        fault = None if root is None else root.find(f".//{_SOAP}Fault")
        if status == _REFUSED or (fault is not None and "NotAuthorized" in "".join(fault.itertext())):
            raise SourceError(f"{self._host}: {self._why_refused()}")
        if fault is not None:
            said = " ".join((find_text(fault, f"{_SOAP}Text") or "no reason given").split())
            raise SourceError(f"{self._host}: refuses a request: {said[:200]}")
        found = None if root is None else root.find(f"{_SOAP}Body")
        if found is None:
            raise SourceError(f"{self._host}: its answer is not ONVIF (HTTP status {status})")
        return found

    def _why_refused(self) -> str:
        if not self._user:
            return "needs a user and password; give --user NAME, and the password in EDGEHAR_ONVIF_PASSWORD"
        return "refuses the user or password; check both (some cameras have users of their own for ONVIF)"

    def _post(self, address: str, data: bytes) -> tuple[int, bytes]:
        # The opener knows HTTP and HTTPS only.
        request = urllib.request.Request(  # noqa: S310
            address, data, {"Content-Type": "application/soap+xml; charset=utf-8"}, method="POST"
        )
        try:
            with self._opener.open(request, timeout=self._timeout_s) as answer:
                return answer.status, answer.read(MOST_BYTES + 1)
        except urllib.error.HTTPError as error:
            # SOAP reports faults with status 400 or 500.
            with error:
                return error.code, error.read(MOST_BYTES + 1)
        except (OSError, http.client.HTTPException, ValueError) as error:
            reason = getattr(error, "reason", error)
            why = getattr(reason, "strerror", None) or str(reason) or type(error).__name__
            raise SourceError(f"{self._host}: does not answer: {why}") from None

    def _security(self) -> str:
        """Return the header of WS-Security with a password digest (UsernameToken Profile 1.0)."""
        now = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=self._ahead_s)
        nonce, created = os.urandom(16), now.strftime("%Y-%m-%dT%H:%M:%SZ")
        # The profile prescribes SHA-1.
        digest = hashlib.sha1(nonce + created.encode() + self._password.encode()).digest()  # noqa: S324
        return (
            f'<w:Security s:mustUnderstand="1" xmlns:w="{_SECURITY}-wssecurity-secext-1.0.xsd" '
            f'xmlns:u="{_SECURITY}-wssecurity-utility-1.0.xsd"><w:UsernameToken>'
            f"<w:Username>{escape(self._user)}</w:Username>"
            f'<w:Password Type="{_SECURITY}-username-token-profile-1.0#PasswordDigest">'
            f"{base64.b64encode(digest).decode()}</w:Password>"
            f'<w:Nonce EncodingType="{_SECURITY}-soap-message-security-1.0#Base64Binary">'
            f"{base64.b64encode(nonce).decode()}</w:Nonce><u:Created>{created}</u:Created>"
            "</w:UsernameToken></w:Security>"
        )


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if 0 <= number < 1e6 else None


def _without_user(uri: str) -> str:
    parts = urlsplit(uri)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
