"""Servers that send without end and what they should not, each read in a process of its own; prints the peak memory.

    python scripts/faults/hostile_streams.py                  # all, about 5 minutes
    python scripts/faults/hostile_streams.py --only rtsp      # those whose name holds a word

Every stream comes from a server of this script on loopback. Exits with 1 if a reader takes 300 MB or more, ends by a
signal, prints a traceback, or is stuck.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import socket
import struct
import sys
import threading
import zlib
from typing import TYPE_CHECKING

import cv2
import numpy as np
from hostile_reader import report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

OK = b"HTTP/1.0 200 OK\r\n"
MULTIPART = OK + b"Content-Type: multipart/x-mixed-replace; boundary=f\r\n\r\n"
PART = b"--f\r\nContent-Type: image/jpeg\r\n"
NOISE = np.random.default_rng(1).integers(1, 255, 1 << 16, dtype=np.uint8).tobytes()
# Parameter sets of H.264 (640x480) and H.265 (320x240).
H264_SPS, H264_PPS = bytes.fromhex("6742c01eda0280f680"), bytes.fromhex("68ce3c80")
H265_SETS = (
    bytes.fromhex("40010c01ffff01600000030090000003000003003c959809"),
    bytes.fromhex("42010101600000030090000003000003003ca00a080f165959a4932b9a020000030002000003003210"),
    bytes.fromhex("4401c172b46240"),
)
START = b"\0\0\0\1"


def jpeg() -> bytes:
    """Return a small picture."""
    return bytes(cv2.imencode(".jpg", np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))[1])


def forever(piece: bytes) -> Iterator[bytes]:
    """Repeat some bytes without end."""
    return itertools.repeat(piece)


def ts_packets() -> Iterator[bytes]:
    """A packet of a transport stream that never ends."""
    yield bytes([0x47, 0x41, 0x00, 0x10]) + b"\0\0\1\xe0\0\0\x80\0\0" + bytes(175)
    for number in itertools.count(1):
        yield bytes([0x47, 0x01, 0x00, 0x10 | number & 15]) + NOISE[:184]


def ts_many_programs() -> Iterator[bytes]:
    """Packets of all 8,192 streams of a transport stream, none of which ever ends."""
    for number in itertools.count():
        for pid in range(32, 8190):
            head = bytes([0x47, (0x40 if number == 0 else 0) | pid >> 8, pid & 255, 0x10 | number & 15])
            yield head + (b"\0\0\1\xe0\0\0\x80\0\0" if number == 0 else NOISE[:9]) + NOISE[:175]


def flv() -> Iterator[bytes]:
    """Tags of video, each of which claims 16 MB."""
    yield b"FLV\1\1\0\0\0\x09\0\0\0\0"
    while True:
        yield b"\x09\xff\xff\xff\0\0\0\0\0\0\0\x17" + NOISE


def ogg() -> Iterator[bytes]:
    """Pages that all continue one packet, with a right checksum."""
    table = [0] * 256
    for byte in range(256):
        value = byte << 24
        for _ in range(8):
            value = (value << 1 ^ (0x04C11DB7 if value & 0x80000000 else 0)) & 0xFFFFFFFF
        table[byte] = value
    for number in itertools.count():
        flags = 2 if number == 0 else 1
        body = (b"\x80theora" + NOISE)[:65025] if number == 0 else NOISE[:65025]
        page = (
            b"OggS\0" + bytes([flags]) + struct.pack("<QIII", 2**64 - 1, 1, number, 0) + b"\xff" + b"\xff" * 255 + body
        )
        checksum = 0
        for byte in page:
            checksum = (checksum << 8 & 0xFFFFFFFF) ^ table[checksum >> 24 ^ byte]
        page = page[:22] + struct.pack("<I", checksum) + page[26:]
        yield page


def compressed() -> Iterator[bytes]:
    """Zeros, compressed by a thousand."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    while True:
        yield packer.compress(bytes(1 << 20))


def playlist() -> Iterator[bytes]:
    """A playlist of HLS without end."""
    for number in itertools.count():
        yield b"".join(b"#EXTINF:4,\nsegment%d.ts\n" % place for place in range(number * 1000, number * 1000 + 1000))


def encrypted_segments() -> Iterator[bytes]:
    """Segments, each of which FFmpeg keeps with the same address of a key of 4 kB; less than 4 MB."""
    yield b'#EXT-X-KEY:METHOD=AES-128,URI="' + b"k" * 4000 + b'"\n'
    yield from itertools.repeat(b"#EXTINF:4,\na.ts\n" * 1000, 250)


def streams_of_streams() -> Iterator[bytes]:
    """Streams, each of which is this playlist again."""
    return itertools.repeat(b"#EXT-X-STREAM-INF:BANDWIDTH=1\na\n", 60)


def subtitles() -> Iterator[bytes]:
    """Subtitles, which FFmpeg reads to their end."""
    return forever(b"1\n00:00:01,000 --> 00:00:02,000\nsubtitle\n\n" * 1000)


