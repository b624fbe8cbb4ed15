"""The promises of docs/privacy.md, each by its name."""

import contextlib
import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.brokers import BASE
from support.helpers import flat_frames, run_command, start_command, wait_until, write_video
from support.paths import ROOT
from support.private_runs import configuration, white_video
from support.recordings import encode, event, files_of, moving_frames, recording, watch

from edgehar.frames import Frame, PixelFormat, plane_shapes
from edgehar.masks import View
from edgehar.model.bundle import ModelBundle
from edgehar.model.classifier import Classifier

# A mask over the upper left, and one that is not a rectangle.
MASKS = (((0.0, 0.0), (0.5, 0.0), (0.5, 0.5), (0.0, 0.5)), ((0.6, 0.6), (0.95, 0.7), (0.7, 0.95)))
STORY = ((2.0, event("start", 2.0)), (3.0, event("end", 2.0, 3.0)))


def test_every_promise_is_held_by_a_test_of_its_name():
    promised = set(re.findall(r"`(test_\w+)`", (ROOT / "docs" / "privacy.md").read_text()))
    assert promised
    files = (ROOT / "tests" / "integration").glob("test_privacy*.py")
    assert promised <= {
        name for file in files for name in re.findall(r"^def (test_\w+)", file.read_text(), re.MULTILINE)
    }


WATCHED = """
    import sys
    happened = []
    sys.addaudithook(lambda name, args: happened.append((name, args)) if name in WANTED else None)
    WANTED = {"open", "socket.connect", "socket.sendto", "socket.getaddrinfo", "os.mkdir", "os.rename"}
    from edgehar.cli.run import main
    code = main(sys.argv[1:])
    for name, args in happened:
        writes = name != "open" or (isinstance(args[2], int) and args[2] & 3)
        if writes and not (name == "open" and str(args[0]) in ("/dev/null", "1", "2")):
            print(name, args, file=sys.stderr)
    sys.exit(code)
"""


def watched_run(folder, *arguments):
    """What a run opened for writing, and connected to, by its own Python."""
    environment = {"HOME": str(folder), "PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", textwrap.dedent(WATCHED), *map(str, arguments)]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=folder, env=environment, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert '"event"' in done.stdout
    happened = [line for line in done.stderr.splitlines() if line.startswith(("open", "socket", "os."))]
    # An empty file marks the model as tried (`edgehar.inspect.trial`).
    return [line for line in happened if str(folder / ".cache") not in line]


@pytest.fixture
def bright_video(tmp_path):
    return write_video(tmp_path / "bright.mp4", flat_frames([20] * 25 + [235] * 50))


def test_nothing_is_written_unless_asked(tmp_path, tiny_bundle, bright_video):
    (tmp_path / "home").mkdir()
    assert watched_run(tmp_path / "home", "--source", bright_video, "--model", tiny_bundle) == []
    written = [path for path in (tmp_path / "home").rglob("*") if path.is_file()]
    assert [path.parent.name for path in written] in ([], ["trials"])
    assert all(path.stat().st_size == 0 for path in written)


def test_no_connection_is_made_unless_asked(tmp_path, tiny_bundle, bright_video):
    (tmp_path / "home").mkdir()
    happened = watched_run(
        tmp_path / "home", "--source", bright_video, "--model", tiny_bundle, "--record", tmp_path / "rec"
    )
    assert any("rec" in line for line in happened)
    assert [line for line in happened if line.startswith("socket")] == []
    assert [line for line in happened if str(tmp_path / "rec") not in line] == []


def frames_that_differ_where_hidden(view, pixel_format, height, width, seed):
    """Two frames that are equal but for masked samples."""
    generator = np.random.default_rng(seed)
    masked = view.pixels_masked(height, width)
    pair = []
    common = [generator.integers(0, 256, shape, np.uint8) for shape in plane_shapes(pixel_format, height, width)]
    for _ in range(2):
        planes = []
        for plane in common:
            plane = plane.copy()
            step = 1 if plane.shape[0] == height else 2
            hidden = masked[::step, ::step][: plane.shape[0], : plane.shape[1]]
            plane[hidden] = generator.integers(0, 256, plane[hidden].shape, np.uint8)
            planes.append(plane)
        data = planes[0] if len(planes) == 1 else tuple(planes)
        pair.append(Frame(data, pixel_format, 0.0, 0.0, 0))
    return pair


@settings(max_examples=60)
@given(
    pixel_format=st.sampled_from(list(PixelFormat)),
    height=st.integers(16, 90),
    width=st.integers(8, 45).map(lambda half: 2 * half),
    seed=st.integers(0, 2**32 - 1),
    region=st.sampled_from([None, (0.25, 0.0, 0.75, 1.0)]),
)
def test_a_masked_pixel_does_not_reach_the_network(tiny_bundle, pixel_format, height, width, seed, region):
    view = View(MASKS, region)
    inputs = []
    for frame in frames_that_differ_where_hidden(view, pixel_format, height, width, seed):
        with Classifier(str(tiny_bundle), region=region, masks=MASKS) as classifier:
            classifier.push(frame)
            inputs.append(classifier._network.encoder.input_view().copy())
    assert np.array_equal(*inputs)


