"""What each way to decode leaves out of real H.264 and H.265, and that nothing else changes."""

import contextlib

import av
import numpy as np
import pytest
from support.helpers import run_command
from support.rtsp_server import RtspServer, Script, encode, moving_frames

from edgehar import Classifier, ConfigError, SourceError, open_source
from edgehar.recording.packets import PacketRing

GOP, COUNT = 10, 40
CODECS = {
    "H.264": ("libx264", {"x264-params": f"keyint={GOP}:min-keyint={GOP}:scenecut=0:bframes=0"}),
    "H.264 with B-frames": (
        "libx264",
        {"x264-params": f"keyint={GOP}:min-keyint={GOP}:scenecut=0:bframes=2:b-adapt=0"},
    ),
    "H.265": (
        "libx265",
        {"x265-params": f"log-level=none:keyint={GOP}:min-keyint={GOP}:scenecut=0:bframes=2:b-adapt=0:open-gop=0"},
    ),
}


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """A file of each codec: `COUNT` frames at 25 frames/s, an IDR picture every `GOP`."""
    folder = tmp_path_factory.mktemp("videos")
    for name, (codec, options) in CODECS.items():
        with av.open(str(folder / f"{name}.mp4"), "w") as container:
            stream = container.add_stream(codec, rate=25, options={"preset": "fast", **options})
            stream.width, stream.height, stream.pix_fmt, stream.bit_rate = 128, 96, "yuv420p", 150_000
            for pixels in moving_frames(COUNT):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="bgr24")))
            container.mux(stream.encode(None))
    return folder


def lumas(path, **options):
    """Luma of every frame, by its time in frames."""
    with open_source(path, **options) as source:
        return {round(frame.captured_s * 25): np.array(frame.data[0]).astype(np.int16) for frame in source}


def until_it_fails(source):
    """Frames of a file that is read as a stream, whose end is an error."""
    with contextlib.suppress(SourceError):
        yield from source


def same(some, others):
    return [number for number in some if np.array_equal(some[number], others[number])]


@pytest.mark.parametrize("name", CODECS)
def test_a_mode_leaves_out_what_it_says(videos, name):
    path = videos / f"{name}.mp4"
    full, auto, unfiltered, needed, key = (
        lumas(path, decode=mode) for mode in ("full", "auto", "skip-loop-filter", "reference-only", "key")
    )
    assert list(full) == list(auto) == list(unfiltered) == list(range(COUNT))
    assert same(auto, full) == list(full)
    assert len(same(unfiltered, full)) < COUNT
    assert all(np.abs(unfiltered[number] - full[number]).mean() < 12 for number in full)
    assert same(needed, unfiltered) == list(needed)
    # Two of three pictures are B-frames, and x265 predicts some of them from others.
    assert len(needed) == COUNT if "B-frames" not in name and name != "H.265" else GOP < len(needed) < COUNT
    assert same(key, full) == list(key) == list(range(0, COUNT, GOP))


@pytest.mark.parametrize("name", CODECS)
def test_a_live_stream_changes_its_mode_at_the_next_idr_picture_and_loses_no_frame(videos, name):
    path = videos / f"{name}.mp4"
    full, unfiltered = lumas(path), lumas(path, decode="skip-loop-filter")
    seen, modes = [], []
    orders = {3: "skip-loop-filter", 2 * GOP + 3: "full"}
    with open_source(path, live=True) as source:
        for frame in until_it_fails(source):
            seen.append(np.array(frame.data[0]).astype(np.int16))
            modes.append(source.decoding.mode)
            if len(seen) in orders:
                source.use_decode_mode(orders[len(seen)])
    assert len(seen) == COUNT
    assert source.damaged == 0
    for number, picture in enumerate(seen):
        expected = unfiltered if GOP <= number < 3 * GOP else full
        assert np.array_equal(picture, expected[number])
    assert (modes[0], modes[2 * GOP], modes[-1]) == ("full", "skip-loop-filter", "full")


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_a_network_camera_changes_its_mode(codec):
    script = Script(encode(moving_frames(20), gop=GOP, codec=codec), codec=codec.replace("libx", "H"))
    with RtspServer(script) as server, open_source(server.uri) as source:
        frames = iter(source)
        next(frames)
        assert source.decoding.mode == "full"
        source.use_decode_mode("skip-loop-filter")
        changed = next(number for number, _ in enumerate(frames) if source.decoding.mode == "skip-loop-filter")
        first = next(frames)
        assert changed <= 2 * GOP
        assert source.damaged == 0
        assert next(frames).sequence == first.sequence + 1


