"""`edgehar demo` as a user runs it."""

import signal

import av
import pytest
from support.helpers import (
    assert_one_line_error,
    environment,
    flat_frames,
    predictions,
    run_command,
    start_command,
    write_video,
)


def arguments(bundle, **changes):
    """Arguments of a demo that ends soon; the file's names are relative to the folder it runs in."""
    options = {"model": bundle, "source": "synthetic:walking?duration_s=1", "out": "demo.mp4", "hop": 2}
    options |= {"output": "jsonl"} | changes
    return [part for name, value in options.items() for part in (f"--{name}", str(value))]


def frames_in(path):
    with av.open(str(path)) as video:
        return sum(1 for _ in video.decode(video=0))


def test_it_prints_answers_and_writes_a_video(tiny_bundle, tmp_path):
    source = "synthetic:all?duration_s=1"
    done = run_command("edgehar", "demo", *arguments(tiny_bundle, source=source), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    answers = predictions(done.stdout)
    # 60 frames are on the model's 10 Hz grid: answers after 4, 6, ... 60, of which 5 straddle a change of action.
    assert [answer["seq"] for answer in answers] == list(range(29))
    assert {answer["source"] for answer in answers} == {"synthetic:all"}
    assert "29 predictions; wrote demo.mp4" in done.stderr
    assert "0 of 24 windows that show one action are right; 5 more" in done.stderr
    assert frames_in(tmp_path / "demo.mp4") == 150
    assert [entry.name for entry in tmp_path.iterdir()] == ["demo.mp4"]


def test_a_video_file_can_be_the_source(tiny_bundle, tmp_path):
    clip = write_video(tmp_path / "clip.mp4", flat_frames([200] * 40))
    done = run_command("edgehar", "demo", *arguments(tiny_bundle, source=clip), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert {answer["label"] for answer in predictions(done.stdout)} == {"bright"}
    assert "right" not in done.stderr.replace("bright", "")  # nobody knows the truth about a file
    assert frames_in(tmp_path / "demo.mp4") == 40


def test_by_default_it_prints_one_line_for_each_action_seen(tiny_bundle, tmp_path):
    clip = write_video(tmp_path / "clip.mp4", flat_frames([235] * 60 + [20] * 60))
    done = run_command("edgehar", "demo", *arguments(tiny_bundle, source=clip, output="text"), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    labels = [line.split()[4] for line in done.stdout.splitlines()]
    assert labels == ["bright", "dark"]
    assert max(map(len, done.stdout.splitlines())) < 80
    # Nothing precedes the result: no notice of the runtime, no log.
    assert [line for line in done.stderr.splitlines() if not line.startswith("edgehar demo: ")] == []


@pytest.mark.parametrize(
    ("change", "code", "fragments"),
    [
        ({"source": "synthetic:juggling"}, 2, ("juggling", "handwaving")),
        ({"source": "missing.mp4"}, 1, ("missing.mp4",)),
        ({"hop": 9}, 2, ("hop is 9", "1 to 4")),
        ({"model": "no-such-model"}, 2, ("no-such-model",)),
        ({"out": "missing/demo.mp4"}, 1, ("missing/demo.mp4", "choose another")),
    ],
)
def test_a_wrong_argument_is_one_line_and_leaves_nothing(tiny_bundle, tmp_path, change, code, fragments):
    done = run_command("edgehar", "demo", *arguments(tiny_bundle, **change), cwd=tmp_path)
    assert_one_line_error(done, code, *fragments)
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_keeps_the_video_and_says_130(tiny_bundle, tmp_path):
    endless = arguments(tiny_bundle, source="synthetic:walking?duration_s=1000&realtime=1")
    with start_command("edgehar", "demo", *endless, cwd=tmp_path) as running:
        running.stdout.readline()
        running.send_signal(signal.SIGINT)
        _, errors = running.communicate(timeout=300)
    assert running.returncode == 130
    assert "Traceback" not in errors
    assert frames_in(tmp_path / "demo.mp4") > 3
    assert [entry.name for entry in tmp_path.iterdir()] == ["demo.mp4"]


def test_a_reader_that_goes_away_ends_it_quietly(tiny_bundle, tmp_path):
    endless = arguments(tiny_bundle, source="synthetic:walking?duration_s=1000")
    with start_command("edgehar", "demo", *endless, cwd=tmp_path) as running:
        running.stdout.readline()
        running.stdout.close()
        assert running.wait(300) == 0
        assert "edgehar: " not in running.stderr.read()
    assert list(tmp_path.iterdir()) == []


def test_all_pages_are_shown_on_built_in_scenes_and_nothing_stays(tmp_path):
    pytest.importorskip("starlette", reason="needs the web extra")
    from support.web_site import Browser, free_port

    port = free_port()
    with start_command("edgehar", "demo", "--web", port, env=environment(TMPDIR=str(tmp_path))) as demo:
        try:
            line = demo.stderr.readline()
            while "web: http" not in line:
                assert line, "the demo has ended"
                line = demo.stderr.readline()
            browser = Browser(port, timeout_s=200)
            cameras = browser.json("/api/v1/cameras")["cameras"]
            assert [camera["name"] for camera in cameras] == ["hall", "yard", "stairs"]
            for page in ("/", "/events", "/cameras/yard", "/settings", "/status"):
                assert browser.get(page)[0] == 200
            while not (clips := [event for event in browser.json("/api/v1/events")["events"] if event["clip"]]):
                pass
            status, why = browser.get(f"/api/v1/events/{clips[0]['id']}/why.jpg")
            assert (status, why[:2]) == (200, b"\xff\xd8")
            settings = browser.json("/api/v1/settings")
            assert settings["file"].startswith(str(tmp_path))
            assert browser.json("/api/v1/status")["storage"]["folder"].startswith(str(tmp_path))
        finally:
            demo.send_signal(signal.SIGINT)
            _, log = demo.communicate(timeout=60)
    assert (demo.returncode, "Traceback" in log) == (130, False)
    assert list(tmp_path.iterdir()) == []


def test_the_pages_of_the_demo_are_for_this_machine_only(tmp_path):
    pytest.importorskip("starlette", reason="needs the web extra")
    done = run_command("edgehar", "demo", "--web", "0.0.0.0:8088", env=environment(TMPDIR=str(tmp_path)))
    assert_one_line_error(done, 2, "needs a password")
    assert list(tmp_path.iterdir()) == []
