"""Video that lost packets on its way: no damaged picture becomes a frame, whatever the codec."""

import itertools
import random

import av
import numpy as np
import pytest
from support.helpers import run_command, write_video
from support.rtsp_server import moving_frames

from edgehar import SourceError, open_source
from edgehar.sources.decoding import Decoder

CODECS = {
    "mpeg2video": {"bf": "0"},
    "mpeg2video with B-frames": {"bf": "2"},
    "mpeg4": {},
    "mpeg1video": {},
    "libx264": {"bf": "0"},
    "libx264 with B-frames": {"bf": "3"},
    "libx265": {"x265-params": "log-level=none:bframes=0"},
    "libx265 with B-frames": {"x265-params": "log-level=none:bframes=3"},
}


def encode(path, codec, options):
    """A transport stream of 100 moving frames, a key frame every 20."""
    with av.open(str(path), "w", format="mpegts") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = 128, 96, "yuv420p", 20
        stream.bit_rate, stream.options = 1_500_000, options
        for pixels in moving_frames(100):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="bgr24")))
        container.mux(stream.encode(None))


def pictures(path):
    """Luma of every frame, and how many were damaged."""
    with open_source(path) as source:
        found = [(frame.sequence, np.array(frame.data[0])[::2, ::2].astype(np.int16)) for frame in source]
        return found, source.damaged


def lose(content, share, rng):
    packets = [content[at : at + 188] for at in range(0, len(content), 188)]
    video = 0x100
    return b"".join(p for p in packets if int.from_bytes(p[1:3], "big") & 0x1FFF != video or rng.random() >= share)


@pytest.mark.parametrize("name", CODECS)
def test_a_transport_stream_that_lost_packets_gives_no_damaged_picture(tmp_path, name):
    path = tmp_path / "whole.ts"
    encode(path, name.partition(" ")[0], CODECS[name])
    whole, damaged = pictures(path)
    assert ([number for number, _ in whole], damaged) == (list(range(100)), 0)
    known = np.stack([picture for _, picture in whole])
    content, got = path.read_bytes(), 0
    for seed, share in enumerate((0.001, 0.003, 0.01, 0.03)):
        (tmp_path / "lost.ts").write_bytes(lose(content, share, random.Random(seed)))
        try:
            found, damaged = pictures(tmp_path / "lost.ts")
        except SourceError:
            continue
        for number, picture in found:
            assert np.abs(known - picture).mean((1, 2)).min() < 1.0, (seed, number)
        got += len(found)
        assert damaged or len(found) == 100
        # Gaps in the numbers tell where frames are missing.
        numbers = [number for number, _ in found]
        assert numbers == sorted(set(numbers))
        assert numbers[-1] < len(numbers) + damaged
    assert got > 30


@pytest.mark.parametrize("codec", ["mpeg4", "libx264", "libx265"])
def test_a_stream_that_is_joined_between_two_key_frames(tmp_path, codec):
    """What came before the first key frame of a live stream is dropped, and does not count as damage."""
    path = tmp_path / "whole.ts"
    encode(path, codec, {"bf": "0"} if codec != "libx265" else {"x265-params": "log-level=none:bframes=0"})
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        packets = [packet for packet in container.demux(stream) if packet.size]
        decoder = Decoder(stream, "clip", live=True, joined=True)
        frames = list(decoder.decode([*packets[5:], None]))
    assert (len(frames), decoder.damaged) == (80, 0)
    assert frames[0].key_frame


def test_a_stream_without_key_frames_begins_once_its_picture_is_whole(tmp_path):
    """Some cameras refresh a column of the picture with each frame, and send no other key frame than the first."""
    path = tmp_path / "whole.ts"
    encode(path, "libx264", {"bf": "0", "x264-params": "intra-refresh=1:keyint=20"})
    whole, _ = pictures(path)
    known = np.stack([picture for _, picture in whole])
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.options = {"err_detect": "explode"}
        packets = [packet for packet in container.demux(stream) if packet.size]
        decoder = Decoder(stream, "clip", live=True, joined=True)
        frames = list(decoder.decode([*packets[25:], None]))
    assert 30 <= len(frames) <= 75
    for frame in frames:
        shown = frame.to_ndarray(format="yuv420p")[: frame.height : 2, : frame.width : 2].astype(np.int16)
        assert np.abs(known - shown).mean((1, 2)).min() < 1.0


def test_a_run_on_a_damaged_file_says_in_its_windows_that_frames_are_missing(tmp_path, tiny_bundle):
    path = tmp_path / "clip.ts"
    encode(path, "libx264", {"bf": "0"})
    content = path.read_bytes()
    middle = len(content) // 188 // 2 * 188
    path.write_bytes(content[:middle] + content[middle + 3 * 188 :])
    done = run_command("edgehar", "predict", path, "--model", tiny_bundle)
    assert done.returncode == 0, done.stderr
    assert "damaged or truncated" in done.stderr


def test_a_damaged_file_in_a_loop_counts_its_damage_in_every_round(tmp_path):
    path = tmp_path / "clip.ts"
    encode(path, "libx264", {"bf": "0"})
    content = path.read_bytes()
    middle = len(content) // 188 // 2 * 188
    path.write_bytes(content[:middle] + content[middle + 3 * 188 :])
    frames, damaged = pictures(path)
    assert damaged
    with open_source(path, loop=True) as source:
        looped = [frame.sequence for frame in itertools.islice(source, 2 * len(frames) + 1)]
        assert source.damaged == 2 * damaged
    # The numbers have the gaps of the file, in every round.
    numbers = [number for number, _ in frames]
    assert looped[: 2 * len(frames)] == [*numbers, *(number + numbers[-1] + 1 for number in numbers)]


def test_a_good_file_loses_nothing(tmp_path):
    for codec in ("libx264", "libx265", "mpeg4", "mpeg2video"):
        for suffix in (".mp4", ".mkv", ".ts"):
            path = write_video(tmp_path / f"{codec}{suffix}", moving_frames(30), codec=codec)
            found, damaged = pictures(path)
            assert ([number for number, _ in found], damaged) == (list(range(30)), 0), path
