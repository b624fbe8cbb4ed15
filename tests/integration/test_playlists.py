"""HLS: what FFmpeg reads by itself is read the same, and no playlist takes memory without end."""

import http.server
import itertools
import threading

import av
import numpy as np
import pytest
from support.helpers import flat_frames, write_video
from support.one_answer import serve

from edgehar import SourceError, open_source

FRAMES = 75
HEAD = b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n"
OK = b"HTTP/1.0 200 OK\r\nContent-Type: application/vnd.apple.mpegurl\r\n\r\n"


def write_hls(folder, **options):
    """Write three segments of a second."""
    folder.mkdir()
    with av.open(str(folder / "list.m3u8"), "w", options={"hls_time": "1", "hls_list_size": "0", **options}) as hls:
        stream = hls.add_stream("libx264", rate=25, options={"g": "25", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for level in range(FRAMES):
            hls.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((48, 64, 3), level, np.uint8), format="bgr24")))
        hls.mux(stream.encode(None))


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder. `/moved/` redirects out of it. A key is given to who brings the cookie."""

    def do_GET(self):
        # Before the answer, because the client may be done with that while this thread waits for the processor.
        self.server.asked.append(self.path)
        requested = self.headers.get("Range", "bytes=0-").removeprefix("bytes=")
        if self.path.startswith("/moved/"):
            self.answer(302, b"", Location=self.path.removeprefix("/moved"))
        elif self.path.endswith(".key") and "visitor=7" not in self.headers.get("Cookie", ""):
            self.answer(403, b"")
        elif requested != "0-":
            first, last = requested.split("-")
            content = (self.folder / self.path[1:]).read_bytes()
            end = int(last) + 1 if last else len(content)
            range_header = {"Content-Range": f"bytes {first}-{end - 1}/{len(content)}"}
            self.answer(206, content[int(first) : end], **range_header)
        elif (self.folder / self.path[1:]).is_file():
            self.answer(200, (self.folder / self.path[1:]).read_bytes(), **{"Set-Cookie": "visitor=7; path=/"})
        else:
            self.answer(404, b"")

    def answer(self, status, content, **headers):
        self.send_response(status)
        for name, value in {**headers, "Content-Length": len(content)}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    write_hls(folder / "plain")
    write_hls(folder / "parts", hls_segment_type="fmp4")
    write_hls(folder / "one", hls_flags="single_file")
    (folder / "a.key").write_bytes(bytes(range(16)))
    (folder / "key").write_text(f"../a.key\n{folder / 'a.key'}\n")
    write_hls(folder / "encrypted", hls_key_info_file=str(folder / "key"))
    text = (folder / "plain" / "list.m3u8").read_text()
    (folder / "plain" / "gap.m3u8").write_text(text.replace("list1.ts", "absent.ts"))
    stream = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=100000\n"
    (folder / "main.m3u8").write_text(f"{stream}plain/list.m3u8\n")
    (folder / "moved.m3u8").write_text(f"{stream}moved/encrypted/list.m3u8\n")
    write_video(folder / "clip.mp4", flat_frames([20] * FRAMES), options={"movflags": "faststart"})
    handler = type("Handler", (Handler,), {"folder": folder})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.asked = []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.mark.parametrize(
    ("path", "count"),
    [
        ("plain/list.m3u8", FRAMES),
        ("parts/list.m3u8", FRAMES),
        ("one/list.m3u8", FRAMES),
        ("encrypted/list.m3u8", FRAMES),
        ("main.m3u8", FRAMES),
        ("moved.m3u8", FRAMES),
        ("moved/plain/list.m3u8", FRAMES),
        # Two frames after the gap are damaged.
        ("plain/gap.m3u8", FRAMES - 27),
    ],
)
def test_kinds_of_hls(site, path, count):
    with open_source(f"http://127.0.0.1:{site.server_port}/{path}", live=False) as source:
        frames = list(source)
    assert len(frames) == count
    assert frames[-1].captured_s == pytest.approx((FRAMES - 1) / 25)


def test_other_streams_cost_nothing(site):
    site.asked.clear()
    assert len(list(open_source(f"http://127.0.0.1:{site.server_port}/clip.mp4"))) == FRAMES
    assert site.asked == ["/clip.mp4"]


def repeated(head, piece, count=None):
    """The address of a server that sends a playlist with lines repeated, by default without end."""

    def handle(connection):
        connection.sendall(OK + head)
        for _ in itertools.repeat(None) if count is None else itertools.repeat(None, count):
            connection.sendall(piece)

    return f"http://127.0.0.1:{serve(handle)}/x"


KEY = HEAD + b'#EXT-X-KEY:METHOD=AES-128,URI="' + b"k" * 4000 + b'"\n'


@pytest.mark.parametrize(
    ("head", "piece", "count", "said"),
    [
        (HEAD, b"#EXTINF:1,\nsegment.ts\n" * 1000, None, "a playlist is larger than 4 MB"),
        (KEY, b"#EXTINF:1,\na\n" * 1000, 20, "list too many streams and segments"),
        (KEY, b'#EXT-X-MAP:URI="a"\n' * 1000, 20, "list too many streams and segments"),
        (b"#EXTM3U\n", b"#EXT-X-STREAM-INF:\na\n", 100, "list too many streams and segments"),
        # Each of the streams is the same playlist again.
        (b"#EXTM3U\n", b"#EXT-X-STREAM-INF:\na\n", 40, "list too many streams and segments"),
    ],
)
def test_playlists_that_would_take_much_memory_are_refused(head, piece, count, said):
    with pytest.raises(SourceError, match=said):
        list(open_source(repeated(head, piece, count)))


def live(site, lists):
    """The address of a live stream, whose playlist is each of `lists` in turn, and segments without end."""
    segments = {f"{number}.ts": f"plain/list{number}.ts" for number in range(3)}

    class Live(Handler):
        folder = site.RequestHandlerClass.folder

        def do_GET(self):
            if self.path == "/live.m3u8":
                self.answer(200, next(lists))
            else:
                self.path = "/" + segments.get(self.path[1:], self.path[1:])
                super().do_GET()

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Live)
    server.asked = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


SEGMENTS = b"".join(b"#EXTINF:0.1,\n%d.ts\n" % number for number in range(3))


def test_a_live_playlist_that_grows_without_end_is_left(site):
    lists = itertools.chain([HEAD + SEGMENTS] * 2, itertools.repeat(HEAD + SEGMENTS + b"#" * (5 << 20)))
    with live(site, lists) as server:
        with pytest.raises(SourceError, match="a playlist is larger than 4 MB"):
            list(open_source(f"http://127.0.0.1:{server.server_port}/live.m3u8"))
        server.shutdown()


@pytest.mark.parametrize("name", ["segment.ts", "list.m3u8"])
def test_an_answer_that_does_not_end_ends_in_time(name):
    wait = threading.Event()

    def handle(connection):
        connection.sendall(OK + HEAD + b"#EXTINF:1,\nsegment.ts\n" if name == "segment.ts" else OK + HEAD)
        wait.wait(20)

    with pytest.raises(SourceError, match="no answer in time"):
        open_source(f"http://127.0.0.1:{serve(handle)}/{name}.m3u8", open_timeout_s=0.3)
    wait.set()
