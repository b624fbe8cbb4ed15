"""Servers and files that are broken or mean harm: bounded memory, no other protocols, no other hosts, no passwords."""

import gc
import io
import subprocess
import sys
import zlib
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from support.helpers import flat_frames, write_video
from support.one_answer import serve

from edgehar import SourceError, open_source
from edgehar.pictures import as_bgr
from edgehar.sources.headers import picture_size

MOST_MB = 300


def endless(*start, piece):
    """A server that sends some bytes, and then others without end."""

    def handle(connection):
        connection.sendall(b"".join(start))
        while True:
            connection.sendall(piece)

    return serve(handle)


# Reads a source until it fails or has read for long enough, and prints its peak memory in MB.
READER = """
import sys, time
from edgehar import SourceError, open_source
ends_s = time.monotonic() + 8
try:
    options = {"open_timeout_s": 8, "read_timeout_s": 8} if "://" in sys.argv[1] else {}
    for frame in open_source(sys.argv[1], **options):
        if time.monotonic() > ends_s:
            break
except SourceError as error:
    print(error, file=sys.stderr)
# Not getrusage, whose peak is that of the process that forked.
print(next(int(line.split()[1]) // 1000 for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def peak_mb(uri):
    done = subprocess.run([sys.executable, "-c", READER, str(uri)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return int(done.stdout)


def test_color_profiles_of_png_pictures_do_not_crash(tmp_path):
    """PyAV frees a profile's name twice if it is asked for the side data."""
    path = tmp_path / "profiles.mov"
    with av.open(path, "w") as out:
        stream = out.add_stream("png", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "rgb24"
        for number in range(30):
            packet = av.Packet(png_with_profile(8 * number))
            packet.stream, packet.pts, packet.dts, packet.time_base = stream, number, number, Fraction(1, 25)
            out.mux(packet)
    assert peak_mb(path) < MOST_MB
    assert [round(as_bgr(frame).mean()) for frame in open_source(path)] == list(range(0, 240, 8))


def png_with_profile(level):
    content = io.BytesIO()
    Image.new("RGB", (64, 48), (level, level, level)).save(content, "png", icc_profile=b"profile")
    return content.getvalue()


def jpeg(height=64, width=64, claims=None):
    content = bytearray(
        cv2.imencode(".jpg", np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8))[1]
    )
    if claims:
        at = content.index(b"\xff\xc0")
        content[at + 5 : at + 9] = claims.to_bytes(2, "big") * 2
    return bytes(content)


OK = b"HTTP/1.0 200 OK\r\n"
MULTIPART = OK + b"Content-Type: multipart/x-mixed-replace; boundary=f\r\n\r\n"
NOISE = np.random.default_rng(1).integers(1, 255, 1 << 16, dtype=np.uint8).tobytes()


def transport_packets(payload_start):
    """Packets of a transport stream with one elementary packet that never ends."""
    head = bytes([0x47, 0x41 if payload_start else 0x01, 0x00, 0x10])
    return head + (b"\0\0\1\xe0\0\0\x80\0\0" if payload_start else b"") + bytes(175 if payload_start else 184)


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        ((MULTIPART, b"--f\r\nContent-Type: image/jpeg\r\n\r\n", jpeg()[:300]), NOISE),
        ((MULTIPART,), b"--f\r\nContent-Type: image/jpeg\r\nContent-Length: 2000000000\r\n\r\n" + NOISE),
        ((MULTIPART,), b"A" * 65536),
        ((OK, b"Content-Type: image/jpeg\r\n\r\n", jpeg()[:300]), NOISE),
        (
            (OK, b"Content-Type: video/h264\r\n\r\n", b"\0\0\0\1\x67\x42\xc0\x1e\xda\x02\x80\xf6\x80", b"\0\0\1\x65"),
            NOISE,
        ),
        ((OK, b"Content-Type: video/mp2t\r\n\r\n", transport_packets(True)), transport_packets(False) * 300),
        ((b"HTTP/1.0 200 OK\r\nX: ",), b"A" * 65536),
        (
            (OK, b"Content-Type: video/h265\r\n\r\n", b"\0\0\0\1\x42\1", b"\0\0\0\1\x26\1"),
            NOISE,
        ),
        (
            (OK, b"Content-Type: video/x-flv\r\n\r\nFLV\1\1\0\0\0\x09" + bytes(4)),
            b"\x09\xff\xff\xff" + bytes(7) + NOISE,
        ),
        ((OK, b"\r\n"), NOISE),
        (
            (OK, b"Content-Type: application/vnd.apple.mpegurl\r\n\r\n#EXTM3U\n#EXT-X-TARGETDURATION:4\n"),
            b"#EXTINF:4,\nsegment.ts\n" * 1000,
        ),
        (
            (OK, b"Content-Type: application/x-subrip\r\n\r\n"),
            b"1\n00:00:01,000 --> 00:00:02,000\nsubtitle\n\n" * 1000,
        ),
    ],
)
def test_a_stream_without_end_takes_no_memory_without_end(start, piece):
    assert peak_mb(f"http://127.0.0.1:{endless(*start, piece=piece)}/x") < MOST_MB


