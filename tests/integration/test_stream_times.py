"""Network streams whose times, pace and end are not what they should be, from real servers on loopback."""

import contextlib
import http.server
import itertools
import threading

import av
import cv2
import numpy as np
import pytest
from support.helpers import flat_frames, predictions, run_command, write_video
from support.rtsp_server import RtspServer, Script, encode, moving_frames

from edgehar import Classifier, SourceError, open_source
from edgehar.capture.mailbox import Closed
from edgehar.capture.options import ReconnectOptions
from edgehar.capture.reader import Capture

QUICK = ReconnectOptions(first_delay_s=0.01, max_delay_s=0.01)


@pytest.fixture(scope="module")
def units():
    return encode(moving_frames(50))


@pytest.fixture(scope="module")
def units_of_h265():
    return encode(moving_frames(50), codec="libx265")


def take(source, count):
    frames = list(itertools.islice(source, count))
    assert len(frames) == count
    return frames


def steps_of(frames):
    return np.diff([frame.captured_s for frame in frames])


def test_stamps_that_run_faster_than_frames_arrive_are_left(units, caplog):
    script = Script(units, rate_hz=20, stamp_s=lambda number: number / 40)
    with RtspServer(script) as server, open_source(server.uri) as source:
        frames = take(source, 160)
    (said,) = [message for message in caplog.messages if "using arrival times" in message]
    assert "its time stamps run at 0.5" in said
    assert script.connections == 1
    later = frames[-40:]
    assert all(frame.captured_s == frame.arrived_s for frame in later)
    assert np.median(steps_of(later)) == pytest.approx(0.05, abs=0.02)


@pytest.mark.parametrize("stamp_s", [lambda n: 0.0, lambda n: 10 - n / 25, lambda n: n / 25 + 5 * (n % 10 == 9)])
def test_stamps_that_stand_still_or_jump_back_are_left(units, caplog, stamp_s):
    with RtspServer(Script(units, stamp_s=stamp_s)) as server, open_source(server.uri) as source:
        frames = take(source, 70)
    assert sum("its time stamps stand still or jump back; using arrival times" in m for m in caplog.messages) == 1
    assert all(0 <= frame.arrived_s - frame.captured_s < 2.0 for frame in frames)
    assert steps_of(frames).max() < 3.0


def test_frames_in_bursts_keep_the_times_of_their_stamps(units):
    with RtspServer(Script(units, burst=5)) as server, open_source(server.uri) as source:
        frames = take(source, 60)
    # Frames that came before the stream was described have no stamps. By their arrival, 4 of 5 steps would be 0.
    assert np.mean(np.abs(steps_of(frames) - 0.04) < 0.03) > 0.6


def test_every_frame_of_a_burst_reaches_a_reader_that_keeps_up(units):
    with RtspServer(Script(units, burst=5)) as server:
        capture = Capture(
            lambda: open_source(server.uri), options=ReconnectOptions(max_delay_s=0.01, first_delay_s=0.01)
        )
        capture.start()
        got = [capture.frames.get(20) for _ in range(55)]
        capture.stop()
    assert {epoch for epoch, _ in got} == {0}
    assert [frame.sequence for _, frame in got] == list(range(got[0][1].sequence, got[0][1].sequence + 55))
    assert capture.dropped == 0


def test_a_camera_that_announces_a_range_is_still_live(units):
    script = Script(units, rate_hz=200, range="a=range:npt=0-0\r\n", count=30)
    with RtspServer(script) as server:
        with open_source(server.uri) as source:
            assert source.live
        with open_source(server.uri, live=False) as source:
            assert not source.live
        capture = Capture(
            lambda: open_source(server.uri), options=ReconnectOptions(max_delay_s=0.01, first_delay_s=0.01)
        )
        capture.start()
        while capture.frames.get(20)[0] < 2:
            pass
        capture.stop()
    assert script.connections >= 3


def levels_of(units, codec="H264"):
    """The decoded frames of a stream, in order."""
    decoder = av.CodecContext.create("h264" if codec == "H264" else "hevc", "r")
    pictures = []
    for unit in units:
        pictures += decoder.decode(av.Packet(b"".join(b"\0\0\0\1" + nal for nal in unit)))
    return [picture.to_ndarray(format="yuv420p")[: picture.height] for picture in pictures + decoder.decode(None)]


