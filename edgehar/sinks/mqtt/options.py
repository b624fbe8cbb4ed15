"""Which MQTT broker to publish to, and how: options, the address in them, and TLS."""

from __future__ import annotations

import hashlib
import os
import re
import socket
import urllib.parse
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from msgspec import Meta

from edgehar.credentials import Secret, read_secret, tls_context, without_credentials
from edgehar.errors import ConfigError
from edgehar.paths import InputFile, SecretFile

if TYPE_CHECKING:
    import ssl

PASSWORD_VARIABLE = "EDGEHAR_MQTT_PASSWORD"  # noqa: S105 - the name, not the password
_PORTS = {"mqtt": 1883, "mqtts": 8883}
_EXAMPLE = "mqtt://user:password@host:1883/base/topic"


class MqttOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The `[mqtt]` table of the configuration."""

    url: Annotated[
        str | None,
        Meta(
            description="The broker and the base topic; mqtts:// is TLS. Without it nothing is published.",
            examples=["mqtt://user@broker.local/edgehar/hall"],
        ),
    ] = None
    username: Annotated[str | None, Meta(description="The user, where the URL names none.", examples=["edge"])] = None
    password: Annotated[
        Secret | None,
        Meta(description=f"The password, where neither the URL nor {PASSWORD_VARIABLE} holds it.", examples=["secret"]),
    ] = None
    password_file: Annotated[
        SecretFile | None,
        Meta(description="A file whose first line is the password.", examples=["/etc/edgehar/mqtt-password"]),
    ] = None
    ca_file: Annotated[
        InputFile | None,
        Meta(
            description="The authorities to trust, as PEM; without it those of the system.",
            examples=["/etc/edgehar/ca.pem"],
        ),
    ] = None
    cert_file: Annotated[
        InputFile | None, Meta(description="A client certificate, as PEM.", examples=["/etc/edgehar/client.pem"])
    ] = None
    key_file: Annotated[
        SecretFile | None,
        Meta(
            description="Its key, as PEM, where the certificate's file does not hold it.",
            examples=["/etc/edgehar/client.key"],
        ),
    ] = None
    protocol: Annotated[Literal["3.1.1", "5"], Meta(description="The version of MQTT.")] = "3.1.1"
    client_id: Annotated[
        Annotated[str, Meta(min_length=1, max_length=128)] | None,
        Meta(description="Who we are to the broker; without it made of the base topic.", examples=["hall-camera"]),
    ] = None
    keepalive_s: Annotated[
        int, Meta(ge=1, le=3600, description="After so much silence broker and device test their connection.")
    ] = 30
    discovery: Annotated[bool, Meta(description="Announce the device to Home Assistant.")] = False
    discovery_prefix: Annotated[
        str, Meta(min_length=1, description="The topic under which Home Assistant looks for devices.")
    ] = "homeassistant"
    commands: Annotated[
        bool, Meta(description="Obey set/enabled, set/threshold and snapshot under the base topic.")
    ] = False
    predictions: Annotated[
        bool, Meta(description="Publish every prediction too, with QoS 0; lost while the broker is away.")
    ] = False

    def __repr__(self) -> str:
        """The options, without what the URL may hold."""
        return f"MqttOptions(url={without_credentials(self.url or '')!r}, ...)"


@dataclass(frozen=True)
class Broker:
    """A broker, and who we are there.

    Attributes:
        host: name or address.
        port: TCP port.
        tls: whether to speak TLS.
        username: None for no log-in.
        password: never shown.
        base_topic: what all topics begin with.
        client_id: our identity, always the same, so that the broker recognises a lost connection and our session.
    """

    host: str
    port: int
    tls: bool
    username: str | None
    password: str | None = field(repr=False)
    base_topic: str
    client_id: str

    @property
    def where(self) -> str:
        """The broker's address as it may be shown."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'mqtts' if self.tls else 'mqtt'}://{host}:{self.port}"

    def topic(self, *names: str) -> str:
        """A topic under the base; empty names are left out."""
        return "/".join((self.base_topic, *filter(None, names)))

    @property
    def device_id(self) -> str:
        """The base topic in letters, digits, `_` and `-`."""
        return _identifier(self.base_topic)