def test_masks_do_not_change_the_rest_of_the_input(tiny_bundle):
    bundle = ModelBundle.open(tiny_bundle)
    size = bundle.manifest.input.height
    frame = Frame(np.full((8 * size, 8 * size), 200, np.uint8), PixelFormat.GRAY8, 0.0, 0.0, 0)
    seen = []
    for masks in ((), MASKS[:1]):
        with Classifier(bundle, masks=masks) as classifier:
            classifier.push(frame)
            seen.append(classifier._network.encoder.input_view().reshape(size, size, 3).copy())
    black = seen[1] == -128
    assert np.array_equal(seen[0][~black], seen[1][~black])
    # A quarter of the picture, and the row of cells at its edge.
    assert black[..., 0].sum() == (size // 2 + 1) ** 2


@settings(max_examples=30)
@given(
    pixel_format=st.sampled_from(list(PixelFormat)),
    height=st.integers(16, 90),
    width=st.integers(8, 45).map(lambda half: 2 * half),
    seed=st.integers(0, 2**32 - 1),
    pictures=st.sampled_from(["full", "blurred"]),
)
def test_a_masked_pixel_is_in_no_picture(pixel_format, height, width, seed, pictures):
    view = View(MASKS, pictures=pictures)
    first, second = frames_that_differ_where_hidden(view, pixel_format, height, width, seed)
    assert view.jpeg(first) == view.jpeg(second)
    shown = View(MASKS).bgr(first)
    assert not shown[view.pixels_masked(height, width)].any()
    assert view.pixels_masked(height, width)[: height // 2, : width // 2].all()


def decoded(path):
    with av.open(str(path)) as file:
        return [frame.to_ndarray(format="bgr24") for frame in file.decode(video=0)]


def test_a_masked_pixel_is_in_no_clip(tmp_path):
    view = View(MASKS)
    with recording(tmp_path / "rec", view) as (_, camera):
        watch(camera, white_video(tmp_path), STORY)
    (clip,), (picture,) = files_of(tmp_path / "rec", ".mp4"), files_of(tmp_path / "rec", ".jpg")
    masked = view.pixels_masked(96, 128)
    # Coding smears the edge of a mask by a pixel or two, from black into white.
    inner = cv2.erode(masked.astype(np.uint8), np.ones((7, 7), np.uint8)).astype(bool)
    outer = ~cv2.dilate(masked.astype(np.uint8), np.ones((7, 7), np.uint8)).astype(bool)
    frames = [*decoded(clip), cv2.imread(str(picture))]
    assert len(frames) > 40
    for frame in frames:
        assert frame[inner].max() <= 30
        assert frame[outer].min() >= 200


def test_outside_the_region_is_in_no_picture_or_clip(tmp_path):
    halves = np.zeros((96, 128, 3), np.uint8)
    halves[:, 64:] = 235
    path = write_video(tmp_path / "a.mp4", [halves] * 125, codec="libx264")
    with recording(tmp_path / "rec", View(region=(0.0, 0.0, 0.5, 1.0))) as (_, camera):
        watch(camera, path, STORY)
    (clip,), (picture,) = files_of(tmp_path / "rec", ".mp4"), files_of(tmp_path / "rec", ".jpg")
    for frame in (*decoded(clip), cv2.imread(str(picture))):
        assert frame.shape == (96, 64, 3)
        assert frame[:, :60].max() <= 30


def test_nothing_listens_unless_asked(tmp_path, tiny_bundle):
    """With everything on that connects to others, but neither the pages nor Prometheus."""
    path = configuration(
        tmp_path,
        tiny_bundle,
        f"""
        [[camera]]
        name = "hall"
        source = "{white_video(tmp_path)}"
        loop = true
        realtime = true
        [record]
        directory = "{tmp_path / "rec"}"
        min_free_mb = 0
        [upload]
        url = "http://127.0.0.1:9/in"
        [webhook]
        url = "http://127.0.0.1:9/hook"
        [mqtt]
        url = "mqtt://127.0.0.1:9/{BASE}"
        [spool]
        directory = "{tmp_path / "spool"}"
        """,
    )
    with start_command("edgehar-run", "--config", path) as process:
        wait_until(lambda: list((tmp_path / "rec").glob("hall/*/.*.mp4.part")))
        sockets = {str(link.readlink()) for link in Path(f"/proc/{process.pid}/fd").iterdir() if link.is_symlink()}
        process.terminate()
        process.communicate(timeout=300)
    # Rows of proc(5): number, local, remote, state (0A listens), six more, inode. UDP sockets listen in any state.
    listening = [
        row.split()
        for name, state in (("tcp", "0A"), ("tcp6", "0A"), ("udp", "07"), ("udp6", "07"))
        for row in Path(f"/proc/net/{name}").read_text().splitlines()[1:]
        if row.split()[3] == state
    ]
    assert [row[1] for row in listening if f"socket:[{row[9]}]" in sockets] == []


def test_without_pictures_only_numbers_are_kept_and_sent(tmp_path, tiny_bundle):
    path = configuration(
        tmp_path,
        tiny_bundle,
        f"""
        pictures = "none"
        [[camera]]
        name = "hall"
        source = "{write_video(tmp_path / "bright.mp4", flat_frames([20] * 25 + [235] * 50))}"
        [record]
        directory = "{tmp_path / "rec"}"
        min_free_mb = 0
        """,
    )
    assert run_command("edgehar-run", "--config", path).returncode == 0
    kinds = {file.suffix for file in (tmp_path / "rec").rglob("*") if file.is_file() and file.name != ".lock"}
    assert kinds == {".json", ".jsonl"}
    assert len(files_of(tmp_path / "rec", ".json")) == 2


def test_blurred_pictures_and_clips_show_blocks_only(tmp_path):
    frames = moving_frames(75, 240, 320)
    path = write_video(tmp_path / "a.mp4", frames, codec="libx264")
    with recording(tmp_path / "rec", View(pictures="blurred")) as (_, camera):
        watch(camera, path, STORY)
    (clip,), (picture,) = files_of(tmp_path / "rec", ".mp4"), files_of(tmp_path / "rec", ".jpg")
    blocks = View(pictures="blurred").bgr(Frame(frames[0], PixelFormat.BGR24, 0.0, 0.0, 0))
    assert len(np.unique(blocks.reshape(-1, 3), axis=0)) <= 40 * 30
    for frame in (*decoded(clip), cv2.imread(str(picture))):
        # 8 pixels of a block are one color, within what coding adds; the source is noise.
        assert frame[:, 2:6].astype(int).std(axis=1).max() < 20
        assert frame[2:6].astype(int).std(axis=0).max() < 20


def test_sealed_recordings_are_never_in_clear_on_the_disk(tmp_path):
    pyrage = pytest.importorskip("pyrage", reason="needs the extra `seal`")
    key = pyrage.x25519.Identity.generate()
    path = encode(tmp_path / "a.mp4", 150)
    source = path.read_bytes()
    with recording(tmp_path / "rec", seal_to=[str(key.to_public())]) as (_, camera):
        contents = []
        camera_records = camera.records

        def looked_at(records):
            contents.append(everything_in(tmp_path / "rec"))
            return camera_records(records)

        camera.records = looked_at
        watch(camera, path, [*STORY, (4.5, event("update", 2.0)), (5.5, event("update", 2.0))])
    contents.append(everything_in(tmp_path / "rec"))
    # Pieces of the copied packets, and the signatures of the formats.
    pieces = [source[place : place + 24] for place in range(len(source) // 3, len(source) - 24, 997)]
    for content in contents:
        assert not any(piece in content for piece in pieces)
        for word in (b"ftypisom", b"moov", b"\xff\xd8\xff", b"bright", b"peak_score"):
            assert word not in content
    (sealed,) = files_of(tmp_path / "rec", ".mp4.age")
    opened = pyrage.decrypt(sealed.read_bytes(), [key])
    assert sum(piece in opened for piece in pieces) > 3
    assert json.loads(pyrage.decrypt(files_of(tmp_path / "rec", ".json.age")[0].read_bytes(), [key]))["clip"]


def test_recordings_can_be_read_by_their_user_only(tmp_path):
    with recording(tmp_path / "rec") as (_, camera):
        watch(camera, white_video(tmp_path), STORY)
    for path in (tmp_path / "rec").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path


def test_passwords_in_addresses_are_shown_nowhere(tmp_path, tiny_bundle):
    done = run_command(
        "edgehar-run", "--source", "rtsp://admin:hunter2secret@127.0.0.1:9/cam?token=hunter2secret", "--model",
        tiny_bundle, "--record", tmp_path / "rec", "--verbose",
    )  # fmt: skip
    assert done.returncode == 1
    assert "hunter2secret" not in done.stdout + done.stderr
    assert b"hunter2secret" not in everything_in(tmp_path / "rec")


def everything_in(folder):
    """The bytes of all files, and their names; of a file that is renamed or removed meanwhile, its name."""
    found = []
    for path in [path for path in folder.rglob("*") if path.is_file()]:
        found.append(str(path).encode())
        with contextlib.suppress(FileNotFoundError):
            found.append(path.read_bytes())
    return b"".join(found)
