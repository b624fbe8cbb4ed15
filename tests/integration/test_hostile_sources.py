"""Servers and files that are broken or mean harm: bounded memory, no other protocols, no other hosts, no passwords."""

import gc
import http.server
import os
import socket
import ssl
import subprocess
import sys
import threading
import zlib
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.helpers import flat_frames, write_video
from support.rtsp_server import RtspServer, Script, encode, moving_frames

from edgehar import ConfigError, SourceError, open_source
from edgehar.sources.headers import picture_size

MOST_MB = 300


def serve(handle):
    """A TCP server on loopback that hands every connection to `handle`; its port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def accept():
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=guarded, args=[connection], daemon=True).start()

    def guarded(connection):
        try:
            connection.recv(65536)
            handle(connection)
        except OSError:
            pass
        finally:
            connection.close()

    threading.Thread(target=accept, daemon=True).start()
    return listener.getsockname()[1]


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


class Redirecting(http.server.BaseHTTPRequestHandler):
    """Redirects as its path says: `/to/URL` goes there, `/loop` to itself; `/clip.mp4` is a clip."""

    clip = b""

    def do_GET(self):
        if self.path.startswith(("/to/", "/loop")):
            self.send_response(302)
            self.send_header("Location", "/loop" if self.path == "/loop" else self.path.removeprefix("/to/"))
            self.send_header("Content-Length", "0")
        else:
            self.send_response(200)
            self.send_header("Content-Length", str(len(self.clip)))
        self.end_headers()
        if self.path == "/clip.mp4":
            self.wfile.write(self.clip)

    def log_message(self, *_):
        pass


@pytest.fixture
def redirecting(tmp_path):
    path = write_video(tmp_path / "clip.mp4", flat_frames([20] * 10), options={"movflags": "faststart"})
    handler = type("Handler", (Redirecting,), {"clip": path.read_bytes()})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_redirects_stay_on_the_host(redirecting):
    assert len(list(open_source(f"{redirecting}/to//clip.mp4"))) == 10
    elsewhere = redirecting.replace("127.0.0.1", "localhost")
    with pytest.raises(SourceError, match=r'redirects to http://localhost.*set redirects to "any"'):
        open_source(f"{redirecting}/to/{elsewhere}/clip.mp4")
    assert len(list(open_source(f"{redirecting}/to/{elsewhere}/clip.mp4", redirects="any"))) == 10


def test_redirects_in_a_circle_end(redirecting):
    with pytest.raises(SourceError, match="redirects more than 5 times"):
        open_source(f"{redirecting}/loop")


@pytest.mark.parametrize("target", ["file:///etc/passwd", "rtsp://127.0.0.1/x", "ftp://127.0.0.1/x"])
def test_redirects_to_other_protocols_are_refused(redirecting, target):
    with pytest.raises(SourceError, match="redirects to"):
        open_source(f"{redirecting}/to/{target}", redirects="any")


@pytest.fixture(scope="module")
def units():
    return encode(moving_frames(25))


OPENER = """
import sys
from edgehar import SourceError, open_source
try:
    with open_source(sys.argv[1], redirects=sys.argv[2]) as source:
        print(next(iter(source)).width)
except SourceError as error:
    print(error)
