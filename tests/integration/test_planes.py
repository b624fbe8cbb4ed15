"""The pixels of decoded video: read where the decoder put them, in their own colours, and safe to keep."""

import gc

import av
import numpy as np
import pytest
from support.helpers import flat_frames, write_video

from edgehar import FrameRing, PixelFormat, YuvMatrix, open_source
from edgehar.pictures import as_bgr
from edgehar.sources.planes import in_place, is_full_range, yuv_matrix

# Blue, green, red of three bars.
BARS = ((200, 60, 40), (50, 190, 60), (40, 70, 210))


def bars(height=48, width=96):
    """Three upright bars of a colour each, uint8 `(height, width, 3)` BGR."""
    return np.repeat(np.array(BARS, np.uint8)[None, :, None], height, 0).repeat(width // 3, 2).reshape(height, -1, 3)


def middles(picture):
    """The colours in the middle of the three bars."""
    height, width = picture.shape[:2]
    return picture[height // 2, [width // 6, width // 2, width * 5 // 6]].astype(int)


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format", "layout"),
    [
        ("a.mp4", "libx264", "yuv420p", PixelFormat.I420),
        ("a.avi", "mjpeg", "yuvj420p", PixelFormat.I420),
        ("a.nut", "rawvideo", "nv12", PixelFormat.NV12),
        ("a.nut", "rawvideo", "yuyv422", PixelFormat.YUYV),
        ("a.nut", "rawvideo", "bgr24", PixelFormat.BGR24),
        ("a.nut", "rawvideo", "rgb24", PixelFormat.RGB24),
        ("a.nut", "rawvideo", "bgra", PixelFormat.BGRA32),
        ("a.avi", "ffv1", "bgr0", PixelFormat.BGRA32),
        ("a.nut", "rawvideo", "rgba", PixelFormat.RGBA32),
        ("a.nut", "rawvideo", "rgb0", PixelFormat.RGBA32),
        ("a.mkv", "ffv1", "yuv420p10le", PixelFormat.BGR24),
        ("a.mkv", "libx264", "yuv444p", PixelFormat.BGR24),
    ],
)
def test_colours_are_right_in_every_format(tmp_path, name, codec, pixel_format, layout):
    (frame,) = open_source(write_video(tmp_path / name, [bars()], codec=codec, pixel_format=pixel_format))
    assert frame.format is layout
    assert (frame.height, frame.width) == (48, 96)
    assert np.abs(middles(as_bgr(frame)) - BARS).max() <= 6
    ring = FrameRing(1, 6, 6, dtype="uint8")
    ring.push(frame)
    assert np.abs(middles(ring.latest()[..., ::-1]) - BARS).max() <= 8


def decoded(pixel_format, height, width):
    """A decoded frame with other samples everywhere, and with padded rows."""
    frame = av.VideoFrame(width, height, pixel_format)
    generator = np.random.default_rng(height)
    for plane in frame.planes:
        plane.update(generator.integers(0, 256, plane.buffer_size, dtype=np.uint8).tobytes())
    return frame


def rows(plane, width):
    return np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[:, :width]


@pytest.mark.parametrize(("height", "width"), [(48, 64), (49, 65), (9, 8), (50, 33)])
def test_planes_are_the_decoders_own_memory_at_odd_sizes_too(height, width):
    half = ((height + 1) // 2, (width + 1) // 2)
    frame = decoded("yuv420p", height, width)
    planes, layout = in_place(frame)
    assert layout is PixelFormat.I420
    assert [plane.shape for plane in planes] == [(height, width), half, half]
    for view, plane in zip(planes, frame.planes, strict=True):
        assert np.array_equal(view, rows(plane, view.shape[1]))
        assert np.shares_memory(view, np.frombuffer(plane, np.uint8))
        assert not view.flags.writeable
    frame = decoded("nv12", height, width)
    (luma, chroma), layout = in_place(frame)
    assert (layout, luma.shape, chroma.shape) == (PixelFormat.NV12, (height, width), (*half, 2))
    assert np.array_equal(chroma[..., 1], rows(frame.planes[1], 2 * half[1])[:, 1::2])


@pytest.mark.parametrize(
    ("pixel_format", "shape"),
    [("bgr24", (9, 13, 3)), ("rgba", (9, 13, 4)), ("gray", (9, 13)), ("yuyv422", None), ("pal8", None)],
)
def test_packed_pixels_at_an_odd_width(pixel_format, shape):
    frame = av.VideoFrame(13, 9, pixel_format)
    found = in_place(frame)
    assert (found and found[0].shape) == shape


@pytest.mark.parametrize(
    ("color_space", "rows_of_it", "matrix"),
    [
        (2, 480, YuvMatrix.BT601),
        (2, 719, YuvMatrix.BT601),
        (2, 720, YuvMatrix.BT709),
        (1, 480, YuvMatrix.BT709),
        (5, 1080, YuvMatrix.BT601),
        (6, 1080, YuvMatrix.BT601),
        (9, 1080, None),
    ],
)
def test_the_matrix_is_that_of_the_frame_or_of_its_time(color_space, rows_of_it, matrix):
    frame = av.VideoFrame(64, rows_of_it, "yuv420p")
    frame.colorspace = color_space
    assert yuv_matrix(frame) is matrix


def test_the_range_is_limited_unless_the_frame_says_otherwise():
    frame = av.VideoFrame(64, 48, "yuv420p")
    found = []
    for frame.color_range in (0, 1, 2):
        found.append(is_full_range(frame))
    assert found == [False, False, True]
    assert is_full_range(av.VideoFrame(64, 48, "yuvj420p"))


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv422p"])
def test_high_definition_has_its_colours_with_and_without_a_conversion(tmp_path, pixel_format):
    path = tmp_path / "hd.nut"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("rawvideo", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 720, pixel_format
        picture = av.VideoFrame.from_ndarray(bars(720), format="bgr24")
        picture = picture.reformat(format=pixel_format, dst_colorspace="ITU709")
        picture.colorspace = 2
        container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    (frame,) = open_source(path)
    assert np.abs(middles(as_bgr(frame)) - BARS).max() <= 6


@pytest.mark.parametrize("threads", ["SLICE", "FRAME"])
def test_frames_may_be_kept_while_later_ones_are_decoded_and_after_the_source_is_gone(tmp_path, threads):
    """A decoder builds frames from earlier ones and recycles buffers; what is kept must stay as it was."""
    noise = np.random.default_rng(0)
    shots = [noise.integers(0, 255, (96, 128, 3), dtype=np.uint8) for _ in range(40)]
    path = write_video(tmp_path / "clip.mp4", shots, codec="libx264")
    source = open_source(path)
    source._stream.thread_type = threads
    source._stream.codec_context.thread_count = 4
    kept, copies = [], []
    for frame in source:
        kept.append(frame)
        copies.append([plane.copy() for plane in frame.data])
    source.close()
    del source, frame
    gc.collect()
    list(open_source(path))  # uses what memory was let go of
    assert len(kept) == 40
    for frame, planes in zip(kept, copies, strict=True):
        assert all(map(np.array_equal, frame.data, planes))


def test_a_plane_outlives_its_frame(tmp_path):
    luma = [frame.data[0] for frame in open_source(write_video(tmp_path / "a.mp4", flat_frames([40, 200])))]
    gc.collect()
    list(open_source(write_video(tmp_path / "b.mp4", flat_frames(range(100)))))
    assert [round(float(plane.mean())) for plane in luma] == pytest.approx([50, 188], abs=3)


def test_decoding_converts_nothing_that_is_not_asked_for(tmp_path, monkeypatch):
    source = open_source(write_video(tmp_path / "a.mp4", flat_frames(range(10))))
    monkeypatch.setattr(source, "_converted", None)
    assert len(list(source)) == 10