def matroska() -> Iterator[bytes]:
    """A cluster of unknown size, in it blocks of 256 MB."""
    yield (
        bytes.fromhex("1a45dfa3934286810142f7810142f2810442f381084282847765626d")
        + b"\x18\x53\x80\x67"
        + b"\x01"
        + b"\xff" * 7
    )
    yield (
        bytes.fromhex("1654ae6b")
        + b"\x9f"
        + bytes.fromhex("ae9dd7810173c5810183810186")
        + b"\x85V_VP8"
        + b"\xe0\x88\xb0\x82\x01\x40\xba\x82\0\xf0"
    )
    yield b"\x1f\x43\xb6\x75" + b"\x01" + b"\xff" * 7 + b"\xe7\x81\0"
    while True:
        yield b"\xa3" + b"\x08" + struct.pack(">Q", 256 << 20)[1:][-7:] + NOISE


def http(*pieces: bytes, rest: Callable[[], Iterable[bytes]]) -> Callable[[socket.socket], None]:
    """Return what answers a request with some bytes, and then with others without end."""

    def answer(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"".join(pieces))
        for piece in rest():
            connection.sendall(piece)

    return answer


def rtsp(
    session: str, payloads: Callable[[], Iterable[bytes]] | None = None, headers: Iterable[bytes] = ()
) -> Callable[[socket.socket], None]:
    """Return an RTSP server that sends RTP payloads of one frame without end, over TCP."""

    def answer(connection: socket.socket) -> None:
        lines = connection.makefile("rb")
        while True:
            request, number = lines.readline(), b"0"
            while (line := lines.readline().strip()) != b"":
                if line.lower().startswith(b"cseq:"):
                    number = line.partition(b":")[2].strip()
            head = b"RTSP/1.0 200 OK\r\nCSeq: " + number + b"\r\nSession: 1\r\n"
            if request.startswith(b"DESCRIBE"):
                for piece in headers:
                    connection.sendall(head + piece if piece is not None else b"")
                    head = b""
                body = session.encode()
                more = b"Content-Type: application/sdp\r\nContent-Length: %d\r\n\r\n" % len(body)
                connection.sendall(head + more + body)
            elif request.startswith(b"SETUP"):
                connection.sendall(head + b"Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n\r\n")
            elif request.startswith(b"PLAY"):
                connection.sendall(head + b"\r\n")
                _send_packets(connection, payloads)
            else:
                connection.sendall(head + b"Public: DESCRIBE, SETUP, PLAY, TEARDOWN\r\n\r\n")

    return answer


def _send_packets(connection: socket.socket, payloads: Callable[[], Iterable[bytes]] | None) -> None:
    for number, payload in enumerate(payloads() if payloads is not None else ()):
        packet = struct.pack(">BBHII", 0x80, 96, number % 65536, 90_000, 0x1234) + payload
        connection.sendall(b"$\0" + struct.pack(">H", len(packet)) + packet)


def description(codec: str, *lines: str) -> str:
    """Return a session description with one video."""
    more = "".join(f"{line}\r\n" for line in lines)
    return (
        "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n"
        f"m=video 0 RTP/AVP 96\r\na=rtpmap:96 {codec}/90000\r\n{more}a=control:track1\r\n"
    )


def fragments(head: bytes, begin: bytes, middle: bytes) -> Callable[[], Iterator[bytes]]:
    """Return fragments of one unit without an end."""

    def payloads() -> Iterator[bytes]:
        yield head + begin + NOISE[:1300]
        while True:
            yield head + middle + NOISE[:1300]

    return payloads


def rtp_jpeg() -> Iterator[bytes]:
    """Fragments of one JPEG picture (RFC 2435)."""
    for number in itertools.count():
        yield b"\0" + struct.pack(">I", number * 1300 & 0xFFFFFF)[1:] + bytes([1, 50, 80, 60]) + NOISE[:1300]


def endless_headers() -> Iterator[bytes]:
    """Headers of an answer that never ends."""
    while True:
        yield b"X-Camera: " + b"a" * 1000 + b"\r\n"


