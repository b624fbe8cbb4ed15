"""What `edgehar bench` measures with: frames, chains that do the same as the kernel, counts, targets, tables."""

import itertools

import cv2
import msgspec
import numpy as np
import pytest

from edgehar import FrameRing, PixelFormat
from edgehar.bench import machine, targets
from edgehar.bench.chains import cv2_chain, cv2_layout, numpy_chain, pillow_chain
from edgehar.bench.frames import COLD_BYTES, FramePool, as_frame, frame_bytes, largest_cache_bytes, pool_bytes
from edgehar.bench.photo import photo
from edgehar.bench.preprocess import FORMATS, Case, cases, measure
from edgehar.bench.results import Jpeg, Other, Preprocess, Threads
from edgehar.bench.tables import Table, as_markdown, as_text
from edgehar.bench.timing import Protocol
from edgehar.model import macs
from edgehar.model.bundle import ModelBundle
from edgehar.model.runtime import load_runtime

GIB = 1 << 30


@pytest.mark.parametrize(
    ("cache", "free", "expected"),
    [
        (32 << 20, 8 * GIB, 3 * 32 << 20),
        (1 << 20, 8 * GIB, COLD_BYTES),
        (0, 0, COLD_BYTES),
        (1 << 20, 200_000_000, 50_000_000),
    ],
)
def test_cold_frames_need_more_than_the_caches_and_leave_memory_to_others(cache, free, expected):
    assert pool_bytes(cache, free) == expected


def test_the_largest_cache_is_found_where_linux_tells(tmp_path):
    for index, size in enumerate(("32K", "512K", "8M")):
        (tmp_path / f"index{index}").mkdir()
        (tmp_path / f"index{index}/size").write_text(f"{size}\n")
    assert largest_cache_bytes(tmp_path) == 8 << 20
    assert largest_cache_bytes(tmp_path / "none") == 0


def test_frames_of_a_pool_do_not_overlap_and_one_is_always_there():
    pool = FramePool(1_000_000)
    buffers = pool.buffers(100_000)
    assert len(buffers) == 9
    assert not any(np.shares_memory(a, b) for a, b in itertools.pairwise(buffers))
    assert [buffer.size for buffer in pool.buffers(3_000_000)] == [3_000_000]


@pytest.mark.parametrize("pixel_format", FORMATS)
def test_frames_are_what_the_ring_takes(pixel_format):
    buffer = np.zeros(frame_bytes(pixel_format, 24, 32), np.uint8)
    frame = as_frame(buffer, pixel_format, 24, 32)
    assert (frame.height, frame.width) == (24, 32)
    FrameRing(1, 8, 8).push(frame)


def soft_frame(pixel_format, height=96, width=128):
    """Slow gradients with no colour near the end of its range, for which all orders of work agree."""
    size = frame_bytes(pixel_format, height, width)
    return (128 + 30 * np.sin(np.arange(size) * (2 * np.pi / size))).astype(np.uint8)


@pytest.mark.parametrize("pixel_format", FORMATS)
@pytest.mark.parametrize("size", [16, 30])
def test_the_cv2_chain_does_the_same_as_the_ring(pixel_format, size):
    buffer = soft_frame(pixel_format)
    ring = FrameRing(1, size, size)
    ring.push(as_frame(buffer, pixel_format, 96, 128))
    theirs = cv2_chain(pixel_format, size)(cv2_layout(buffer, pixel_format, 96, 128))
    assert np.abs(ring.latest().astype(int) - theirs).max() <= 2


@pytest.mark.parametrize("chain", [numpy_chain(96, 128, 16), pillow_chain(16)])
def test_the_other_chains_do_the_same_as_the_ring(chain):
    if chain is None:
        pytest.skip("Pillow is not installed")
    pixels = photo(0, 96, 128)
    ring = FrameRing(1, 16, 16)
    ring.push(pixels)
    assert np.abs(ring.latest().astype(int) - chain(pixels)).max() <= 1


def test_numpy_cannot_average_parts_of_pixels():
    assert numpy_chain(480, 640, 60) is None


