"""The texts of the pages in several languages: one catalogue, a JSON file for each language.

A text with a number is a table of plural forms by the categories of CLDR (one, few, many, other), from which the page
chooses with the browser's `Intl.PluralRules`.
"""

from __future__ import annotations

import functools
import importlib.resources
import json
from typing import TypeAlias

Catalogue: TypeAlias = dict[str, str | dict[str, str]]

# In the order that a visitor chooses from, each by its own name.
LANGUAGES = {"en": "English", "de": "Deutsch", "ru": "Русский", "kk": "Қазақша"}


@functools.cache
def catalogue(language: str) -> Catalogue:
    """Return the texts of a language, by key."""
    file = importlib.resources.files("edgehar.web").joinpath("texts", f"{language}.json")
    texts: Catalogue = json.loads(file.read_text(encoding="utf-8"))
    return texts


def text(language: str, key: str) -> str:
    """Return a text without a number. Raises KeyError if there is none."""
    found = catalogue(language)[key]
    if not isinstance(found, str):
        raise KeyError(f"{key} has plural forms")
    return found


def choose_language(setting: str, chosen: str, accepted: str) -> str:
    """Return the language of a page.

    Args:
        setting: of `web.language`.
        chosen: what the visitor chose; "" if nothing.
        accepted: the browser's `Accept-Language`.

    >>> choose_language("auto", "", "fr, ru-KZ;q=0.8, en;q=0.5")
    'ru'
    """
    if chosen in LANGUAGES:
        return chosen
    if setting != "auto":
        return setting
    wanted = sorted((_wish(part) for part in accepted.split(",")), key=lambda wish: -wish[1])
    return next((language for language, quality in wanted if language in LANGUAGES and quality > 0), "en")


def _wish(part: str) -> tuple[str, float]:
    name, _, quality = part.strip().partition(";q=")
    try:
        return name.partition("-")[0].strip().lower(), float(quality or 1)
    except ValueError:
        return "", 0.0
