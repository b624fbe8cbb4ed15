"""Text that is safe for a terminal, and text that JSON can hold."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgehar.printable import printable, valid_unicode

ANY_TEXT = st.text(st.characters(exclude_categories=()))


@given(ANY_TEXT)
def test_whatever_is_in_it_a_terminal_gets_printable_text(text):
    assert printable(text).isprintable()
    assert text.isprintable() <= (printable(text) == text)


@given(ANY_TEXT)
def test_whatever_is_in_it_json_can_hold_it(text):
    json.dumps(valid_unicode(text), ensure_ascii=False).encode()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("hall", "hall"),
        ("Küche", "Küche"),
        ("\x1b[2J", r"\x1b[2J"),
        ("a\nb", r"a\nb"),
        ("lat\udce9.mp4", r"lat\xe9.mp4"),
    ],
)
def test_what_a_terminal_gets(text, shown):
    assert printable(text) == shown


def test_a_name_that_is_not_utf8_keeps_its_bytes_in_sight():
    assert valid_unicode("lat\udce9.mp4") == r"lat\xe9.mp4"
    assert valid_unicode("\ud800") == r"\ud800"
