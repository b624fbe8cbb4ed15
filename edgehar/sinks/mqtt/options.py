"""Options of the `[mqtt]` table: the broker, its address, log-in and TLS."""

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
            description="Broker and base topic; mqtts:// uses TLS. Nothing is published without it.",
            examples=["mqtt://user@broker.local/edgehar/hall"],
        ),
    ] = None
    username: Annotated[str | None, Meta(description="User, if the URL names none.", examples=["edge"])] = None
    password: Annotated[
        Secret | None,
        Meta(description=f"Password, if neither the URL nor {PASSWORD_VARIABLE} contains it.", examples=["secret"]),
    ] = None
    password_file: Annotated[
        SecretFile | None,
        Meta(description="File whose first line is the password.", examples=["/etc/edgehar/mqtt-password"]),
    ] = None
    ca_file: Annotated[
        InputFile | None,
        Meta(
            description="Authorities to trust, as PEM. By default those of the system.",
            examples=["/etc/edgehar/ca.pem"],
        ),
    ] = None
    cert_file: Annotated[
        InputFile | None, Meta(description="Client certificate, as PEM.", examples=["/etc/edgehar/client.pem"])
    ] = None
    key_file: Annotated[
        SecretFile | None,
        Meta(
            description="Key of the client certificate, as PEM, if `cert_file` does not contain it.",
            examples=["/etc/edgehar/client.key"],
        ),
    ] = None
    protocol: Annotated[Literal["3.1.1", "5"], Meta(description="Version of MQTT.")] = "3.1.1"
    client_id: Annotated[
        Annotated[str, Meta(min_length=1, max_length=128)] | None,
        Meta(
            description="Client identifier. By default made from the base topic.",
            examples=["hall-camera"],
        ),
    ] = None
    keepalive_s: Annotated[
        int, Meta(ge=1, le=3600, description="Seconds of silence after which broker and device test their connection.")
    ] = 30
    discovery: Annotated[bool, Meta(description="Announce the device to Home Assistant.")] = False
    discovery_prefix: Annotated[
        str, Meta(min_length=1, description="Topic under which Home Assistant looks for devices.")
    ] = "homeassistant"
    commands: Annotated[
        bool, Meta(description="Accept set/enabled, set/threshold and snapshot under the base topic.")
    ] = False
    fleet: Annotated[
        bool, Meta(description="Follow orders of `edgehar fleet push`: take over signed models. Needs `models.swap`.")
    ] = False
    predictions: Annotated[
        bool, Meta(description="Publish every prediction in `predictions`, with QoS 0. Lost during an outage.")
    ] = False
    pictures: Annotated[
        bool,
        Meta(
            description="Publish the picture of the latest event in `event_picture`, retained, as `pictures` of the "
            "camera allows; never with `record.seal_to`."
        ),
    ] = False
    update_every_s: Annotated[
        float,
        Meta(
            ge=0,
            le=3600,
            description="Publish `prediction` when the label changes and `status` when the state changes, and "
            "otherwise at most this often, in seconds; 0 publishes each.",
        ),
    ] = 30.0

    def __repr__(self) -> str:
        """Return the options without credentials."""
        return f"MqttOptions(url={without_credentials(self.url or '')!r}, ...)"


@dataclass(frozen=True, kw_only=True)
class MqttTiming:
    """Timeouts and delays of the session, in seconds.

    Attributes:
        connect_timeout_s: limit for TCP, for TLS, and for the broker's answer to CONNECT, each.
        reconnect_first_s: bound of the first delay before a connection attempt; it doubles with each.
        reconnect_max_s: bound of every such delay.
        steady_s: a connection that lasted longer resets the delays.
        retry_first_s: bound of the first delay before an event is sent again that the broker refused.
        announce_within_s: retained topics are published within this time after Home Assistant has started.
        drain_timeout_s: how long `close` waits for the broker to take what is left.
        offline_timeout_s: how long it then waits for the broker to take `offline`.
    """

    connect_timeout_s: float = 5.0
    reconnect_first_s: float = 1.0
    reconnect_max_s: float = 60.0
    steady_s: float = 10.0
    retry_first_s: float = 1.0
    announce_within_s: float = 5.0
    drain_timeout_s: float = 3.0
    offline_timeout_s: float = 1.0