"""


def opened_alone(uri, redirects="same-host"):
    """What a process of its own says, whose connections are not those of the servers here."""
    command = [sys.executable, "-c", OPENER, uri, redirects]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.strip()


def test_an_rtsp_server_may_redirect_to_its_own_host_only(units):
    with (
        RtspServer(Script(units)) as same,
        RtspServer(Script(units), "127.0.0.2") as other,
        RtspServer(Script(units, redirect=same.uri)) as to_same,
        RtspServer(Script(units, redirect=other.uri)) as to_other,
    ):
        assert opened_alone(to_same.uri) == "128"
        said = f'{to_other.uri}: the server redirects to 127.0.0.2; give that address, or set redirects to "any"'
        assert opened_alone(to_other.uri) == said
        assert opened_alone(to_other.uri, "any") == "128"


def test_an_rtsp_server_that_redirects_to_itself_is_left(units):
    script = Script(units)
    with RtspServer(script) as server:
        script.redirect = server.uri
        with pytest.raises(SourceError):
            open_source(server.uri, open_timeout_s=2)


def udp_ports():
    return {line.split()[1] for line in Path("/proc/self/net/udp").read_text().splitlines()[1:]}


SESSION = (
    b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n"
    b"m=video 47112 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"
)
CONCAT = b"ffconcat version 1.0\nfile /etc/hostname\n"
PLAYLIST = b"#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n"


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (b"application/sdp", SESSION),
        (b"application/vnd.apple.mpegurl", PLAYLIST),
        (b"", CONCAT),
    ],
)
def test_an_answer_over_http_opens_no_other_protocol(kind, body):
    def handle(connection):
        length = b"Content-Length: %d\r\n" % len(body)
        connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: " + kind + b"\r\n" + length + b"\r\n" + body)

    before = udp_ports()
    with pytest.raises(SourceError):
        list(open_source(f"http://127.0.0.1:{serve(handle)}/x", open_timeout_s=3))
    assert not any("B808" in port for port in udp_ports() - before)


def test_what_came_over_tls_does_not_go_on_without_it(certificates, tmp_path):
    """A playlist over HTTPS may name segments over HTTPS, also of other hosts, and none over HTTP."""
    asked, clip = [], write_video(tmp_path / "a.ts", flat_frames([20] * 10)).read_bytes()
    plain = serve(lambda connection: asked.append(connection))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.server, certificates.server_key)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            where = f"http://127.0.0.1:{plain}/a.ts" if self.path == "/plain.m3u8" else "a.ts"
            body = f"#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\n{where}\n#EXT-X-ENDLIST\n".encode()
            body = clip if self.path == "/a.ts" else body
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address, options = f"https://localhost:{server.server_port}", {"ca_file": str(certificates.authority)}
        assert len(list(open_source(f"{address}/same.m3u8", **options))) == 10
        with pytest.raises(SourceError):
            list(open_source(f"{address}/plain.m3u8", **options))
        server.shutdown()
    assert not asked


def test_a_local_file_opens_no_network(tmp_path):
    asked = threading.Event()
    port = serve(lambda connection: asked.set())
    (tmp_path / "list.m3u8").write_text(
        f"#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\nhttp://127.0.0.1:{port}/a.ts\n#EXT-X-ENDLIST\n"
    )
    (tmp_path / "session.sdp").write_bytes(SESSION)
    for name in ("list.m3u8", "session.sdp"):
        with pytest.raises(SourceError):
            list(open_source(tmp_path / name))
    assert not asked.is_set()


@pytest.mark.parametrize(
    "address",
    [
        "http:admin:hunter2@192.0.2.1/x",
        "rtsp:/admin:hunter2@192.0.2.1/x",
        "rtsp//admin:hunter2@192.0.2.1/x",
        "RTSP:admin:hunter2@192.0.2.1",
        "https:admin:hunter2@192.0.2.1",
        "rtps://admin:hunter2@192.0.2.1/x",
        "admin:hunter2@192.0.2.1",
    ],
)
def test_a_mistyped_address_shows_no_password(address):
    with pytest.raises((ConfigError, SourceError)) as caught:
        open_source(address)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("password", ["p@ss", "p#ss", "p/ss", "p?ss"])
def test_a_password_that_is_not_encoded_gets_a_hint(password):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    for scheme in ("http", "rtsp"):
        with pytest.raises(SourceError, match="write @ as %40") as caught:
            open_source(f"{scheme}://admin:{password}@127.0.0.1:{port}/x", open_timeout_s=3)
        assert "ss" not in str(caught.value).partition(";")[0].replace("address", "")


def test_addresses_in_capitals_are_addresses(redirecting):
    assert len(list(open_source(f"{redirecting.replace('http', 'HTTP')}/clip.mp4"))) == 10


@pytest.mark.parametrize("suffix", [".mp4", ".avi", ".mkv"])
def test_titles_in_another_encoding_do_not_matter(tmp_path, suffix):
    path = tmp_path / f"clip{suffix}"
    with av.open(str(path), "w") as container:
        container.metadata["title"] = "TITLE-HERE"
        stream = container.add_stream("mpeg4", rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        for pixels in flat_frames([20] * 10):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="bgr24")))
        container.mux(stream.encode(None))
    content = path.read_bytes()
    assert b"TITLE-HERE" in content
    path.write_bytes(content.replace(b"TITLE-HERE", b"caf\xe9 \xfe\xff\xff!!"))
    assert len(list(open_source(path))) == 10


def test_file_names_that_are_not_utf8(tmp_path):
    path = Path(str(tmp_path) + "/lat\udce9.mp4")
    write_video(tmp_path / "a.mp4", flat_frames([20] * 10)).rename(path)
    with open_source(path) as source:
        assert source.name == f"{tmp_path}/lat\\xe9.mp4"
        assert len(list(source)) == 10
    pictures = Path(str(tmp_path) + "/\udcff")
    pictures.mkdir()
    cv2.imwrite(str(tmp_path / "a.png"), flat_frames([20])[0])
    (tmp_path / "a.png").rename(pictures / "a\x1b[31m.png")
    with open_source(pictures) as source:
        assert source.name == f"{tmp_path}/\\xff"
        assert len(list(source)) == 1
    with pytest.raises(SourceError, match=r"no\\x1b\[31m\.mp4: no such"):
        open_source(tmp_path / "no\x1b[31m.mp4")


def test_a_named_pipe_among_pictures_blocks_nothing(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(SourceError, match=r"none of its 1 files"):
        list(open_source(tmp_path / "a.png"))