def test_a_row_says_what_was_compared_and_what_was_not():
    case = next(case for case in cases(60) if case.pixel_format is PixelFormat.BGR24)
    row = measure(case, FramePool(1 << 20), Protocol(rounds=1, turn_s=1e-4))
    assert (row.format, row.width, row.height, row.frame_bytes) == ("bgr24", 160, 120, 57_600)
    assert row.others["cv2"].ratio == pytest.approx(row.others["cv2"].us / row.us)
    assert row.skipped["numpy"] == "the boxes are not of whole pixels"
    assert row.read_us == min(row.readers_us.values())
    assert row.fraction_of_read == pytest.approx(row.read_us / row.us)


def test_every_format_and_size_is_a_row_cold_and_hot():
    assert len({str(case) for case in cases(60)}) == 2 * (len(FORMATS) * 4 + 1)
    assert len(cases(64)) == 2 * len(FORMATS) * 4
    assert str(Case(PixelFormat.NV12, 640, 480, 60, "hot")) == "nv12 640x480 to 60x60, hot"


class FakeInterpreter:
    """Has one operator whose tensors have the shapes given."""

    def __init__(self, name, inputs, outputs):
        self._shapes = [*inputs, *outputs]
        numbers = list(range(len(self._shapes)))
        self._operator = {"op_name": name, "inputs": numbers[: len(inputs)], "outputs": numbers[len(inputs) :]}

    def _get_ops_details(self):
        return [self._operator, {"op_name": "DELEGATE", "inputs": [0], "outputs": [0]}]

    def get_tensor_details(self):
        return [{"index": index, "shape": np.array(shape)} for index, shape in enumerate(self._shapes)]


@pytest.mark.parametrize(
    ("name", "inputs", "output", "expected"),
    [
        ("CONV_2D", [(1, 8, 8, 3), (16, 3, 3, 3), (16,)], (1, 4, 4, 16), 4 * 4 * 16 * 27),
        ("CONV_2D", [(1, 8, 8, 4), (6, 3, 3, 2), (6,)], (1, 8, 8, 6), 8 * 8 * 6 * 18),  # in two groups
        ("DEPTHWISE_CONV_2D", [(1, 8, 8, 5), (1, 3, 3, 5), (5,)], (1, 8, 8, 5), 8 * 8 * 5 * 9),
        ("TRANSPOSE_CONV", [(4,), (7, 3, 3, 2), (1, 4, 4, 2)], (1, 8, 8, 7), 4 * 4 * 2 * 7 * 9),
        ("CONV_3D", [(1, 4, 8, 8, 2), (3, 3, 3, 2, 5)], (1, 2, 6, 6, 5), 2 * 6 * 6 * 5 * 54),
        ("FULLY_CONNECTED", [(2, 30), (10, 30), (10,)], (2, 10), 600),
        ("BATCH_MATMUL", [(3, 4, 5), (3, 5, 6)], (3, 4, 6), 3 * 4 * 5 * 6),
        ("BATCH_MATMUL", [(3, 4, 5), (3, 6, 5)], (3, 4, 6), 3 * 4 * 5 * 6),
        ("UNIDIRECTIONAL_SEQUENCE_LSTM", [(1, 7, 3), *[(5, 3)] * 4, *[(5, 5)] * 4, (5,)], (1, 7, 5), 7 * 4 * 5 * 8),
        ("RESHAPE", [(2, 3)], (6,), 0),
        ("WHILE", [(2, 3)], (6,), None),
        ("edgetpu-custom-op", [(2, 3)], (6,), None),
    ],
)
def test_multiply_accumulates_of_an_operator(name, inputs, output, expected):
    assert macs.count(FakeInterpreter(name, inputs, [output])) == expected


def test_multiply_accumulates_of_a_real_encoder():
    interpreter = load_runtime().interpreter(model_content=ModelBundle.open("actions-synthetic").read("encoder.tflite"))
    interpreter.allocate_tensors()
    assert macs.count(interpreter) == pytest.approx(3.20e6, rel=0.01)  # as its card says


