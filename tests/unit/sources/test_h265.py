"""Lost frames and slices of H.265, found in real streams of libx265."""

import functools

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.rtsp_server import moving_frames

from edgehar.sources.h265 import LossDetector
from edgehar.sources.nal import Loss

STREAMS = {
    "no B-frames": "bframes=0:keyint=30",
    "one key frame": "bframes=0:keyint=250",
    "B-frames": "bframes=3:keyint=20",
    "slices": "bframes=0:keyint=25:slices=2",
    "open groups": "bframes=0:keyint=20:open-gop=1",
    "intra refresh": "bframes=0:intra-refresh=1:keyint=20",
}


@functools.cache
def packets(parameters, container=None, height=160, width=128, count=60):
    """Packets of an encoded stream, and the encoder's parameter sets."""
    encoder = av.CodecContext.create("libx265", "w")
    encoder.height, encoder.width, encoder.pix_fmt, encoder.framerate = height, width, "yuv420p", 25
    encoder.options = {"preset": "ultrafast", "x265-params": f"log-level=none:{parameters}"}
    if container == "mp4":
        encoder.flags |= av.codec.context.Flags.global_header
    made = []
    for number, pixels in enumerate(moving_frames(count, height, width)):
        frame = av.VideoFrame.from_ndarray(pixels, format="bgr24")
        frame.pts = number
        made += encoder.encode(frame)
    return [bytes(packet) for packet in made + encoder.encode(None)], encoder.extradata


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("container", [None, "mp4"])
def test_a_whole_stream_has_no_gap(name, container):
    sent, extradata = packets(STREAMS[name], container)
    detector = LossDetector(extradata)
    assert {detector.look(packet) for packet in sent} == {Loss.NOTHING}
    assert not detector.too_large


@pytest.mark.parametrize("name", ["no B-frames", "one key frame", "slices"])
def test_a_lost_frame_is_found_at_the_next_one(name):
    sent, extradata = packets(STREAMS[name])
    keys = {
        number
        for number, packet in enumerate(sent)
        if any(b"\0\0\1" + kind in packet for kind in (b"\x26", b"\x28", b"\x2a"))
    }
    for lost in range(12, len(sent) - 1):
        if lost in keys or lost + 1 in keys:
            continue
        detector = LossDetector(extradata)
        found = [
            number for number, packet in enumerate(sent) if number != lost and detector.look(packet) is Loss.BEFORE
        ]
        assert found == [lost + 1]


def test_a_missing_slice_is_found_in_its_frame():
    sent, extradata = packets(STREAMS["slices"])
    for number in range(12, 24):
        places = [place for place in range(len(sent[number])) if sent[number].startswith(b"\0\0\1\2", place)]
        assert len(places) == 2
        first, second = places
        for cut in (sent[number][:second], sent[number][:first] + sent[number][second:]):
            detector = LossDetector(extradata)
            found = [detector.look(packet) for packet in [*sent[:number], cut]]
            assert found == [Loss.NOTHING] * number + [Loss.WITHIN]


def test_more_pictures_than_level_52_allows():
    sent, extradata = packets("bframes=0:ref=16:level-idc=62", None, 2160, 3840, 1)
    detector = LossDetector(extradata)
    detector.look(sent[0])
    assert detector.too_large


@given(st.binary(max_size=200), st.one_of(st.none(), st.binary(max_size=60), st.binary(max_size=60).map(b"\1".__add__)))
def test_no_bytes_are_an_error(packet, extradata):
    detector = LossDetector(extradata)
    for _ in range(3):
        detector.look(b"\0\0\1\x42\1" + packet + b"\0\0\1\x44\1" + packet + b"\0\0\1\x02\1" + packet)