@dataclass(frozen=True)
class Broker:
    """A broker, and our identity there.

    Attributes:
        host: name or address.
        port: TCP port.
        tls: whether to use TLS.
        username: None for no log-in.
        password: left out of the repr.
        base_topic: start of all topics.
        client_id: our identity. It is always the same, so that the broker recognizes a lost connection and our session.
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
        """Return the address without credentials."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'mqtts' if self.tls else 'mqtt'}://{host}:{self.port}"

    def topic(self, *names: str) -> str:
        """Return a topic under the base topic. Empty names are left out."""
        return "/".join((self.base_topic, *filter(None, names)))

    @property
    def device_id(self) -> str:
        """Return the base topic in letters, digits, `_` and `-`, different for different topics."""
        return _identifier(self.base_topic)


def read_broker(options: MqttOptions) -> Broker:
    """Read address and log-in from the options, and check the TLS files.

    User, password, port and topic may be left out of the URL. The defaults are no log-in, 1883 or 8883, and
    `edgehar/<host name>`. Special characters are percent-encoded.

    Raises:
        ConfigError: an option is not valid. The message repeats neither URL nor password.
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
    """Return the topic in letters, digits, `_` and `-`, with a digest unless "/" is all that had to be replaced.

    A topic that has a "-" itself gets a digest too, because `a-b` and `a/b` must differ.
    """
    safe = re.sub(r"[^A-Za-z0-9_-]", "-", topic)
    if "-" not in topic and safe == topic.replace("/", "-"):
        return safe
    return f"{safe}-{hashlib.sha256(topic.encode()).hexdigest()[:8]}"


def _split(url: str) -> tuple[urllib.parse.SplitResult, str, int | None]:
    if not url.lower().startswith(tuple(f"{scheme}://" for scheme in _PORTS)):
        raise ConfigError(f"mqtt: the address must begin with mqtt:// or mqtts://, for example {_EXAMPLE}")
    try:
        parts = urllib.parse.urlsplit(url)
        host, port = parts.hostname or "", parts.port
        host.encode("idna")
    except ValueError:
        parts, host, port = urllib.parse.urlsplit(""), "", None
    # An unencoded "/", "?" or "#" in a password ends the host too early, and leaves an "@" in the path.
    if not host or port == 0 or parts.query or parts.fragment or "@" in parts.path:
        raise ConfigError(
            f"mqtt: the address has no valid host or port; write {_EXAMPLE}, special characters percent-encoded "
            "(# as %23, / as %2F, ? as %3F, @ as %40)"
        )
    return parts, host, port


def _either(first: str, second: str | None, what: str) -> str | None:
    if first and second:
        raise ConfigError(f"mqtt: the {what} is set twice, in the address and as an option; remove one")
    return first or second or None


def _password(in_url: str, options: MqttOptions) -> str | None:
    file = options.password_file
    in_file = None if file is None else read_secret("mqtt", "password_file", file)
    in_options = options.password.reveal() if options.password else ""
    return _either(in_url, _either(in_options, in_file, "password"), "password")


def _checked_topic(topic: str, what: str) -> str:
    if not topic or topic[0] in "$/" or any(character in topic for character in "+#\0") or len(topic) > 10_000:
        raise ConfigError(f"mqtt: the {what} must not start with $ or / or contain + or #; for example: edgehar/hall")
    return topic


def _device_name() -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "-", socket.gethostname()).strip("-") or "device"


def broker_context(options: MqttOptions) -> ssl.SSLContext:
    """Return a TLS context for the broker. Raises ConfigError if a file is missing or not valid."""
    return tls_context("mqtt", ca_file=options.ca_file, cert_file=options.cert_file, key_file=options.key_file)