@pytest.mark.parametrize("name", ["big.jpg", "big.mjpeg", "big.png", "pictures/big.jpg"])
def test_a_small_file_that_claims_a_huge_picture(tmp_path, name):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    if name.endswith("png"):
        header = (30000).to_bytes(4, "big") * 2 + b"\x08\x02\0\0\0"
        chunk = b"IHDR" + header
        body = len(header).to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big")
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + body + b"\0\0\0\0IDAT" + bytes(4))
    else:
        path.write_bytes(jpeg(claims=30000))
    assert peak_mb(path if path.parent == tmp_path else path.parent) < MOST_MB


def test_pictures_larger_than_max_pixels_are_refused(tmp_path):
    path = write_video(tmp_path / "large.mp4", [np.zeros((512, 1024, 3), np.uint8)] * 3, codec="libx264")
    assert len(list(open_source(path))) == 3
    with pytest.raises(SourceError, match=r"1024 x 512 pixels, more than max_pixels allows \(523,776\)"):
        list(open_source(path, max_pixels=512 * 1023))


def test_a_stream_that_keeps_more_pictures_than_its_level_allows_is_refused(tmp_path):
    path, options = tmp_path / "large.mp4", {"preset": "ultrafast", "refs": "16", "bf": "0"}
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt, stream.options = 2160, 3840, "yuv420p", options
        for _ in range(2):
            container.mux(stream.encode(av.VideoFrame(3840, 2160, "yuv420p")))
        container.mux(stream.encode(None))
    with pytest.raises(SourceError, match="too many large pictures"):
        list(open_source(path))


def test_frames_are_freed_without_the_garbage_collector(tmp_path):
    """A frame of 4K has 13 MB. In a cycle of references, hundreds would wait for the collector."""
    path = write_video(tmp_path / "clip.mp4", flat_frames([20] * 40))
    gc.collect()
    gc.disable()
    try:
        with open_source(path) as source:
            for _ in source:
                pass
            left = sum(isinstance(one, av.VideoFrame) for one in gc.get_objects())
    finally:
        gc.enable()
    assert left <= 2


@pytest.mark.parametrize("name", ["a.ffconcat", "a.mp4"])
def test_a_list_of_files_is_not_read(tmp_path, name):
    """It may name itself, and then takes all memory and file descriptors."""
    (tmp_path / name).write_text("ffconcat version 1.0\n" + f"file {name}\n" * 10)
    with pytest.raises(SourceError):
        list(open_source(tmp_path / name))
    assert peak_mb(tmp_path / name) < 100


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp", ".tiff"])
def test_the_size_of_a_picture_is_read_from_its_header(suffix):
    content = cv2.imencode(suffix, np.zeros((37, 71, 3), np.uint8))[1].tobytes()
    assert picture_size(content) == (71, 37)


@given(
    st.binary(max_size=200),
    st.sampled_from([b"", b"\xff\xd8", b"\x89PNG\r\n\x1a\n", b"BM", b"II*\0", b"RIFF....WEBPVP8X"]),
)
def test_no_header_is_an_error(content, start):
    picture_size(start + content)
