"""Records of the spool's files: whatever is damaged, the others are found, and none is read wrongly."""

from hypothesis import given
from hypothesis import strategies as st

from edgehar.sinks.spool.record import (
    EVENT,
    MAGIC,
    REMOVAL,
    SpoolRow,
    encode_event,
    encode_removal,
    entry_at,
    read_row,
    scan,
)

rows = st.builds(
    SpoolRow,
    sequence=st.integers(0, 2**64 - 1),
    id=st.text(st.characters(codec="utf-8"), max_size=20),
    time_s=st.floats(0, 1e10),
    payload=st.binary(max_size=200) | st.binary(max_size=50).map(lambda rest: MAGIC + rest),
)
# Anything but a record, and without the start of one, which would be a record that was cut.
garbage = st.binary(max_size=200).filter(lambda content: MAGIC[0] not in content)


@given(rows, st.integers(0, 2**64 - 1))
def test_an_event_is_read_as_it_was_written(row, first):
    record = encode_event(row, first)
    assert read_row(record) == row
    assert len(record) == row.size
    entry = entry_at(record, 0)
    assert (entry.kind, entry.sequence, entry.first, entry.size) == (EVENT, row.sequence, first, len(record))


def test_a_removal_names_its_range():
    (entry,) = scan(encode_removal(3, 7))
    assert (entry.kind, entry.first, entry.sequence) == (REMOVAL, 3, 7)
    assert read_row(encode_removal(3, 7)) is None


def test_every_single_bit_that_flips_costs_one_record_only():
    first, second, third = (
        encode_event(SpoolRow(number, f"id {number}", 1.5, b"payload %d" % number), 1) for number in (1, 2, 3)
    )
    for bit in range(len(second) * 8):
        damaged = bytearray(second)
        damaged[bit // 8] ^= 1 << bit % 8
        found = list(scan(first + bytes(damaged) + third))
        assert [entry.sequence for entry in found if not isinstance(entry, tuple)] == [1, 3]
        assert [span for span in found if isinstance(span, tuple)] == [(len(first), len(first) + len(second))]
        assert read_row(bytes(damaged)) is None


@given(st.lists(st.tuples(garbage, rows), max_size=8), garbage)
def test_records_are_found_between_garbage(parts, end):
    content = b"".join(before + encode_event(row, 0) for before, row in parts) + end
    found = list(scan(content))
    assert [entry.sequence for entry in found if not isinstance(entry, tuple)] == [row.sequence for _, row in parts]
    spans = sum(end - start for start, end in (span for span in found if isinstance(span, tuple)))
    zeros = [text for text in (*(before for before, _ in parts), end) if not any(text)]
    assert spans == sum(len(before) for before, _ in parts) + len(end) - sum(map(len, zeros))


@given(st.binary(max_size=500))
def test_any_bytes_can_be_scanned(content):
    position = 0
    for found in scan(content):
        start, end = found if isinstance(found, tuple) else (found.offset, found.offset + found.size)
        assert position <= start < end <= len(content)
        position = end


@given(rows, st.data())
def test_a_record_that_is_cut_is_not_one(row, data):
    record = encode_event(row, 0)
    assert read_row(record[: data.draw(st.integers(0, len(record) - 1))]) is None