def test_a_runtime_that_does_not_tell_its_operators():
    assert macs.count(object()) is None


PI = "processor\t: 0\nFeatures\t: fp asimd crc32\nCPU implementer\t: 0x41\nCPU part\t: 0xd08\n"
PC = "processor\t: 0\nmodel name\t: AMD EPYC\nflags\t\t: fpu sse2 avx2 fma nx\n"


@pytest.mark.parametrize(
    ("cpuinfo", "board", "cpu", "simd"),
    [
        (PI, "Raspberry Pi 4 Model B Rev 1.4\0", "Raspberry Pi 4 Model B Rev 1.4, Cortex-A72", ("asimd",)),
        (PI.replace("0xd08", "0xfff"), None, "CPU part 0xfff", ("asimd",)),
        (PC, None, "AMD EPYC", ("sse2", "avx2", "fma")),
    ],
)
def test_a_machine_is_named_by_what_it_is(tmp_path, cpuinfo, board, cpu, simd):
    (tmp_path / "cpuinfo").write_text(cpuinfo)
    (tmp_path / "meminfo").write_text("MemTotal:  1000 kB\nMemAvailable:  600 kB\n")
    if board:
        (tmp_path / "device-tree").mkdir()
        (tmp_path / "device-tree/model").write_text(board)
    found = machine.describe(tmp_path)
    assert (found.cpu, found.simd, found.memory_bytes) == (cpu, simd, 1_024_000)
    assert found.cores >= 1
    assert found.versions["numpy"] == np.__version__
    assert machine.free_bytes(tmp_path) == 614_400


def test_a_machine_that_tells_nothing(tmp_path):
    assert machine.describe(tmp_path).memory_bytes == 0
    assert machine.free_bytes(tmp_path) == 0


VGA = Preprocess("bgr24", 640, 480, 60, "cold", 921_600, 50.0, {"cv2": Other(650.0, 13.0)}, {}, {"r": 35.0}, 35.0, 0.7)


def test_targets_are_reached_missed_or_not_measured():
    threads = [Threads(60, "hot", 1.0, 1.1, 1.1), Threads(60, "cold", 1.0, 1.8, 1.8)]
    jpeg = [Jpeg(640, 480, 60, 75_000, 4, 800.0, Other(1000.0, 1.25), Other(1200.0, 1.5))]
    small = msgspec.structs.replace(VGA, width=160, height=120, us=20.0)
    found = {target.what: target for target in targets.check([VGA, small], jpeg, threads)}
    assert not found["bgr24 640x480 to 60x60, of read bandwidth"].reached
    assert found["bgr24 640x480 to 60x60, against cv2"].reached
    assert found["bgr24 160x120 to 60x60, time"].reached
    assert found["two threads, against one"].measured == 1.8
    assert not found["MJPEG 640x480, against full decoding and cv2"].reached
    assert found["nv12 640x480 to 60x60, against cv2"].reached is None


@pytest.mark.parametrize(
    "row", [msgspec.structs.replace(VGA, size=64), msgspec.structs.replace(VGA, temperature="hot")]
)
def test_targets_are_for_cold_frames_of_one_size(row):
    assert all(target.measured is None for target in targets.check([row], [], []))


def test_tables_for_a_terminal_and_for_a_page():
    table = Table("Speed", ("Of two.",), ("what", "us"), [("ours", "1"), ("theirs", "100")])
    assert as_text(table) == "Speed\n\nOf two.\n\nwhat     us\nours      1\ntheirs  100\n"
    assert (
        as_markdown(table) == "## Speed\n\nOf two.\n\n| what | us |\n| --- | ---: |\n| ours | 1 |\n| theirs | 100 |\n"
    )


def test_a_photo_is_as_hard_to_encode_as_one():
    encoded = cv2.imencode(".jpg", photo(1, 240, 320), (cv2.IMWRITE_JPEG_QUALITY, 85))[1]
    assert 1.0 < encoded.size * 8 / (240 * 320) < 3.5  # bits a pixel; noise takes over 6
