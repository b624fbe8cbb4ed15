"""The ring of encoded packets: bounded, aligned to key frames, and only of the newest connection."""

import tracemalloc
from fractions import Fraction

import av
import pytest
from support.recordings import RATE_HZ, encode

from edgehar.recording.packets import PacketRing, Segment, parameter_sets


def fill(ring, path, *, live=True, count=None):
    """Put a file's packets into a ring; returns how many."""
    with av.open(str(path)) as file:
        stream = file.streams.video[0]
        feed = ring.begin(stream, live=live, waits=not live)
        packets = [packet for packet in file.demux(stream) if packet.size][:count]
        for number, packet in enumerate(packets):
            feed.packet(packet)
            feed.placed(float(packet.pts * packet.time_base), number / RATE_HZ)
        feed.end()
    return len(packets)


@pytest.fixture
def ring():
    return PacketRing(keep_s=3.0, max_bytes=10_000_000)


def held(ring):
    return ring.after(0, 10_000)


def test_it_keeps_whole_groups_of_pictures_of_the_last_seconds(tmp_path, ring):
    fill(ring, encode(tmp_path / "a.mp4", 250, gop=25))
    packets = held(ring)
    assert packets[0].is_key
    assert packets[-1].captured_s - packets[0].captured_s == pytest.approx(4.0 - 1 / RATE_HZ, abs=0.1)
    assert [packet.sequence for packet in packets] == list(range(packets[0].sequence, 250))
    data = sum(len(packet.data) for packet in packets)
    assert data < ring.size < data + 400 * len(packets)


def test_a_group_longer_than_the_time_is_kept_within_the_bytes(tmp_path, ring):
    fill(ring, encode(tmp_path / "a.mp4", 250, gop=250, options={"sc_threshold": "0"}))
    assert len(held(ring)) == 250


