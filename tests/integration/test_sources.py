import functools
import http.server
import socket
import ssl
import threading
import time
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from support.helpers import flat_frames, write_video

from edgehar import PixelFormat, SourceError, open_source
from edgehar.pictures import as_bgr

# Display matrices of 0 to 3 quarter turns counterclockwise.
TURNS = [(1, 0, 0, 1), (0, -1, 1, 0), (-1, 0, 0, -1), (0, 1, -1, 0)]


def levels(frames):
    return [round(float(as_bgr(frame).mean())) for frame in frames]


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format", "layout"),
    [
        ("clip.mp4", "libx264", "yuv420p", PixelFormat.I420),
        ("clip.mp4", "mpeg4", "yuv420p", PixelFormat.I420),
        ("clip.avi", "mpeg4", "yuv420p", PixelFormat.I420),
        ("clip.avi", "mjpeg", "yuvj420p", PixelFormat.I420),
        ("clip.mkv", "ffv1", "gray", PixelFormat.GRAY8),
        ("clip.mkv", "ffv1", "yuv422p", PixelFormat.BGR24),
    ],
)
def test_every_frame_of_a_video_comes_once_in_order_with_its_time(tmp_path, name, codec, pixel_format, layout):
    path = write_video(tmp_path / name, flat_frames(range(10, 250, 10)), codec=codec, pixel_format=pixel_format)
    with open_source(path) as source:
        frames = list(source)
        assert list(source) == []
    assert source.name == str(path)
    assert not source.live
    assert np.abs(np.array(levels(frames)) - np.arange(10, 250, 10)).max() <= 5
    assert [frame.sequence for frame in frames] == list(range(24))
    assert [frame.captured_s for frame in frames] == pytest.approx(np.arange(24) / 25, abs=2e-3)
    assert {(frame.format, frame.height, frame.width) for frame in frames} == {(layout, 48, 64)}


def test_a_variable_frame_rate_is_told_by_the_times(tmp_path):
    times_s = [0.0, 0.04, 0.08, 0.5, 0.52, 1.3]
    path = write_video(tmp_path / "vfr.mkv", flat_frames(range(6)), times_s=[5 + time_s for time_s in times_s])
    assert [frame.captured_s for frame in open_source(path)] == pytest.approx(times_s, abs=2e-3)


def test_times_never_go_back(tmp_path):
    frames = flat_frames(range(0, 240, 8))
    path = write_video(tmp_path / "b.avi", frames, codec="libx264")
    captured_s = [frame.captured_s for frame in open_source(path)]
    assert len(captured_s) == 30
    assert captured_s == sorted(captured_s)
    assert captured_s[-1] == pytest.approx(29 / 25, abs=0.1)


@pytest.mark.parametrize(
    ("matrix", "upright"),
    [
        ((1, 0, 0, 1), lambda p: p),
        ((0, 1, -1, 0), lambda p: np.rot90(p, -1)),
        ((-1, 0, 0, -1), lambda p: np.rot90(p, 2)),
        ((0, -1, 1, 0), lambda p: np.rot90(p, 1)),
        ((-1, 0, 0, 1), np.fliplr),
        ((1, 0, 0, -1), np.flipud),
        ((0, 1, 1, 0), lambda p: p.transpose(1, 0, 2)),
        ((0, -1, -1, 0), lambda p: np.rot90(p, 2).transpose(1, 0, 2)),
        # A matrix that turns by no multiple of 90 degrees is not followed.
        ((0, 0, 0, 0), lambda p: p),
        ((1, 1, -1, 1), lambda p: p),
        ((0, 0, 1, 1), lambda p: p),
        ((-32768, 32767, 5, -32768), lambda p: p),
    ],
)
def test_a_video_is_shown_as_its_display_matrix_says(tmp_path, matrix, upright):
    check_shown(tmp_path, matrix, upright)


