"""Read XML of strangers: no document types, which could define entities, and no more than a limit."""

from __future__ import annotations

from xml.etree import ElementTree

MOST_BYTES = 1 << 20


def parsed(data: bytes) -> ElementTree.Element | None:
    """Return the root of a document; None if it is not XML, has a document type, or is too large."""
    if len(data) > MOST_BYTES or b"<!DOCTYPE" in data or b"<!ENTITY" in data:
        return None
    try:
        # A document type is refused above, also in UTF-16.
        return ElementTree.fromstring(data.decode("utf-8-sig"))  # noqa: S314
    except (ElementTree.ParseError, UnicodeDecodeError, ValueError):
        return None


def find_text(root: ElementTree.Element, tag: str) -> str | None:
    """Return the text of the first element of this tag, anywhere; None if there is none."""
    found = root.find(f".//{tag}")
    return None if found is None else found.text