def read_broker(options: MqttOptions) -> Broker:
    """Read the options: the address, the password wherever it is, and whether the files of TLS can be used.

    User, password, port and topic may be left out of the URL: no log-in, 1883 or 8883, and `edgehar/<host name>`.
    Special characters are percent-encoded.

    Raises:
        ConfigError: the options cannot be used. The message never repeats URL or password.
    """
    parts, host, port = _split(options.url or "")
    username = _either(urllib.parse.unquote(parts.username or ""), options.username, "user")
    password = _password(urllib.parse.unquote(parts.password or ""), options)
    if username is None and (password is not None or parts.password):
        raise ConfigError(f"mqtt: a password needs a user; write {_EXAMPLE}")
    if password is None and username is not None:
        password = os.environ.get(PASSWORD_VARIABLE)
    topic = _checked_topic(urllib.parse.unquote(parts.path.strip("/")) or f"edgehar/{_device_name()}", "base topic")
    _checked_topic(options.discovery_prefix, "discovery_prefix")
    tls = parts.scheme == "mqtts"
    if tls:
        broker_context(options)
    elif options.ca_file or options.cert_file or options.key_file:
        raise ConfigError("mqtt: ca_file, cert_file and key_file are for TLS; begin the address with mqtts://")
    client_id = options.client_id or _identifier(topic)
    return Broker(host, port or _PORTS[parts.scheme], tls, username, password, topic, client_id)


def _identifier(topic: str) -> str:
    """The topic in letters, digits, `_` and `-`; where that loses something, with what tells it from other topics."""
    plain = topic.replace("/", "-")
    safe = re.sub(r"[^A-Za-z0-9_-]", "-", plain)
    return safe if safe == plain else f"{safe}-{hashlib.sha256(plain.encode()).hexdigest()[:8]}"


def _split(url: str) -> tuple[urllib.parse.SplitResult, str, int | None]:
    if not url.startswith(tuple(f"{scheme}://" for scheme in _PORTS)):
        raise ConfigError(f"mqtt: the address must begin with mqtt:// or mqtts://, for example {_EXAMPLE}")
    try:
        parts = urllib.parse.urlsplit(url)
        host, port = parts.hostname or "", parts.port
        host.encode("idna")
    except ValueError:
        parts, host, port = urllib.parse.urlsplit(""), "", None
    # A password with a bare "/", "?" or "#" splits the address in the wrong place; its "@" then stands after the host.
    if not host or port == 0 or parts.query or parts.fragment or "@" in parts.path:
        raise ConfigError(
            f"mqtt: the address has no valid host or port; write {_EXAMPLE}, special characters percent-encoded "
            "(# as %23, / as %2F, ? as %3F, @ as %40)"
        )
    return parts, host, port


def _either(first: str, second: str | None, what: str) -> str | None:
    if first and second:
        raise ConfigError(f"mqtt: the {what} is given twice, in the address and beside it; leave one out")
    return first or second or None


def _password(in_url: str, options: MqttOptions) -> str | None:
    file = options.password_file
    in_file = None if file is None else read_secret("mqtt", "password_file", file)
    in_options = options.password.reveal() if options.password else ""
    return _either(in_url, _either(in_options, in_file, "password"), "password")


def _checked_topic(topic: str, what: str) -> str:
    if not topic or topic[0] in "$/" or any(character in topic for character in "+#\0") or len(topic) > 10_000:
        raise ConfigError(f"mqtt: the {what} must not begin with $ or / or contain + or #; an example: edgehar/hall")
    return topic


def _device_name() -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "-", socket.gethostname()).strip("-") or "device"


def broker_context(options: MqttOptions) -> ssl.SSLContext:
    """A context for TLS with the broker; ConfigError when a file cannot be used."""
    return tls_context("mqtt", ca_file=options.ca_file, cert_file=options.cert_file, key_file=options.key_file)