@pytest.mark.parametrize("codec", ["H264", "H265"])
@pytest.mark.parametrize("lost", [{40}, {41}, {90, 91, 92}, set(range(60, 160)), {37, 180, 333, 334}])
def test_no_picture_of_a_stream_that_lost_packets_is_damaged(units, units_of_h265, lost, codec):
    units = units if codec == "H264" else units_of_h265
    whole = levels_of(units, codec)
    script = Script(units, rate_hz=50, loses=lambda place: place in lost, codec=codec)
    with RtspServer(script) as server, open_source(server.uri, transport="udp") as source:
        frames = take(source, 120)
        noticed = source.damaged > 0
    for frame in frames:
        nearest = min(np.abs(frame.data[0].astype(int) - picture).mean() for picture in whole)
        assert nearest < 1.0
    # Of a stream that goes on with a key frame, nothing has to be dropped.
    assert noticed or len(lost) > 50 or codec == "H265"


def test_a_stream_that_lost_nothing_is_used_whole(units):
    for transport in ("tcp", "udp"):
        with RtspServer(Script(units, rate_hz=50)) as server, open_source(server.uri, transport=transport) as source:
            frames = take(source, 120)
            assert source.damaged == 0
        assert [frame.sequence for frame in frames] == list(range(120))


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_damaged_packets_of_a_transport_stream_are_dropped_and_reported(tmp_path, caplog, codec):
    path = write_video(tmp_path / "clip.ts", moving_frames(100), codec=codec)
    whole = [frame.data[0].copy() for frame in open_source(path)]
    content = bytearray(path.read_bytes())
    packets = len(content) // 188
    del content[188 * (packets // 2) : 188 * (packets // 2 + 3)]
    path.write_bytes(content)
    caplog.clear()
    frames = list(open_source(path))
    assert 30 <= len(frames) < 100
    for frame in frames:
        assert min(np.abs(frame.data[0].astype(int) - picture).mean() for picture in whole) < 1.0
    assert "damaged or truncated" in caplog.text


class Web:
    """A web server; `/camera` is motion JPEG, the rest are files, sent with or without their length."""

    def __init__(self, folder, rate_hz=100.0):
        closed = threading.Event()

        class Handler(http.server.SimpleHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def __init__(self, *arguments):
                super().__init__(*arguments, directory=str(folder))

            def do_GET(self):
                web.requests.append(self.path)
                if self.path.startswith("/camera"):
                    self.camera()
                elif self.path.startswith("/chunked"):
                    self.chunked((folder / self.path.rpartition("/")[2]).read_bytes())
                else:
                    super().do_GET()

            def camera(self):
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=f")
                self.end_headers()
                with contextlib.suppress(OSError):
                    for number, level in enumerate(itertools.cycle(range(0, 250, 10))):
                        small = self.path == "/camera/odd" and number % 40 == 39
                        frame = flat_frames([level], *((6, 6) if small else (48, 64)))[0]
                        picture = cv2.imencode(".jpg", frame)[1].tobytes()
                        head = f"--f\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n"
                        self.wfile.write(head.encode() + picture + b"\r\n")
                        if closed.wait(1 / rate_hz):
                            return

            def chunked(self, content):
                self.send_response(200)
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                for at in range(0, len(content), 4096):
                    piece = content[at : at + 4096]
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                self.wfile.write(b"0\r\n\r\n")

            def log_message(self, *_):
                pass

        web = self
        self.requests, self._closed = [], closed
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self):
        self._closed.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def web(tmp_path):
    server = Web(tmp_path, rate_hz=10)
    yield server
    server.close()


def test_motion_jpeg_has_the_times_of_its_arrival(web, caplog):
    with open_source(f"{web.address}/camera") as source:
        assert source.live
        frames = take(source, 30)
    assert [m for m in caplog.messages if "arrival" in m] == [
        f"{web.address}/camera: it has no time stamps; using arrival times"
    ]
    assert all(frame.captured_s == frame.arrived_s for frame in frames)
    assert np.median(steps_of(frames)) == pytest.approx(0.1, abs=0.04)


def test_a_picture_of_an_odd_size_does_not_end_a_camera(web, tiny_bundle):
    arguments = [
        "--source",
        f"{web.address}/camera/odd",
        "--model",
        tiny_bundle,
        "--max-predictions",
        "60",
        "--hop",
        "1",
    ]
    done = run_command("edgehar-run", *arguments)
    assert done.returncode == 0, done.stderr
    assert len(predictions(done.stdout)) == 60
    assert done.stderr.count("6x6") >= 1
    assert "reconnecting" not in done.stderr


def all_of(capture):
    got = []
    while True:
        try:
            got.append(capture.frames.get(20))
        except Closed:
            return got


def raw_h264(path, frames, rate_hz):
    with av.open(str(path), "w", format="h264") as container:
        stream = container.add_stream("libx264", rate=rate_hz)
        stream.height, stream.width = frames[0].shape[:2]
        for pixels in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="bgr24")))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("name", ["clip.h264", "clip.ts", "clip.avi", "clip.mkv"])