HLS = OK + b"Content-Type: application/vnd.apple.mpegurl\r\n\r\n#EXTM3U\n"
TARGET = b"#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:4\n"
STREAMS: dict[str, Callable[[socket.socket], None]] = {
    "http: picture of motion JPEG without end": http(
        MULTIPART, PART + b"\r\n", jpeg()[:300], rest=lambda: forever(NOISE)
    ),
    "http: pictures that claim 2 GB": http(
        MULTIPART, rest=lambda: forever(PART + b"Content-Length: 2000000000\r\n\r\n" + NOISE)
    ),
    "http: motion JPEG without a boundary": http(MULTIPART, rest=lambda: forever(b"A" * 65536)),
    "http: JPEG without end": http(OK, b"Content-Type: image/jpeg\r\n\r\n", jpeg()[:300], rest=lambda: forever(NOISE)),
    "http: unit of H.264 without end": http(
        OK,
        b"Content-Type: video/h264\r\n\r\n",
        START,
        H264_SPS,
        START,
        H264_PPS,
        START,
        b"\x65",
        rest=lambda: forever(NOISE),
    ),
    "http: unit of H.265 without end": http(
        OK,
        b"Content-Type: video/h265\r\n\r\n",
        *(START + unit for unit in H265_SETS),
        START,
        b"\x26\x01",
        rest=lambda: forever(NOISE),
    ),
    "http: packet of MPEG-TS without end": http(OK, b"Content-Type: video/mp2t\r\n\r\n", rest=ts_packets),
    "http: 8,192 streams of MPEG-TS": http(OK, b"Content-Type: video/mp2t\r\n\r\n", rest=ts_many_programs),
    "http: headers without end": http(b"HTTP/1.0 200 OK\r\n", rest=endless_headers),
    "http: header line without end": http(b"HTTP/1.0 200 OK\r\nX: ", rest=lambda: forever(b"A" * 65536)),
    "http: noise without end": http(OK, b"\r\n", rest=lambda: forever(NOISE)),
    "http: tags of FLV that claim 16 MB": http(OK, b"Content-Type: video/x-flv\r\n\r\n", rest=flv),
    "http: MP4 whose index claims 4 GB": http(
        OK,
        b"Content-Type: video/mp4\r\n\r\n",
        b"\0\0\0\x18ftypisom\0\0\0\0isommp41",
        b"\xff\xff\xff\xf0moov",
        b"\xff\xff\xff\x00trak",
        rest=lambda: forever(b"\0\1\0\0free" + bytes((1 << 16) - 8)),
    ),
    "http: blocks of Matroska of 256 MB": http(OK, b"Content-Type: video/webm\r\n\r\n", rest=matroska),
    "http: packet of Ogg without end": http(OK, b"Content-Type: video/ogg\r\n\r\n", rest=ogg),
    "http: playlist without end": http(HLS, TARGET, rest=playlist),
    "http: playlist whose segments have a long key": http(HLS, TARGET, rest=encrypted_segments),
    "http: playlist of playlists of themselves": http(HLS, rest=streams_of_streams),
    "http: subtitles without end": http(OK, b"Content-Type: application/x-subrip\r\n\r\n", rest=subtitles),
    "http: zeros compressed by 1,000": http(
        OK, b"Content-Type: video/mp2t\r\nContent-Encoding: gzip\r\n\r\n", rest=compressed
    ),
    "http: raw frames of AVI without end": http(
        OK,
        b"Content-Type: video/avi\r\n\r\nRIFF\xff\xff\xff\x7fAVI LIST\xff\xff\xff\x7fhdrl",
        rest=lambda: forever(b"JUNK\0\0\1\0" + NOISE),
    ),
    "rtsp: fragments of H.264 without end": rtsp(
        description("H264", "a=fmtp:96 packetization-mode=1;sprop-parameter-sets=Z0LAHtoCgPaA,aM48gA=="),
        fragments(b"\x7c", b"\x85", b"\x05"),
    ),
    "rtsp: fragments of H.265 without end": rtsp(description("H265"), fragments(b"\x62\x01", b"\x93", b"\x13")),
    "rtsp: fragments of JPEG without end": rtsp(description("JPEG"), rtp_jpeg),
    "rtsp: picture of MPEG-4 without end": rtsp(
        description(
            "MP4V-ES",
            "a=fmtp:96 profile-level-id=1;config=000001B001000001B58913000001000000012000C48D8800CD3204709443",
        ),
        fragments(b"", b"\0\0\1\xb6", b""),
    ),
    "rtsp: picture of VP8 without end": rtsp(
        description("VP8"), fragments(b"", b"\x10\x10\x02\0\x9d\x01\x2a\x40\x01\xf0\0", b"\0")
    ),
    "rtsp: single units without end of frame": rtsp(
        description("H264"), lambda: (b"\x41" + NOISE[:1300] for _ in itertools.count())
    ),
    "rtsp: headers without end": rtsp("", headers=endless_headers()),
    "rtsp: 100,000 streams in a description": rtsp(
        description("H264") + description("H264").partition("t=0 0\r\n")[2] * 100_000
    ),
    "rtsp: attribute of 50 MB": rtsp(description("H264", "a=fmtp:96 sprop-parameter-sets=" + "A" * 50_000_000)),
}


def serve(answer: Callable[[socket.socket], None]) -> int:
    """Answer every connection on loopback; returns the port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=guarded, args=[connection], daemon=True).start()

    def guarded(connection: socket.socket) -> None:
        with contextlib.suppress(OSError, StopIteration), connection:
            answer(connection)

    threading.Thread(target=accept, daemon=True).start()
    return listener.getsockname()[1]


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="WORD", help="only streams whose name holds this word")
    args = parser.parse_args()
    chosen = {name: answer for name, answer in STREAMS.items() if args.only in name}
    uris = {name: f"{name.partition(':')[0]}://127.0.0.1:{serve(answer)}/x" for name, answer in chosen.items()}
    return report("stream", uris)


if __name__ == "__main__":
    sys.exit(main())