@pytest.mark.parametrize("turns", range(4))
def test_a_video_with_unknown_side_data_is_turned_all_the_same(tmp_path, turns, monkeypatch):
    """PyAV raises ValueError for kinds of side data that are newer than it is."""

    def unknown(_):
        raise ValueError("29 is not a valid Type")

    monkeypatch.setattr("edgehar.sources.orientation._display_matrix", unknown)
    check_shown(tmp_path, TURNS[turns], lambda pixels: np.rot90(pixels, turns))


@pytest.mark.parametrize("turns", range(4))
def test_a_video_of_png_pictures_is_turned(tmp_path, turns):
    """Their side data is not read, because PyAV frees it twice."""
    check_shown(
        tmp_path,
        TURNS[turns],
        lambda pixels: np.rot90(pixels, turns),
        name="phone.mov",
        codec="png",
        pixel_format="rgb24",
    )


def check_shown(tmp_path, matrix, upright, *, name="phone.mp4", **options):
    marked = np.zeros((48, 64, 3), np.uint8)
    marked[:12, :16] = 255
    path = write_video(tmp_path / name, [marked], **options)
    content = bytearray(path.read_bytes())
    # The display matrix stands 40 bytes into the track header (ISO/IEC 14496-12, 8.3.2); 16.16 and 2.30 fixed point.
    at = content.index(b"tkhd") + 4 + 40
    a, b, c, d = (value << 16 for value in matrix)
    content[at : at + 36] = b"".join(v.to_bytes(4, "big", signed=True) for v in (a, b, 0, c, d, 0, 0, 0, 1 << 30))
    path.write_bytes(content)
    (frame,) = open_source(path)
    expected, shown = upright(marked), as_bgr(frame)
    assert shown.shape == expected.shape
    assert np.abs(shown.astype(int) - expected).mean() < 3


def with_cover(path, codec, frames, first):
    """A file with a cover picture, before or after its other stream."""
    with av.open(str(path), "w") as container:

        def cover():
            stream = container.add_stream("mjpeg", rate=1)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
            stream.disposition = av.stream.Disposition.attached_pic
            return stream

        picture = cover() if first else None
        other = container.add_stream(codec, rate=25 if frames else 44100)
        if frames:
            other.width, other.height, other.pix_fmt = 64, 48, "yuv420p"
        picture = picture or cover()
        container.mux(picture.encode(av.VideoFrame.from_ndarray(flat_frames([255])[0], format="bgr24")))
        container.mux(picture.encode(None))
        for pixels in frames:
            container.mux(other.encode(av.VideoFrame.from_ndarray(pixels, format="bgr24")))
        if not frames:
            sound = av.AudioFrame(format="fltp", layout="mono", samples=1024)
            sound.planes[0].update(bytes(4096))
            sound.rate = 44100
            container.mux(other.encode(sound))
        container.mux(other.encode(None))
    return path


@pytest.mark.parametrize("first", [True, False])
def test_a_cover_is_no_video(tmp_path, first):
    path = with_cover(tmp_path / "film.mp4", "mpeg4", flat_frames([40] * 10), first)
    assert levels(open_source(path)) == pytest.approx([40] * 10, abs=2)
    path = with_cover(tmp_path / "song.mp4", "aac", [], first)
    with pytest.raises(SourceError, match="contains no video"):
        open_source(path)


def halved(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    return path


def noise(count):
    generator = np.random.default_rng(0)
    return [generator.integers(0, 255, (96, 128, 3), dtype=np.uint8) for _ in range(count)]


@pytest.mark.parametrize(("name", "options"), [("cut.avi", {}), ("cut.mp4", {"movflags": "faststart"})])
def test_what_is_left_of_a_cut_off_file_is_played(tmp_path, caplog, name, options):
    path = halved(write_video(tmp_path / name, noise(40), options=options))
    frames = list(open_source(path))
    assert 10 < len(frames) < 30
    assert [record.getMessage() for record in caplog.records] == [
        f"{path}: damaged or truncated: {len(frames)} of 40 frames were decoded"
    ]


def test_damage_in_the_middle_ends_nothing(tmp_path, capfd):
    path = write_video(tmp_path / "damaged.avi", noise(40))
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 4000] = bytes(4000)
    path.write_bytes(content)
    assert len(list(open_source(path))) >= 30
    assert "mpeg4" not in capfd.readouterr().err


