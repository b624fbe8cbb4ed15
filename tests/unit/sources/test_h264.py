"""Lost reference frames, found by the frame numbers of real streams of libx264."""

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.rtsp_server import moving_frames

from edgehar.sources.h264 import LossDetector
from edgehar.sources.nal import Loss


def packets(count=60, container=None, **options):
    """Packets of an encoded stream, and the encoder's parameter sets."""
    encoder = av.CodecContext.create("libx264", "w")
    encoder.height, encoder.width, encoder.pix_fmt, encoder.framerate = 96, 128, "yuv420p", 25
    encoder.options = {key.replace("_", "-"): value for key, value in options.items()}
    if container == "mp4":
        encoder.flags |= av.codec.context.Flags.global_header
    made = []
    for number, pixels in enumerate(moving_frames(count)):
        frame = av.VideoFrame.from_ndarray(pixels, format="bgr24")
        frame.pts = number
        made += encoder.encode(frame)
    return [bytes(packet) for packet in made + encoder.encode(None)], encoder.extradata


STREAMS = {
    "no B-frames": {"bf": "0", "g": "30"},
    "B-frames": {"bf": "3", "g": "20"},
    "B-pyramid": {"bf": "3", "g": "50", "x264_params": "b-pyramid=normal"},
    "baseline": {"profile": "baseline", "g": "15"},
    "several references": {"refs": "4", "g": "250"},
    "intra refresh": {"x264_params": "intra-refresh=1:keyint=20", "bf": "0"},
    "slices": {"x264_params": "slices=4", "g": "25", "bf": "0"},
    "scaling lists": {"x264_params": "cqm=jvt", "g": "30", "bf": "0"},
}


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("container", [None, "mp4"])
def test_a_whole_stream_has_no_gap(name, container):
    sent, extradata = packets(container=container, **STREAMS[name])
    detector = LossDetector(extradata)
    assert {detector.look(packet) for packet in sent} == {Loss.NOTHING}


@pytest.mark.parametrize("name", ["no B-frames", "baseline", "slices", "scaling lists"])
def test_every_lost_frame_is_found_at_the_next_one(name):
    sent, extradata = packets(**STREAMS[name])
    keys = [number for number, packet in enumerate(sent) if b"\0\0\1\x65" in packet]
    for lost in range(1, len(sent) - 1):
        if lost in keys:
            continue
        detector = LossDetector(extradata)
        found = [
            number for number, packet in enumerate(sent) if number != lost and detector.look(packet) is Loss.BEFORE
        ]
        assert found == ([] if lost + 1 in keys else [lost + 1])


def slice_of(number, *, is_reference, bits):
    """The beginning of a slice: first macroblock 0, type P, parameter set 0, and a frame number."""
    head = "1" + "00110" + "1" + f"{number:0{bits}b}"
    return b"\0\0\1" + bytes([0x41 if is_reference else 0x01]) + int(f"{head:0<64}", 2).to_bytes(8, "big")


def test_frames_that_have_the_number_of_the_last_reference_are_no_gap():
    """Encoders of Dolby Vision give it to frames that are not references; the standard wants the next number."""
    sent, extradata = packets(count=1, **STREAMS["no B-frames"])
    detector = LossDetector(extradata)
    assert detector.look(sent[0]) is Loss.NOTHING
    bits = detector._bits
    numbers = [(1, True), (2, True), (2, False), (2, False), (3, True), (3, False), (4, True)]
    found = [detector.look(slice_of(number, is_reference=ref, bits=bits)) for number, ref in numbers]
    assert set(found) == {Loss.NOTHING}
    assert detector.look(slice_of(6, is_reference=True, bits=bits)) is Loss.BEFORE


def test_a_missing_slice_is_found_in_its_frame():
    sent, extradata = packets(**STREAMS["slices"])
    for number in range(15, 40):
        at = [
            place
            for place in range(len(sent[number]))
            if sent[number].startswith((b"\0\0\1\x41", b"\0\0\1\x65"), place)
        ]
        for first, after in zip(at, [*at[1:], None], strict=True):
            detector = LossDetector(extradata)
            cut = sent[number][:first] + (sent[number][after:] if after else b"")
            found = [detector.look(packet) for packet in [*sent[:number], cut, *sent[number + 1 :]]]
            assert found == [Loss.NOTHING] * number + [Loss.WITHIN] + [Loss.NOTHING] * (len(sent) - number - 1)


@given(st.binary(max_size=200), st.one_of(st.none(), st.binary(max_size=60)))
def test_no_bytes_are_an_error(packet, extradata):
    detector = LossDetector(extradata)
    for _ in range(3):
        detector.look(b"\0\0\1\x67" + packet + b"\0\0\1\x41" + packet)


def test_a_stream_without_parameters_is_taken_to_be_whole():
    detector = LossDetector(None)
    noise = np.random.default_rng(0).integers(0, 256, 500, dtype=np.uint8).tobytes()
    assert detector.look(b"\0\0\1\x41" + noise) is Loss.NOTHING
