"""Commands over MQTT. Off by default, because everyone who may publish on the broker could pause the device."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

# Longest payload in bytes. The longest that makes sense is "0.123456".
MAX_PAYLOAD = 32
_SWITCH = {"on": True, "true": True, "1": True, "off": False, "false": False, "0": False}


@dataclass(frozen=True, slots=True)
class SetEnabled:
    """Resume or pause classification of all cameras."""

    enabled: bool


@dataclass(frozen=True, slots=True)
class SetThreshold:
    """Set the threshold of all classes of all cameras, 0 to 1."""

    threshold: float


@dataclass(frozen=True, slots=True)
class TakeSnapshot:
    """Publish the newest frame of each camera once."""


Command = SetEnabled | SetThreshold | TakeSnapshot


def _enabled(text: str) -> SetEnabled:
    try:
        return SetEnabled(_SWITCH[text.lower()])
    except KeyError:
        raise ValueError("is neither ON nor OFF") from None


def _threshold(text: str) -> SetThreshold:
    # Stricter than `float`, which also accepts "nan", "1_0" and digits of other scripts.
    if not re.fullmatch(r"[0-9](\.[0-9]{1,15})?", text) or float(text) > 1:
        raise ValueError("is not a number from 0 to 1")
    return SetThreshold(float(text))


def _snapshot(text: str) -> TakeSnapshot:
    if text.upper() not in ("", "PRESS"):
        raise ValueError("is not PRESS")
    return TakeSnapshot()


# Parser of the payload of each topic under the base topic.
_PARSERS: dict[str, Callable[[str], Command]] = {
    "set/enabled": _enabled,
    "set/threshold": _threshold,
    "snapshot": _snapshot,
}
COMMAND_TOPICS = tuple(_PARSERS)


def read_command(topic: str, payload: bytes) -> Command:
    """Parse a command.

    Args:
        topic: topic under the base topic, one of `COMMAND_TOPICS`.
        payload: payload of the message.

    Raises:
        ValueError: the payload is not valid. The message may be logged.
    """
    if len(payload) > MAX_PAYLOAD:
        raise ValueError(f"has {len(payload)} bytes, more than {MAX_PAYLOAD}")
    try:
        text = payload.decode("ascii").strip()
    except UnicodeDecodeError:
        raise ValueError("is not plain text") from None
    return _PARSERS[topic](text)