def test_a_whole_file_brings_no_warning(tmp_path, caplog):
    list(open_source(write_video(tmp_path / "whole.mp4", noise(10))))
    assert caplog.records == []


@pytest.fixture
def web(tmp_path):
    """A web server of the test's folder; below /private it asks for a password."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=str(tmp_path))

        def do_GET(self):
            if self.path.startswith("/private"):
                self.send_error(401)
            elif self.path.startswith("/camera"):
                self.stream()
            else:
                super().do_GET()

        def stream(self):
            """Motion JPEG as network cameras send it: 50 frames a second, until the camera dies after 30."""
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=next")
            self.end_headers()
            for frame in flat_frames(range(0, 240, 8)):
                picture = cv2.imencode(".jpg", frame)[1].tobytes()
                head = f"--next\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n"
                self.wfile.write(head.encode() + picture + b"\r\n")
                time.sleep(0.02)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_video_on_a_web_server_is_a_file_with_an_end(tmp_path, web):
    write_video(tmp_path / "clip.mp4", flat_frames(range(0, 250, 10)), options={"movflags": "faststart"})
    with open_source(f"http://user:secret@{web}/clip.mp4?token=secret") as source:
        assert not source.live
        assert source.name == f"http://{web}/clip.mp4"
        assert len(list(source)) == 25


def test_a_network_camera_is_live_until_it_dies(web):
    frames, started_s = [], time.monotonic()
    with open_source(f"http://user:secret@{web}/camera") as source:
        assert source.live
        with pytest.raises(SourceError, match=f"http://{web}/camera: .*; check the camera and the network"):
            frames.extend(source)
    assert len(frames) >= 25
    captured_s = [frame.captured_s for frame in frames]
    assert captured_s == sorted(captured_s)
    assert started_s < captured_s[0] < time.monotonic()


@pytest.mark.parametrize(("path", "message"), [("private/a.mp4", "refuses the user or password"), ("no.mp4", "404")])
def test_what_a_web_server_does_not_give(web, path, message):
    with pytest.raises(SourceError, match=message) as caught:
        open_source(f"http://user:secret@{web}/{path}")
    assert "secret" not in str(caught.value)
    assert caught.value.__context__ is None


@pytest.mark.parametrize("scheme", ["http", "rtsp"])
def test_a_server_that_never_answers(scheme):
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"{scheme}://user:secret@127.0.0.1:{server.getsockname()[1]}/stream"
        with pytest.raises(SourceError, match="no answer in time") as caught:
            open_source(address, open_timeout_s=0.3)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["http", "rtsp"])
def test_no_server_at_all(scheme):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(SourceError, match=f"{scheme}://127.0.0.1:{port}/stream: cannot be opened: Connection refused"):
        open_source(f"{scheme}://user:secret@127.0.0.1:{port}/stream")


def test_a_closed_source_keeps_no_decoder(tmp_path):
    path = write_video(tmp_path / "clip.mp4", flat_frames([20] * 10), codec="libx264")

    def threads():
        return len(list(Path("/proc/self/task").iterdir()))

    before, sources = threads(), []
    for _ in range(4):
        sources.append(open_source(path))
        next(iter(sources[-1]))
        sources[-1].close()
    assert threads() <= before + 1


@pytest.fixture
def https_clip(tmp_path, certificates):
    """Address of a clip on a server whose certificate is of an authority that the system does not know."""
    write_video(tmp_path / "clip.mp4", flat_frames([20] * 10), options={"movflags": "faststart"})
    handler = functools.partial(Quiet, directory=tmp_path)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates.server, certificates.server_key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"https://localhost:{server.server_address[1]}/clip.mp4"
        server.shutdown()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def test_a_server_must_show_a_certificate_that_is_trusted(https_clip, certificates):
    with pytest.raises(SourceError, match="certificate"):
        open_source(https_clip)
    assert len(list(open_source(https_clip, ca_file=str(certificates.authority)))) == 10
    assert len(list(open_source(https_clip, tls_verify=False))) == 10
