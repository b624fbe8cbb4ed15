"""What may be commanded over MQTT. Off by default: whoever may publish on the broker could stop the watching."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

Value = bool | float | None

# The longest that is sensible is "0.123456".
LONGEST_PAYLOAD = 32
_SWITCH = {"on": True, "true": True, "1": True, "off": False, "false": False, "0": False}


def _enabled(text: str) -> bool:
    try:
        return _SWITCH[text.lower()]
    except KeyError:
        raise ValueError("is neither ON nor OFF") from None


def _threshold(text: str) -> float:
    # Stricter than `float`, which also reads "nan", "1_0" and digits of other scripts.
    if not re.fullmatch(r"[0-9](\.[0-9]{1,15})?", text) or float(text) > 1:
        raise ValueError("is not a number from 0 to 1")
    return float(text)


def _press(text: str) -> None:
    if text.upper() not in ("", "PRESS"):
        raise ValueError("is not PRESS")


# Each command: its topic under the base, its name, and what reads its payload.
_COMMANDS: dict[str, tuple[str, Callable[[str], Value]]] = {
    "set/enabled": ("enabled", _enabled),
    "set/threshold": ("threshold", _threshold),
    "snapshot": ("snapshot", _press),
}
COMMAND_TOPICS = tuple(_COMMANDS)


def read_command(topic: str, payload: bytes) -> tuple[str, Value]:
    """Name and value of a command: `enabled` with a bool, `threshold` with a float from 0 to 1, `snapshot` with None.

    Args:
        topic: the topic under the base, one of `COMMAND_TOPICS`.
        payload: what was published to it.

    Raises:
        ValueError: the payload cannot be obeyed; the message may be logged.
    """
    name, read = _COMMANDS[topic]
    if len(payload) > LONGEST_PAYLOAD:
        raise ValueError(f"has {len(payload)} bytes, more than {LONGEST_PAYLOAD}")
    try:
        text = payload.decode("ascii").strip()
    except UnicodeDecodeError:
        raise ValueError("is not plain text") from None
    return name, read(text)
