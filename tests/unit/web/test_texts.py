"""The catalogue: every text in every language, with its plural forms; and no text of the pages without an entry."""

import re

import pytest

from edgehar.web.texts import LANGUAGES, catalogue, choose_language, text

# The plural categories of whole and broken numbers in CLDR.
FORMS = {"en": {"one", "other"}, "de": {"one", "other"}, "ru": {"one", "few", "many", "other"}, "kk": {"one", "other"}}
HERE = __import__("importlib.resources").resources.files("edgehar.web")


def forms_of(text):
    return [text] if isinstance(text, str) else list(text.values())


def names_in(text):
    """The names in braces, over all plural forms."""
    return {name for form in forms_of(text) for name in re.findall(r"\{(\w+)\}", form)} - {"n"}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_text_is_there_in_every_language(language):
    english, texts = catalogue("en"), catalogue(language)
    assert list(texts) == list(english)
    for key, value in texts.items():
        assert isinstance(value, dict) == isinstance(english[key], dict), key
        assert names_in(value) == names_in(english[key]), key
        assert all(form.strip() == form != "" for form in forms_of(value)), key
        if isinstance(value, dict):
            assert set(value) == FORMS[language], key


def test_every_text_of_templates_and_scripts_is_in_the_catalogue():
    used, prefixes = set(), set()
    for folder in ("templates", "static"):
        for file in HERE.joinpath(folder).iterdir():
            if file.name.endswith((".html", ".js")):
                source = file.read_text(encoding="utf-8")
                used |= set(re.findall(r"[\"'`]((?:[a-z]+)\.[a-z][a-z-]*)[\"'`]", source))
                prefixes |= set(re.findall(r"\bt\(`([a-z]+\.)\$\{", source))
    texts = set(catalogue("en"))
    families = {key.partition(".")[0] for key in texts}
    assert {key for key in used if key.partition(".")[0] in families} <= texts | {"app.js", "live.js", "event.js"}
    known = used | {key for key in texts if key.startswith(tuple(prefixes))}
    own = {"app.description", *(key for key in texts if key.startswith("nav."))}
    assert texts - known - own == set()


@pytest.mark.parametrize(
    ("setting", "chosen", "accepted", "expected"),
    [
        ("auto", "", "", "en"),
        ("auto", "", "de-AT,de;q=0.9,en;q=0.5", "de"),
        ("auto", "", "fr, en;q=0.3, kk-KZ;q=0.7", "kk"),
        ("auto", "", "fr;q=x, *, ru;q=0", "en"),
        ("ru", "", "de", "ru"),
        ("ru", "kk", "de", "kk"),
        ("auto", "xx", "de", "de"),
    ],
)
def test_the_language_is_chosen_by_visitor_then_setting_then_browser(setting, chosen, accepted, expected):
    assert choose_language(setting, chosen, accepted) == expected


def test_a_text_with_a_number_is_for_the_page():
    assert text("de", "nav.log-out") == "Abmelden"
    with pytest.raises(KeyError):
        text("de", "events.found")