def test_a_file_and_a_stream_with_a_mode_of_their_own_keep_it(videos):
    path = videos / "H.264.mp4"
    with open_source(path) as file, open_source(path, live=True, decode="full") as stream:
        for source in (file, stream):
            source.use_decode_mode("key")
            for frame, _ in zip(source, range(2 * GOP), strict=False):
                assert frame.sequence >= 0
            assert source.decoding.mode == "full"


@pytest.mark.parametrize("mode", ["full", "reference-only", "key"])
def test_recordings_keep_every_packet_in_every_mode(videos, mode):
    ring = PacketRing(keep_s=3600, max_bytes=1 << 24)
    with open_source(videos / "H.264 with B-frames.mp4", decode=mode) as source:
        source.tap = Tap(ring)
        for _ in source:
            pass
    assert len(ring.after(0, limit=1000)) == COUNT


class Tap:
    def __init__(self, ring):
        self._ring = ring

    def begin(self, stream, *, live):
        return self._ring.begin(stream, live=live)

    def shifted(self, by_s):
        self._ring.shifted(by_s)


@pytest.mark.parametrize("name", CODECS)
def test_pictures_that_nobody_needs_are_left_out_and_no_answer_changes(videos, name):
    """Of two frames at 25 a second a model of 12.5 Hz uses one."""
    path = videos / f"{name}.mp4"
    known = lumas(path)
    answers = {}
    for leaves_out in (False, True):
        with open_source(path) as source, Classifier("actions-synthetic", hop=1) as classifier:
            source.needs = classifier.may_use if leaves_out else None
            frames = list(source) if not leaves_out else []
            answers[leaves_out] = []
            for frame in frames or source:
                frames += [frame] if leaves_out else []
                if (answer := classifier.push(frame)) is not None:
                    answers[leaves_out].append((answer.raw.tolist(), answer.window))
        assert [frame.sequence for frame in frames] == list(range(COUNT))
        assert [round(frame.captured_s * 25) for frame in frames] == list(range(COUNT))
    assert answers[True] == answers[False]
    assert len(answers[True]) == 1
    others = [number for number, frame in enumerate(frames) if not np.array_equal(frame.data[0], known[number])]
    # The rate is known from the 16th frame on.
    assert not set(others) & set(range(16))
    assert not any(number % 2 == 0 for number in others)
    assert bool(others) == (name != "H.264")
    for number in others:
        assert np.array_equal(frames[number].data[0], frames[number - 1].data[0])


def test_decoding_is_timed(videos):
    with open_source(videos / "H.265.mp4", decoder_threads=1) as source:
        before_s = source.decoding.busy_s
        for _ in source:
            pass
    assert before_s == 0 < source.decoding.busy_s


def test_a_mode_that_does_not_exist_is_refused_and_so_is_one_of_a_source_without_video(videos):
    path = videos / "H.264.mp4"
    with pytest.raises(ConfigError, match="decode is 'half': invalid enum value 'half'"):
        open_source(path, decode="half")
    with pytest.raises(ConfigError, match="decode is not an option of this kind of source"):
        open_source("synthetic:walking", decode="key")


def test_the_command_decodes_as_told(videos):
    done = run_command(
        "edgehar-run", "--source", videos / "H.265.mp4", "--decode", "key", "--model", "actions-synthetic"
    )
    assert done.returncode == 0
    assert '"frames":4,' in done.stdout
    refused = run_command("edgehar-run", "--source", videos / "H.265.mp4", "--decode", "half")
    assert refused.returncode == 2
    assert "--decode" in refused.stderr