def test_bytes_are_bounded_whatever_the_stream_is(tmp_path):
    path = encode(tmp_path / "a.mp4", 250, gop=250, options={"sc_threshold": "0"})
    ring = PacketRing(keep_s=60, max_bytes=path.stat().st_size // 4)
    fill(ring, path)
    assert ring.size <= path.stat().st_size // 4
    assert ring.dropped > 100
    assert held(ring) == []


def test_the_memory_of_small_packets_is_bounded_too():
    ring = PacketRing(keep_s=1e9, max_bytes=2_000_000)
    ring.want(0)
    feed, segment = object(), Segment("h264", Fraction(1, 90_000))
    ring._feed = feed
    tracemalloc.start()
    for number in range(20_000):
        times = (3600 * number, 3600 * number, 3600)
        ring.append(feed, segment, b"x" * (number % 50), times, is_key=number % 50 == 0, waits=False)
    held_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held_bytes < 2_000_000
    assert len(held(ring)) > 4000


def test_a_file_at_the_pace_of_a_camera_keeps_the_times_of_the_file(tmp_path, ring):
    with av.open(str(encode(tmp_path / "a.mp4", 50))) as file:
        stream = file.streams.video[0]
        feed = ring.begin(stream, live=False)
        for packet in file.demux(stream):
            feed.packet(packet)
    # Even before the first frame is decoded.
    assert [packet.captured_s for packet in held(ring)] == pytest.approx([n / RATE_HZ for n in range(50)], abs=0.01)


def test_what_a_clip_needs_is_kept_for_longer(tmp_path, ring):
    ring.want(0)
    fill(ring, encode(tmp_path / "a.mp4", 250, gop=25))
    assert len(held(ring)) == 250
    ring.want(None)
    fill(ring, tmp_path / "a.mp4")
    assert len(held(ring)) < 200


def test_a_clip_starts_at_the_key_frame_before_its_time(tmp_path, ring):
    fill(ring, encode(tmp_path / "a.mp4", 100, gop=25))
    assert ring.start_for(2.5) == 50
    assert ring.start_for(2.0) == 50
    assert ring.start_for(-10.0) == held(ring)[0].sequence
    assert PacketRing(keep_s=3, max_bytes=100).start_for(1.0) == 0


def test_packets_of_a_connection_that_was_replaced_are_ignored(tmp_path, ring):
    path = encode(tmp_path / "a.mp4", 50)
    with av.open(str(path)) as old, av.open(str(path)) as new:
        first = ring.begin(old.streams.video[0], live=True)
        second = ring.begin(new.streams.video[0], live=True)
        for packet in old.demux(video=0):
            first.packet(packet)
        assert held(ring) == []
        for packet in new.demux(video=0):
            second.packet(packet)
        first.end()
        assert len(held(ring)) == 50


def test_streams_of_other_codecs_are_not_kept(tmp_path, ring):
    with av.open(str(encode(tmp_path / "a.mp4", 10, codec="mpeg4"))) as file:
        assert ring.begin(file.streams.video[0], live=True) is None


def test_it_starts_with_a_key_frame_when_the_stream_does_not(tmp_path, ring):
    with av.open(str(encode(tmp_path / "a.mp4", 60, gop=25))) as file:
        feed = ring.begin(file.streams.video[0], live=True)
        for packet in list(file.demux(video=0))[10:]:
            feed.packet(packet)
    assert held(ring)[0].is_key
    assert len(held(ring)) == 35


@pytest.mark.parametrize(("codec", "delimiter"), [("libx264", "0930"), ("libx265", "460150")])
def test_a_packet_without_a_picture_is_not_kept(tmp_path, ring, codec, delimiter):
    """A camera that is unplugged may leave an access unit delimiter alone."""
    with av.open(str(encode(tmp_path / "a.ts", 30, codec=codec, gop=10))) as file:
        feed = ring.begin(file.streams.video[0], live=True)
        packets = [packet for packet in file.demux(video=0) if packet.size]
        for packet in packets:
            feed.packet(packet)
        rest = av.Packet(bytes.fromhex("000001" + delimiter))
        rest.pts = rest.dts = packets[-1].pts + 3600
        rest.time_base = packets[-1].time_base
        feed.packet(rest)
    assert len(held(ring)) == 30


def test_a_length_that_looks_like_a_start_code_is_none(tmp_path, ring):
    with av.open(str(encode(tmp_path / "a.mp4", 30))) as file:
        feed = ring.begin(file.streams.video[0], live=True)
        for number, packet in enumerate(file.demux(video=0)):
            if packet.size:
                unit = bytes(packet)[4:].ljust(0x106 + number, b"\0")
                long = av.Packet(len(unit).to_bytes(4, "big") + unit)
                long.pts, long.dts, long.time_base = packet.pts, packet.dts, packet.time_base
                long.is_keyframe = packet.is_keyframe
                feed.packet(long)
    assert len(held(ring)) == 30


def test_a_change_of_size_within_a_stream_begins_another_segment(tmp_path, ring):
    small = encode(tmp_path / "a.ts", 25).read_bytes()
    large = encode(tmp_path / "b.ts", 25, height=128).read_bytes()
    (tmp_path / "c.ts").write_bytes(small + large)
    fill(ring, tmp_path / "c.ts")
    assert len({id(packet.segment) for packet in held(ring)}) == 2
    assert len({packet.segment.signature for packet in held(ring)}) == 2


@pytest.mark.parametrize(("codec", "kinds"), [("libx264", {7, 8}), ("libx265", {32, 33, 34})])
def test_parameter_sets_are_found_in_key_frames_with_start_codes(tmp_path, codec, kinds):
    options = {"x265-params": "log-level=none"} if codec == "libx265" else None
    with av.open(str(encode(tmp_path / "a.ts", 30, codec=codec, options=options))) as file:
        keys = [bytes(packet) for packet in file.demux(video=0) if packet.size and packet.is_keyframe]
    name = "h264" if codec == "libx264" else "hevc"
    found = [parameter_sets(key, name) for key in keys]
    assert len(found) >= 2
    assert found[0] is not None
    assert len(set(found)) == 1
    first = found[0][0]
    assert (first & 0x1F if name == "h264" else first >> 1 & 0x3F) in kinds
    assert parameter_sets(b"\x00\x00\x00\x10" + keys[0], name) is None
