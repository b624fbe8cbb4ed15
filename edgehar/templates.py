"""Texts about events, made from templates of the settings, and filters of events."""

from __future__ import annotations

import json
import string
from typing import TYPE_CHECKING

from edgehar.errors import ConfigError
from edgehar.records import Event

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

FIELDS = ("label", "camera", "score", "time", "duration_s", "clip", "clip_url", "id", "model", "phase")
_EXAMPLE = Event(
    phase="end", id="01a229b8-a5d9-7926-896a-0765da56e3be", revision=1, time="2026-11-21T05:40:00.123Z", source="hall",
    model="fight", label="fight", peak_score=0.9, start_s=1.0, end_s=2.0, clip="hall/a.mp4",
)  # fmt: skip


class Template:
    """A text with `{label}` and the other `FIELDS`, filled in from an event."""

    def __init__(
        self, where: str, text: str, *, longest: int | None = None, escape: Callable[[str], str] = str
    ) -> None:
        """Check a template.

        Args:
            where: names the setting in errors.
            text: the template; `{{` and `}}` are braces.
            longest: most characters of a label and of a camera's name; None for all.
            escape: applied to each value that is filled in.

        Raises:
            ConfigError: a field is not known, or the braces do not match.
        """
        try:
            parsed = list(string.Formatter().parse(text))
        except ValueError as error:
            raise ConfigError(f"{where}: {error}; write {{{{ and }}}} for braces") from None
        for _, field, specification, conversion in parsed:
            if field is not None and (field not in FIELDS or specification or conversion):
                known = ", ".join(f"{{{known}}}" for known in FIELDS)
                raise ConfigError(
                    f"{where}: {{{field}}} is not known; there are {known}; write {{{{ and }}}} for braces"
                )
        self._text, self._longest, self._escape = text, longest, escape

    @classmethod
    def of_json(cls, where: str, text: str) -> Template:
        """Check a template of JSON: values are escaped as they must be inside quotes. ConfigError as above."""
        template = cls(where, text, escape=lambda value: json.dumps(value, ensure_ascii=False)[1:-1])
        try:
            json.loads(template.fill(_EXAMPLE))
        except ValueError as error:
            raise ConfigError(
                f"{where}: not JSON when filled in: {error}; put texts such as {{label}} in quotes"
            ) from None
        return template

    def fill(self, event: Event) -> str:
        """Return the text about an event. Values that are not known yet are empty."""
        values = {
            "label": event.label[: self._longest],
            "camera": event.source[: self._longest],
            "score": f"{event.peak_score:.2f}",
            "time": event.time,
            "duration_s": "" if event.end_s is None else f"{event.end_s - event.start_s:.1f}",
            "clip": event.clip or "",
            "clip_url": event.clip_url or "",
            "id": event.id,
            "model": event.model,
            "phase": event.phase,
        }
        return self._text.format(**{name: self._escape(value) for name, value in values.items()})


def is_wanted(event: Event, *, labels: Collection[str], cameras: Collection[str], min_score: float) -> bool:
    """Return whether an event passes a filter.

    Args:
        event: the event.
        labels: labels that pass; all if empty.
        cameras: sources that pass; all if empty.
        min_score: least peak score so far.
    """
    return (
        (not labels or event.label in labels)
        and (not cameras or event.source in cameras)
        and event.peak_score >= min_score
    )
