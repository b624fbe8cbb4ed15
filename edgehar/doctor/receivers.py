"""Checks of the receivers: the MQTT broker accepts the login, and the server of the webhook answers."""

from __future__ import annotations

import dataclasses
import socket
import time
from typing import TYPE_CHECKING

from edgehar.credentials import tls_context
from edgehar.doctor.finding import Finding, from_error
from edgehar.errors import EdgeharError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from paho.mqtt.client import Client

    from edgehar.config import Config
    from edgehar.sinks.mqtt.options import Broker, MqttOptions

_TIMEOUT_S = 5.0


def check_broker(config: Config) -> Iterator[Finding]:
    """Log in to the broker with a client id of its own, so that a running service is not disconnected."""
    from edgehar.sinks.mqtt.options import read_broker

    if config.mqtt.url is None:
        return
    try:
        broker = read_broker(config.mqtt)
        trouble = _log_in(dataclasses.replace(broker, client_id=f"{broker.client_id}-doctor"), config.mqtt)
    except EdgeharError as error:
        yield from_error("broker", error)
        return
    if trouble is None:
        user = f" as {broker.username}" if broker.username else ", without a user"
        clear = "" if broker.tls else "; unencrypted, use mqtts:// for TLS"
        yield Finding("broker", "ok", f"{broker.where} accepts the login{user}{clear}")
    else:
        says, fix = trouble
        yield Finding("broker", "fail", f"{broker.where}: {says}", fix)


def _log_in(broker: Broker, options: MqttOptions) -> tuple[str, str] | None:
    """Log in; returns what is wrong and what to do, or None if the broker accepts the login."""
    import ssl

    answers: list[str] = []
    client = _client(broker, options, answers)
    try:
        client.connect(broker.host, broker.port)
        deadline_s = time.monotonic() + _TIMEOUT_S
        while not answers and time.monotonic() < deadline_s:
            client.loop(0.1)
    except ssl.SSLError as error:
        why = getattr(error, "verify_message", None) or error.reason or str(error)
        return f"TLS: {why}", "check mqtt.ca_file, the name in the broker's certificate, and the clock"
    except socket.gaierror as error:
        return f"its name cannot be resolved: {error.strerror}", "check mqtt.url and the network"
    except OSError as error:
        return f"cannot be reached: {error.strerror or error}", "start it, and check mqtt.url and its firewall"
    finally:
        client.disconnect()
    if not answers:
        return (
            f"does not answer within {_TIMEOUT_S:.0f} s",
            "check that port and TLS (mqtts://) are those of the broker",
        )
    return (answers[0], "check user, password and the broker's access rules") if answers[0] else None


def _client(broker: Broker, options: MqttOptions, answers: list[str]) -> Client:
    """Return a client that adds the broker's answer to `answers`: empty if it accepts the login."""
    from paho.mqtt.client import Client
    from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

    version = MQTTProtocolVersion.MQTTv5 if options.protocol == "5" else MQTTProtocolVersion.MQTTv311
    client = Client(
        CallbackAPIVersion.VERSION2, client_id=broker.client_id, protocol=version, reconnect_on_failure=False
    )
    client.connect_timeout = _TIMEOUT_S
    if broker.username is not None:
        client.username_pw_set(broker.username, broker.password)
    if broker.tls:
        files = {"ca_file": options.ca_file, "cert_file": options.cert_file, "key_file": options.key_file}
        client.tls_set_context(tls_context("mqtt", **files))
    client.on_connect = lambda _client, _data, _flags, reason, _properties: answers.append(
        f"refuses: {reason}" if reason.is_failure else ""
    )
    return client


def check_webhook(config: Config) -> Iterator[Finding]:
    """Check that the address of the webhook accepts connections, with a trusted certificate. Sends nothing."""
    from edgehar.sinks.webhook.options import read_receiver

    if config.webhook.url is None:
        return
    try:
        receiver = read_receiver(config.webhook)
    except EdgeharError as error:
        yield from_error("webhook", error)
        return
    try:
        with socket.create_connection((receiver.host, receiver.port), timeout=_TIMEOUT_S) as connection:
            if receiver.context is not None:
                receiver.context.wrap_socket(connection, server_hostname=receiver.host).close()
    except OSError as error:
        why = getattr(error, "verify_message", None) or error.strerror or error
        yield Finding("webhook", "fail", f"{receiver.where}: {why}", "check webhook.url, the server and the network")
    else:
        yield Finding("webhook", "ok", f"{receiver.where} answers")
