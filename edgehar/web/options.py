"""Settings of `[web]`, and the address to listen on."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from edgehar.credentials import Secret
from edgehar.errors import ConfigError
from edgehar.paths import InputFile, SecretFile

DEFAULT_LISTEN = "127.0.0.1:8088"


class WebOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Pages in the browser."""

    listen: Annotated[
        Annotated[str, Meta(min_length=1)] | None,
        Meta(
            description="Address and port of the pages, as HOST:PORT or PORT; a port alone is this machine only. Every "
            "other address needs a password. No page is served without it.",
            examples=[DEFAULT_LISTEN],
        ),
    ] = None
    password_hash: Annotated[
        Secret | None,
        Meta(description="Hash of the password, as `edgehar web password` prints it.", examples=["$argon2id$..."]),
    ] = None
    password_file: Annotated[
        SecretFile | None,
        Meta(description="File whose first line is that hash.", examples=["/etc/edgehar/web-password"]),
    ] = None
    session_days: Annotated[
        float, Meta(ge=0.01, le=366, description="Days without a visit after which a browser must log in again.")
    ] = 14.0
    cert_file: Annotated[
        InputFile | None,
        Meta(description="Certificate for https://, as PEM.", examples=["/etc/edgehar/web.pem"]),
    ] = None
    key_file: Annotated[
        SecretFile | None,
        Meta(
            description="Key of the certificate, as PEM, if `cert_file` does not contain it.",
            examples=["/etc/edgehar/web.key"],
        ),
    ] = None
    prefix: Annotated[
        str,
        Meta(
            pattern="^(/[A-Za-z0-9._~-]+)*$",
            description="Path under which a reverse proxy passes requests on, if it does not remove it.",
            extra={"words": "empty, or a path such as /edgehar"},
        ),
    ] = ""
    trusted_proxy: Annotated[
        Annotated[str, Meta(min_length=2, max_length=45)] | None,
        Meta(
            description="Address of a proxy that logs visitors in, such as Home Assistant's ingress. Only this address "
            "is answered, and no password is needed.",
            examples=["172.30.32.2"],
        ),
    ] = None
    language: Annotated[
        Literal["auto", "en", "de", "ru", "kk"],
        Meta(description="Language of the pages; by default the one that the browser asks for."),
    ] = "auto"
    pictures_per_s: Annotated[
        float, Meta(ge=0.1, le=10, description="Live pictures a second of each camera, while someone looks.")
    ] = 5.0
    picture_px: Annotated[int, Meta(ge=64, le=1920, description="Longer side of a live picture, in pixels.")] = 640

    @property
    def has_password(self) -> bool:
        """Whether visitors must log in."""
        return self.password_hash is not None or self.password_file is not None

    def __post_init__(self) -> None:
        """Check the address, and that everyone but this machine needs a password."""
        if self.password_hash is not None and self.password_file is not None:
            raise ValueError("password_hash and password_file are both set; keep one")
        if self.key_file is not None and self.cert_file is None:
            raise ValueError("key_file is set without cert_file; set both")
        if self.trusted_proxy is not None and plain_address(self.trusted_proxy) is None:
            raise ValueError(f"trusted_proxy is {self.trusted_proxy!r}, it must be an IP address such as 172.30.32.2")
        if self.listen is None:
            return
        host, _ = address_of(self.listen)
        if not self.has_password and self.trusted_proxy is None and not is_loopback(host):
            raise ValueError(
                "listen is open to other machines, which needs a password; run edgehar web password --out FILE and set "
                "password_file, or listen on 127.0.0.1"
            )


def address_of(listen: str) -> tuple[str, int]:
    """Return host and port of `HOST:PORT`, `[IPv6]:PORT` or `PORT`.

    Raises:
        ConfigError: there is no valid port.
    """
    host, separator, port = listen.strip().rpartition(":")
    host = host.removeprefix("[").removesuffix("]") if separator and host else "127.0.0.1"
    if not port.isascii() or not port.isdecimal() or not 0 < int(port) < 65_536:
        raise ConfigError(f"web: listen must be HOST:PORT, for example {DEFAULT_LISTEN}")
    return host, int(port)


def plain_address(text: str) -> str | None:
    """Return an IP address in its shortest form, an IPv4 address in IPv6 as IPv4; None if it is not an address."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return str(address if mapped is None else mapped)


def is_loopback(host: str) -> bool:
    """Return whether a host name or address is this machine only."""
    if host.casefold() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False