def test_a_file_on_a_web_server_is_read_once_and_whole(web, tmp_path, name):
    frames = moving_frames(100)
    if name.endswith("h264"):
        raw_h264(tmp_path / name, frames, 25)
    else:
        write_video(tmp_path / name, frames, codec="libx264" if name.endswith("ts") else "mpeg4")
    with open_source(f"{web.address}/{name}") as source:
        assert not source.live
        assert len(list(source)) == 100


def test_a_file_without_length_and_duration_ends_when_it_ends(web, tmp_path):
    write_video(tmp_path / "clip.ts", moving_frames(250), codec="mpeg2video")
    capture = Capture(lambda: open_source(f"{web.address}/chunked/clip.ts"))
    capture.start()
    got = all_of(capture)
    assert capture.error is None
    assert {epoch for epoch, _ in got} == {0}
    assert len(got) == 250
    assert len(web.requests) == 1
    capture.stop()


@pytest.mark.parametrize(("rate_hz", "codec", "suffix"), [(10, "libx264", "h264"), (50, "mpeg2video", "m2v")])
def test_a_raw_stream_has_the_rate_of_its_header(tmp_path, rate_hz, codec, suffix):
    path = tmp_path / f"raw.{suffix}"
    if suffix == "h264":
        raw_h264(path, flat_frames(range(60)), rate_hz)
    else:
        write_video(path, flat_frames(range(60)), codec=codec, rate_hz=rate_hz)
    frames = list(open_source(path))
    assert [frame.captured_s for frame in frames] == pytest.approx(np.arange(60) / rate_hz, abs=1e-3)


def test_a_raw_stream_without_a_rate_says_so(tmp_path, caplog):
    pictures = [cv2.imencode(".jpg", frame)[1].tobytes() for frame in flat_frames(range(0, 100, 10))]
    (tmp_path / "raw.mjpeg").write_bytes(b"".join(pictures))
    frames = list(open_source(tmp_path / "raw.mjpeg"))
    assert [frame.captured_s for frame in frames] == pytest.approx(np.arange(10) / 25)
    assert "has no frame rate; assuming 25 frames a second" in caplog.text


def test_the_end_of_a_live_stream_is_an_error(units):
    with (
        RtspServer(Script(units, rate_hz=500, count=5)) as server,
        open_source(server.uri) as source,
        pytest.raises(SourceError, match="check the camera and the network"),
    ):
        list(source)


def test_no_window_spans_two_recordings_that_were_joined(tmp_path, tiny_bundle):
    parts = []
    for number, level in enumerate((20, 230)):
        path = tmp_path / f"{number}.ts"
        write_video(path, flat_frames([level] * 75), codec="mpeg2video")
        parts.append(path.read_bytes())
    joined = tmp_path / "joined.ts"
    joined.write_bytes(b"".join(parts))
    with Classifier(tiny_bundle, hop=1) as classifier, open_source(joined) as source:
        frames = list(source)
        answers = [answer for frame in frames if (answer := classifier.push(frame)) is not None]
    # Some frames at the joint are damaged.
    (cut,) = [number for number, frame in enumerate(frames) if frame.cut]
    assert 70 <= cut <= 75
    # A window of four frames at 10 Hz spans 0.3 s, and is full again only so long after the cut.
    cut_s = frames[cut].captured_s
    assert not any(answer.window.start_s < cut_s <= answer.window.end_s for answer in answers)
    assert {answer.label for answer in answers if answer.window.end_s < cut_s} == {"dark"}
    assert {answer.label for answer in answers if answer.window.start_s >= cut_s} == {"bright"}
