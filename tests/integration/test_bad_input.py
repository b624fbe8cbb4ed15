"""What users give `edgehar-run` by mistake: one clear line, the right exit code, no traceback."""

import pytest
from support.helpers import assert_one_line_error, flat_frames, predictions, run_command, write_video


def missing(folder):
    return folder / "missing.mp4"


def a_folder(folder):
    (folder / "notes.txt").write_text("no image")
    return folder


def text_named_mp4(folder):
    (folder / "text.mp4").write_text("not a video\n" * 100)
    return folder / "text.mp4"


def empty_file(folder):
    (folder / "empty.avi").touch()
    return folder / "empty.avi"


def no_frames_mp4(folder):
    return write_video(folder / "none.mp4", [])


def no_frames_avi(folder):
    return write_video(folder / "none.avi", [])


def header_cut_off(folder):
    path = write_video(folder / "cut.mp4", flat_frames(range(50)))
    path.write_bytes(path.read_bytes()[:200])
    return path


def one_by_one(folder):
    return write_video(folder / "dot.avi", flat_frames([0, 255], 1, 1), codec="ffv1", pixel_format="bgr0")


def sound_only(folder):
    import av

    with av.open(str(folder / "sound.wav"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame(format="s16", layout="mono", samples=800)
        frame.planes[0].update(bytes(1600))
        frame.rate = 8000
        container.mux(stream.encode(frame))
    return folder / "sound.wav"


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (missing, "no such file"),
        (a_folder, "the folder holds no images"),
        (text_named_mp4, "not a readable video"),
        (empty_file, "not a readable video"),
        (no_frames_mp4, "no video"),
        (no_frames_avi, "no frame can be decoded"),
        (header_cut_off, "not a readable video"),
        (one_by_one, "8 to 8192 pixels wide and high; this one is 1x1"),
        (sound_only, "no video"),
    ],
)
def test_a_source_that_is_no_video(tiny_bundle, tmp_path, make, said):
    source = make(tmp_path)
    before = sorted(tmp_path.iterdir())
    done = run_command("edgehar-run", "--model", tiny_bundle, "--source", source)
    assert_one_line_error(done, 1, "edgehar-run: ", str(source), said)
    assert done.stdout == ""
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(("name", "options"), [("cut.avi", {}), ("cut.mp4", {"movflags": "faststart"})])
def test_a_cut_off_video_is_answered_as_far_as_it_goes(tiny_bundle, tmp_path, name, options):
    path = write_video(tmp_path / name, flat_frames([235] * 100), options=options)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * 0.8)])
    done = run_command("edgehar-run", "--model", tiny_bundle, "--source", path)
    assert done.returncode == 0, done.stderr
    assert {answer["label"] for answer in predictions(done.stdout)} == {"bright"}
    assert "Traceback" not in done.stderr


def test_an_odd_size(tiny_bundle, tmp_path):
    path = write_video(tmp_path / "odd.mp4", flat_frames([235] * 12, 479, 641))
    done = run_command("edgehar-run", "--model", tiny_bundle, "--source", path)
    assert done.returncode == 0
    assert predictions(done.stdout)


def test_a_variable_frame_rate(tiny_bundle, tmp_path):
    # Two seconds at 10 Hz, then two at 50 Hz: the grid of 10 Hz takes as many of either.
    times_s = [number / 10 for number in range(20)] + [2 + number / 50 for number in range(99)]
    path = write_video(tmp_path / "vfr.mkv", flat_frames([235] * 119), times_s=times_s)
    done = run_command("edgehar-run", "--model", tiny_bundle, "--source", path, "--hop", 1)
    ends_s = [answer["window"]["end_s"] for answer in predictions(done.stdout)]
    assert len(ends_s) == 37
    assert ends_s == pytest.approx([0.3 + number / 10 for number in range(37)], abs=0.03)


def test_a_camera_that_is_not_there(tiny_bundle):
    done = run_command("edgehar-run", "--model", tiny_bundle, "--camera", 97)
    assert_one_line_error(done, 1, "no camera 97", "cameras: ", "--source FILE")
    assert "VIDEOIO" not in done.stderr


def test_an_unknown_model(tmp_path):
    clip = write_video(tmp_path / "clip.mp4", flat_frames([0] * 5))
    assert_one_line_error(
        run_command("edgehar-run", "--source", clip, "--model", "no-such"), 2, "unknown model 'no-such'"
    )


def test_an_altered_bundle(tiny_bundle, tmp_path):
    content = bytearray(tiny_bundle.read_bytes())
    at = content.index(b"Tells bright from dark")
    content[at] ^= 1
    (tmp_path / "bad.edgehar").write_bytes(content)
    done = run_command("edgehar-run", "--source", "synthetic:walking", "--model", tmp_path / "bad.edgehar")
    assert_one_line_error(done, 1, "bad.edgehar")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--camera", "0", "--source", "x.mp4"], "not allowed with"),
        (["--camera", "-1"], "not 0 or more"),
        (["--hop", "0"], '--hop is "0", it must be a whole number from 1 to 100000'),
        (["--hop", "many"], '--hop is "many", it must be a whole number'),
        (["--threshold", "1.5"], '--threshold is "1.5", it must be a number from 0 to 1'),
        (["--threshold", "nan"], "it must be a number from 0 to 1"),
        (["--region", "0,0,1"], "it must be a list of 4, each a number from 0 to 1"),
        (["--region", "0,0,2,1"], "each a number from 0 to 1"),
        (["--region", "a,b,c,d"], '--region is "a,b,c,d", it must be a list of 4'),
        (["--source", "synthetic:walking", "--region", "0.5,0,0.6,1"], "region must lie within the frame"),
        (["--duration", "0"], "not above 0"),
        (["--duration", "inf"], "not above 0"),
        (["--max-predictions", "-3"], "not 1 or more"),
        (["--threads", "0"], '--threads is "0", it must be a whole number from 1 to 1024'),
        (["--output", "jsnol"], 'it must be "jsonl", "none" or "text"; did you mean "jsonl"?'),
        (["--rate-hz", "0"], '--rate-hz is "0", it must be a number above 0 to 1000'),
        (["--sourc", "x"], "unrecognized arguments"),
        (["--source", "gopher:hole"], "unknown kind of source 'gopher'"),
        (["--source", "camera:front"], "camera:0"),
        (["--source", "synthetic:walking", "--rate-hz", "5"], "rate_hz is not an option"),
        (["--source", "synthetic:walking", "--hop", "5"], "hop is 5, it must be a whole number from 1 to 4"),
        (["--source", "synthetic:juggling"], "no such action"),
    ],
)
def test_wrong_usage(tiny_bundle, arguments, said):
    done = run_command("edgehar-run", "--model", tiny_bundle, *arguments)
    assert_one_line_error(done, 2, said)
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1


def test_credentials_are_never_shown(tiny_bundle):
    source = "rtsp://user:s3cret@127.0.0.1:9/stream?password=s3cret"
    for verbose in ([], ["--verbose"]):
        done = run_command("edgehar-run", "--model", tiny_bundle, "--source", source, *verbose)
        assert done.returncode == 1
        assert "rtsp://127.0.0.1:9/stream" in done.stderr
        assert "s3cret" not in done.stdout + done.stderr
