"""The text of messages, and the services they are sent through."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgehar.errors import ConfigError
from edgehar.templates import Template

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from edgehar.delivery.options import NotifyOptions
    from edgehar.records import Event

_INSTALL = "notify needs apprise; run: pip install 'edgehar[notify]'"
# A service that hangs is given up after so long, in seconds.
TIMEOUT_S = 20
# Services cut longer text, some in the middle of a character.
_LONGEST = 200


@dataclass(frozen=True)
class Message:
    """One message.

    Attributes:
        title: a line of plain text.
        body: plain text.
        picture: JPEG; None for none.
    """

    title: str
    body: str
    picture: bytes | None = None


class Messages:
    """Makes messages from the templates of the settings."""

    def __init__(self, options: NotifyOptions) -> None:
        """Check the templates; ConfigError if one has an unknown field."""
        self._title = Template("notify: title", options.title, longest=_LONGEST)
        self._body = Template("notify: body", options.body, longest=_LONGEST)

    def of(self, event: Event, picture: bytes | None) -> Message:
        """Return the message about an event."""
        return Message(" ".join(self._title.fill(event).split()), self._body.fill(event), picture)

    def digest(self, left_out: Mapping[tuple[str, str], int]) -> Message:
        """Return the message about events that had none of their own, by label and camera."""
        total = sum(left_out.values())
        rows = sorted(left_out.items(), key=lambda item: -item[1])
        body = "\n".join(f"{count} x {label[:_LONGEST]} at {camera[:_LONGEST]}" for (label, camera), count in rows)
        return Message(f"{total} more events", body)


def apprise_sender(options: NotifyOptions) -> Callable[[Message], str | None]:
    """Return a function that sends a message to every address, and returns why that failed, or None.

    Called again with the same message, it sends it to the addresses that have not taken it.

    Raises:
        ConfigError: apprise is missing, or an address is not one of its.
    """
    apprise = _load()
    services = [_service(apprise, number, address) for number, address in enumerate(addresses(options))]

    latest: Message | None = None
    left: list[tuple[str, Any]] = []

    def send(message: Message) -> str | None:
        nonlocal latest, left
        if message is not latest:
            latest, left = message, services
        left = [(name, service) for name, service in left if not _sent(apprise, service, message)]
        return f"{', '.join(name for name, _ in left)} did not take it" if left else None

    return send


def addresses(options: NotifyOptions) -> list[str]:
    """Return the addresses of the settings and of their file; ConfigError if the file cannot be read."""
    found = [address.reveal() for address in options.urls]
    if options.urls_file is not None:
        from pathlib import Path

        try:
            text = Path(options.urls_file).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not UTF-8 text"
            raise ConfigError(f"notify: urls_file {options.urls_file}: cannot be read: {reason}") from None
        found += [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return found


def _service(apprise: Any, number: int, address: str) -> tuple[str, Any]:
    service = apprise.Apprise.instantiate(address, suppress_exceptions=True)
    if service is None:
        kind = address.partition("://")[0] if "://" in address else "?"
        raise ConfigError(
            f"notify: address {number + 1} ({kind}://...) is not one that Apprise knows, or a part of it is missing; "
            "see https://github.com/caronc/apprise/wiki"
        )
    return f"address {number + 1} ({service.service_name})", service


def _sent(apprise: Any, service: Any, message: Message) -> bool:
    one = apprise.Apprise()
    one.add(service)
    attachment = None
    if message.picture is not None:
        from apprise.attachment.memory import AttachMemory

        attachment = AttachMemory(content=message.picture, name="event.jpg", mimetype="image/jpeg")
    return bool(
        one.notify(body=message.body, title=message.title, body_format=apprise.NotifyFormat.TEXT, attach=attachment)
    )


def _load() -> Any:
    import logging

    try:
        import apprise
    except ImportError:
        raise ConfigError(_INSTALL) from None
    # It logs addresses, which hold credentials.
    logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
    return apprise
