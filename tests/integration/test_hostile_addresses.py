"""Addresses, redirections and names that are not what they seem."""

import http.server
import os
import socket
import ssl
import subprocess
import sys
import threading
from pathlib import Path

import av
import cv2
import pytest
from support.brokers import Certificates
from support.helpers import flat_frames, write_video
from support.one_answer import serve
from support.rtsp_server import RtspServer, Script, encode, moving_frames

from edgehar import ConfigError, SourceError, open_source


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


def serve_tls(handler, certificates):
    """An HTTPS server on loopback."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.server, certificates.server_key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def test_what_came_over_tls_does_not_go_on_without_it(certificates, tmp_path):
    """A playlist over HTTPS may name segments over HTTPS, also of other trusted hosts, and none over HTTP."""
    asked, clip = [], write_video(tmp_path / "a.ts", flat_frames([20] * 10)).read_bytes()
    plain = serve(lambda connection: asked.append(connection))
    (tmp_path / "other").mkdir()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            where = {
                "/plain.m3u8": f"http://127.0.0.1:{plain}/a.ts",
                "/trusted.m3u8": f"https://127.0.0.1:{server.server_port}/a.ts",
                "/untrusted.m3u8": f"https://localhost:{untrusted.server_port}/a.ts",
            }.get(self.path, "a.ts")
            body = f"#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\n{where}\n#EXT-X-ENDLIST\n".encode()
            body = clip if self.path == "/a.ts" else body
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with serve_tls(Handler, certificates) as server, serve_tls(Handler, Certificates(tmp_path / "other")) as untrusted:
        address, options = f"https://localhost:{server.server_port}", {"ca_file": str(certificates.authority)}
        for name in ("same", "trusted"):
            assert len(list(open_source(f"{address}/{name}.m3u8", **options))) == 10
        for name in ("plain", "untrusted"):
            with pytest.raises(SourceError):
                list(open_source(f"{address}/{name}.m3u8", **options))
        server.shutdown()
        untrusted.shutdown()
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
