"""File names that are not UTF-8 in JSON and on the screen."""

import os

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgehar.printable import valid_unicode
from edgehar_training.file_names import decode_json, encode_json, printable_values


class Note(msgspec.Struct):
    path: str
    seen: dict[str, int]


@given(st.binary(max_size=40), st.binary(max_size=10))
def test_any_name_comes_back_from_json_and_can_be_printed(name, other):
    note = Note(os.fsdecode(name), {os.fsdecode(other): 1})
    content = encode_json(note)
    content.decode("ascii")
    assert decode_json(content, Note) == note
    valid_unicode(note.path).encode()
    seen = {valid_unicode(os.fsdecode(other)): 1}
    assert printable_values([note.path, note.seen]) == [valid_unicode(note.path), seen]


@given(st.text())
def test_text_is_printed_as_it_is(text):
    assert valid_unicode(text) == text


def test_a_byte_that_is_not_utf8_is_shown_in_hexadecimal():
    assert valid_unicode(os.fsdecode(b"lat\xe9.mp4")) == r"lat\xe9.mp4"
    assert valid_unicode("\ud800") == r"\ud800"


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"path": 1, "seen": {}}'])
def test_other_content_is_a_decode_error(content):
    with pytest.raises(msgspec.DecodeError):
        decode_json(content, Note)
