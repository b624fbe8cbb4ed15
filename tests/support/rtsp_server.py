"""A small RTSP server (RFC 2326) that sends H.264 or H.265 as the test says: times, pace, bursts, losses and refusals.

It serves one stream over TCP, interleaved, or over UDP. GStreamer's server sends only good streams.
"""

import base64
import contextlib
import itertools
import random
import socket
import struct
import threading
import time
from dataclasses import dataclass, field

import av
import numpy as np

CLOCK_HZ = 90_000
_FRAGMENT = 1_200


def encode(frames, *, gop=25, rate_hz=25, codec="libx264"):
    """H.264 or H.265 access units of uint8 BGR frames, each a list of NAL units without start codes."""
    encoder = av.CodecContext.create(codec, "w")
    encoder.height, encoder.width = frames[0].shape[:2]
    encoder.pix_fmt, encoder.framerate = "yuv420p", rate_hz
    more = "" if codec == "libx264" else ":log-level=none:repeat-headers=1"
    name = codec.removeprefix("lib")
    encoder.options = {
        "tune": "zerolatency", "preset": "ultrafast", f"{name}-params": f"keyint={gop}:min-keyint={gop}{more}"
    }  # fmt: skip
    packets = []
    for number, pixels in enumerate(frames):
        frame = av.VideoFrame.from_ndarray(pixels, format="bgr24")
        frame.pts = number
        packets += encoder.encode(frame)
    packets += encoder.encode(None)
    return [[unit for unit in bytes(p).replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1") if unit] for p in packets]


def moving_frames(count, height=96, width=128, seed=0):
    """A bright square that moves over noise: no two frames are alike, and each fills several packets."""
    still = np.random.default_rng(seed).integers(0, 160, (height, width, 3), dtype=np.uint8)
    frames = []
    for number in range(count):
        frame = np.roll(still, 3 * number, axis=1)
        at = 7 * number % (width - 24)
        frame[20:44, at : at + 24] = 255
        frames.append(frame)
    return frames


@dataclass
class Script:
    """What is sent.

    Attributes:
        units: access units; they are sent in a circle.
        rate_hz: frames a second that are sent.
        stamp_s: the time stamp of frame n, in seconds.
        burst: frames sent at a time.
        count: frames after which the connection is closed; None never closes it.
        loses: whether packet n of the stream is lost; only over UDP.
        range: the `a=range` line of the description.
        redirect: where the client is sent instead.
        codec: "H264" or "H265".
    """

    units: list
    rate_hz: float = 25.0
    stamp_s: object = lambda number: number / 25
    burst: int = 1
    count: int | None = None
    loses: object = lambda number: False
    range: str = ""
    redirect: str | None = None
    codec: str = "H264"
    connections: int = field(default=0, init=False)


class RtspServer:
    """The server, on a port of its own; a context manager."""

    def __init__(self, script, host="127.0.0.1"):
        self.script = script
        self._socket = socket.create_server((host, 0))
        self.port = self._socket.getsockname()[1]
        self.uri = f"rtsp://{host}:{self.port}/cam"
        self._closed = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._closed.set()
        self._socket.close()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                self.script.connections += 1
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self._serve, args=[connection], daemon=True).start()

    def _serve(self, connection):
        client = _Client(connection)
        with contextlib.suppress(OSError, ValueError):
            while (request := client.request()) is not None:
                method, headers = request
                if method == "DESCRIBE" and self.script.redirect:
                    client.reply(headers, "302 Found", f"Location: {self.script.redirect}\r\n")
                elif method == "DESCRIBE":
                    client.reply(headers, "200 OK", "Content-Type: application/sdp\r\n", self._description())
                elif method == "SETUP":
                    client.set_up(headers)
                elif method == "PLAY":
                    client.reply(headers, "200 OK", "Session: 1\r\nRange: npt=0-\r\n")
                    threading.Thread(target=self._send, args=[client], daemon=True).start()
                else:
                    client.reply(headers, "200 OK", "Session: 1\r\nPublic: DESCRIBE, SETUP, PLAY, TEARDOWN\r\n")

    def _description(self):
        if self.script.codec == "H265":
            format_lines = ""
        else:
            format_lines = f"a=fmtp:96 packetization-mode=1;sprop-parameter-sets={self._sets()}\r\n"
        return (
            "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=cam\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n"
            + self.script.range
            + f"m=video 0 RTP/AVP 96\r\na=rtpmap:96 {self.script.codec}/90000\r\n"
            f"{format_lines}a=control:track1\r\n"
        )

    def _sets(self):
        first = self.script.units[0]
        return ",".join(base64.b64encode(unit).decode() for unit in first if unit[0] & 31 in (7, 8))

    def _send(self, client):
        script, packets = self.script, itertools.count()
        began_s = time.monotonic()
        with contextlib.suppress(OSError):
            for number in itertools.count():
                if number == script.count:
                    client.close()
                    return
                due_s = began_s + (number // script.burst * script.burst) / script.rate_hz
                if self._closed.wait(max(0.0, due_s - time.monotonic())):
                    client.close()
                    return
                stamp = round(script.stamp_s(number) * CLOCK_HZ) + 1_000_000
                for payload, last in _payloads(script.units[number % len(script.units)], script.codec):
                    place = next(packets)
                    if client.tcp or not script.loses(place):
                        client.send(place, payload, last, stamp)
                    else:
                        client.skip(place)


class _Client:
    def __init__(self, connection):
        self._connection, self._lines = connection, connection.makefile("rb")
        self._lock = threading.Lock()
        self.tcp, self._datagrams, self._to = True, None, None
        self._first = random.randrange(65536)

    def request(self):
        while True:
            line = self._lines.readline()
            if not line:
                return None
            if line[:1] == b"$":  # a report of the receiver
                size = struct.unpack(">H", line[2:4])[0]
                self._lines.read(max(0, size - len(line) + 4))
            elif line.strip():
                break
        headers = {}
        while header := self._lines.readline().strip():
            name, _, value = header.decode().partition(":")
            headers[name.lower()] = value.strip()
        return line.split()[0].decode(), headers

    def reply(self, headers, status, more="", body=""):
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        text = f"RTSP/1.0 {status}\r\nCSeq: {headers.get('cseq', '0')}\r\n{more}{length}\r\n{body}"
        with self._lock:
            self._connection.sendall(text.encode())

    def set_up(self, headers):
        transport = headers["transport"]
        self.tcp = "TCP" in transport
        answer = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n"
        if not self.tcp:
            ports = next(part for part in transport.split(";") if part.startswith("client_port")).partition("=")[2]
            self._to = ("127.0.0.1", int(ports.split("-")[0]))
            self._datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self._datagrams.bind(("127.0.0.1", 0))
            port = self._datagrams.getsockname()[1]
            answer = f"Transport: RTP/AVP;unicast;client_port={ports};server_port={port}-{port + 1}\r\n"
        self.reply(headers, "200 OK", answer + "Session: 1\r\n")

    def send(self, place, payload, last, stamp):
        header = struct.pack(">BBHII", 0x80, 96 | last << 7, (self._first + place) % 65536, stamp % 2**32, 0x1234)
        if self.tcp:
            with self._lock:
                self._connection.sendall(b"$\0" + struct.pack(">H", len(header) + len(payload)) + header + payload)
        else:
            self._datagrams.sendto(header + payload, self._to)

    def skip(self, place):
        """A packet that is lost on the way."""

    def close(self):
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        self._connection.close()


def _payloads(units, codec):
    """RTP payloads of an access unit (RFC 6184, RFC 7798), each with whether it is the last."""
    for number, unit in enumerate(units):
        last_unit = number == len(units) - 1
        if len(unit) <= _FRAGMENT:
            yield unit, last_unit
            continue
        if codec == "H265":
            kind, head, body = unit[0] >> 1 & 63, bytes([unit[0] & 0x81 | 49 << 1, unit[1]]), unit[2:]
        else:
            kind, head, body = unit[0] & 31, bytes([unit[0] & 0xE0 | 28]), unit[1:]
        for at in range(0, len(body), _FRAGMENT):
            first, last = at == 0, at + _FRAGMENT >= len(body)
            yield head + bytes([first << 7 | last << 6 | kind]) + body[at : at + _FRAGMENT], last_unit and last
