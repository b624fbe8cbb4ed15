"""`edgehar-run --record`, `edgehar clips` and `edgehar seal`, as a user runs them."""

import json
import os
import signal
import subprocess
import textwrap

import pytest
from integration.test_rtsp import Camera, why_no_server
from support.helpers import (
    assert_one_line_error,
    flat_frames,
    records,
    run_command,
    start_command,
    wait_until,
    write_video,
)
from support.recordings import files_of, numbers_in, sidecars_of

AGE = subprocess.run(["which", "age"], capture_output=True, text=True, check=False).stdout.strip()


@pytest.fixture
def video(tmp_path):
    """A scene that gets bright after 3 s and dark after 6 s."""
    frames = flat_frames([20] * 75 + [235] * 75 + [20] * 100)
    return write_video(tmp_path / "a.mp4", frames, codec="libx264")


def configuration(folder, bundle, video, record="", camera=""):
    path = folder / "edgehar.toml"
    path.write_text(
        textwrap.dedent(f"""
        model = "{bundle}"
        [[camera]]
        name = "hall"
        source = "{video}"
        {camera}
        [record]
        directory = "{folder / "rec"}"
        labels = ["bright"]
        min_free_mb = 0
        pre_roll_s = 1.0
        post_roll_s = 1.0
        {record}
        """)
    )
    path.chmod(0o600)
    return path


@pytest.fixture
def recorded(tmp_path, tiny_bundle, video):
    """A folder with one recording; returns it and the records that were printed."""
    done = run_command("edgehar-run", "--config", configuration(tmp_path, tiny_bundle, video))
    assert done.returncode == 0, done.stderr
    return tmp_path / "rec", records(done.stdout)


def test_an_event_has_its_clip_picture_and_sidecar(recorded):
    folder, printed = recorded
    (clip,) = files_of(folder, ".mp4")
    named = {record["clip"] for record in printed if record["type"] == "event" and record["label"] == "bright"}
    assert named == {str(clip.relative_to(folder))}
    assert {record["clip"] for record in printed if record["type"] == "event" and record["label"] == "dark"} == {None}
    (sidecar,) = sidecars_of(folder)
    assert sidecar["source"] == "hall"
    assert len(sidecar["model"]["sha256"]) == 64
    assert {answer["label"] for answer in sidecar["answers"]} == {"bright", "dark"}
    assert sidecar["clip"]["end_s"] - sidecar["clip"]["start_s"] >= 4.5
    assert clip.with_suffix(".jpg").exists()


def test_the_sidecar_keeps_its_schema(recorded):
    import jsonschema
    from support.paths import ROOT

    schema = json.loads((ROOT / "edgehar" / "schemas" / "recording.schema.json").read_text())
    for sidecar in sidecars_of(recorded[0]):
        jsonschema.validate(sidecar, schema)


def test_list_verify_export_and_prune(recorded, tmp_path):
    folder, _ = recorded
    listed = run_command("edgehar", "clips", "list", folder)
    assert listed.returncode == 0
    assert "hall" in listed.stdout
    assert "bright" in listed.stdout
    (row,) = records(run_command("edgehar", "clips", "list", folder, "--json", "--label", "bright").stdout)
    assert row["source"] == "hall"
    assert run_command("edgehar", "clips", "list", folder, "--label", "dark").stdout == ""
    assert run_command("edgehar", "clips", "list", folder, "--camera", "yard").stdout == ""
    assert run_command("edgehar", "clips", "list", folder, "--since", "2100-01-01").stdout == ""
    verified = run_command("edgehar", "clips", "verify", folder)
    assert verified.returncode == 0
    head = verified.stdout.split()[-1]
    assert run_command("edgehar", "clips", "verify", folder, "--head", head).returncode == 0
    assert run_command("edgehar", "clips", "export", folder, "--to", tmp_path / "usb").returncode == 0
    assert run_command("edgehar", "clips", "verify", tmp_path / "usb", "--head", head).returncode == 0
    dry = run_command("edgehar", "clips", "prune", folder, "--max-gb", "1e-9", "--dry-run")
    assert "would remove (max_gb)" in dry.stdout
    assert files_of(folder, ".mp4")
    assert run_command("edgehar", "clips", "prune", folder, "--max-gb", "1e-9").returncode == 0
    assert files_of(folder, ".mp4") == []
    assert run_command("edgehar", "clips", "verify", folder).returncode == 0


def test_verify_fails_when_a_clip_was_altered(recorded):
    folder, _ = recorded
    with files_of(folder, ".mp4")[0].open("ab") as clip:
        clip.write(b"x")
    done = run_command("edgehar", "clips", "verify", folder)
    assert done.returncode == 1
    assert "altered" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "fragments"),
    [
        (["clips", "list", "nowhere"], ["nowhere", "no such folder"]),
        (["clips", "verify", "."], ["nothing was recorded"]),
        (["clips", "prune", "nowhere", "--max-gb", "1"], ["no such folder"]),
        (["clips", "prune", "."], ["nothing to prune by"]),
        (["seal", "open", "nowhere", "--key", "key.txt", "--to", "clear"], ["key.txt", "cannot be read"]),
    ],
)
def test_wrong_use_is_one_line_and_2(tmp_path, arguments, fragments):
    assert_one_line_error(run_command("edgehar", *arguments, cwd=tmp_path), 2, *fragments)


@pytest.mark.parametrize(
    ("record", "camera", "fragments"),
    [
        ('seal_to = ["age1notakey"]', "", ["seal_to", "not a public key"]),
        ('seal_to = ["AGE-SECRET-KEY-1ABC"]', "", ["seal_to", "secret key"]),
        ("pre_roll_s = -1", "", ["pre_roll_s"]),
        ("", "masks = [[[0.0, 0.0], [1.0, 1.0]]]", ["masks[0]", "2 corners"]),
        ("", "masks = [[[0.0, 0.0], [1.5, 0.0], [1.0, 1.0]]]", ["masks"]),
        ("", "masks = [[[0.0, 0.0], [1.0, 1.0], [1.0, 0.0], [0.0, 1.0]]]", ["masks[0]", "crosses itself"]),
        ("", "masks = [[[0.0, 0.0], [0.5, 0.5], [1.0, 1.0]]]", ["masks[0]", "no area"]),
    ],
)
def test_settings_that_cannot_be_used_are_one_line_and_2(tmp_path, tiny_bundle, video, record, camera, fragments):
    if "seal_to" in record:
        pytest.importorskip("pyrage", reason="needs the extra `seal`")
        text = configuration(tmp_path, tiny_bundle, video, record, camera)
    else:
        text = configuration(tmp_path, tiny_bundle, video, camera=camera)
        if record:
            text.write_text(text.read_text().replace("pre_roll_s = 1.0", record))
    assert_one_line_error(run_command("edgehar-run", "--config", text), 2, *fragments)


def test_a_folder_that_cannot_be_written_is_one_line_and_2(tmp_path, tiny_bundle, video):
    (tmp_path / "file").touch()
    done = run_command("edgehar-run", "--source", video, "--model", tiny_bundle, "--record", tmp_path / "file" / "rec")
    assert_one_line_error(done, 2, "record", "cannot be written")


def test_sealed_recordings_open_with_the_key_only(tmp_path, tiny_bundle, video):
    pytest.importorskip("pyrage", reason="needs the extra `seal`")
    key, folder = tmp_path / "key.txt", tmp_path / "rec"
    public = run_command("edgehar", "seal", "keygen", "--out", key).stdout.strip()
    assert_one_line_error(run_command("edgehar", "seal", "keygen", "--out", key), 2, "exists")
    done = run_command(
        "edgehar-run", "--config", configuration(tmp_path, tiny_bundle, video, f'seal_to = ["{public}"]')
    )
    assert done.returncode == 0, done.stderr
    assert files_of(folder, ".mp4") == []
    assert run_command("edgehar", "clips", "verify", folder).returncode == 0
    assert "sealed" in run_command("edgehar", "clips", "list", folder).stdout
    opened = run_command("edgehar", "seal", "open", folder, "--key", key, "--to", tmp_path / "clear")
    assert opened.returncode == 0, opened.stderr
    (clip,) = files_of(tmp_path / "clear", ".mp4")
    assert len(numbers_in(clip)) > 100
    assert sidecars_of(tmp_path / "clear")[0]["events"][0]["label"] == "bright"
    other = tmp_path / "other.txt"
    run_command("edgehar", "seal", "keygen", "--out", other)
    refused = run_command("edgehar", "seal", "open", folder, "--key", other, "--to", tmp_path / "no")
    assert refused.returncode == 1
    assert not files_of(tmp_path / "no", ".mp4")


@pytest.mark.skipif(not AGE, reason="needs the age command: apt-get install age")
def test_the_age_command_opens_sealed_recordings(tmp_path, tiny_bundle, video):
    pytest.importorskip("pyrage", reason="needs the extra `seal`")
    key = tmp_path / "key.txt"
    made = subprocess.run(["age-keygen", "-o", key], check=True, capture_output=True, text=True)
    public = made.stderr.split()[-1]
    run_command("edgehar-run", "--config", configuration(tmp_path, tiny_bundle, video, f'seal_to = ["{public}"]'))
    (sealed,) = files_of(tmp_path / "rec", ".mp4.age")
    subprocess.run([AGE, "-d", "-i", key, "-o", tmp_path / "a.mp4", sealed], check=True)
    run_command("edgehar", "seal", "open", sealed, "--key", key, "--to", tmp_path / "ours")
    assert (tmp_path / "a.mp4").read_bytes() == next((tmp_path / "ours").glob("*.mp4")).read_bytes()


@pytest.fixture
def network_camera():
    if (reason := why_no_server()) is not None:
        pytest.skip(reason)
    camera = Camera()
    camera.start()
    yield camera
    camera.stop()


def start_recording(folder, bundle, port, **options):
    path = configuration(folder, bundle, f"rtsp://127.0.0.1:{port}/cam")
    path.write_text(path.read_text().replace('labels = ["bright"]', ""))
    return start_command("edgehar-run", "--config", path, **options)


def growing(folder):
    return [path for path in folder.glob("*/*/.*.mp4.part") if path.stat().st_size > 20_000]


def test_packets_of_a_network_camera_are_copied(tmp_path, tiny_bundle, network_camera):
    with start_recording(tmp_path, tiny_bundle, network_camera.port) as process:
        wait_until(lambda: growing(tmp_path / "rec"), 30)
        process.send_signal(signal.SIGTERM)
        assert process.wait(300) == 0, process.stderr.read()
    assert run_command("edgehar", "clips", "verify", tmp_path / "rec").returncode == 0
    for clip, sidecar in zip(files_of(tmp_path / "rec", ".mp4"), sidecars_of(tmp_path / "rec"), strict=True):
        assert len(numbers_in(clip)) == sidecar["clip"]["frames"]
        assert sidecar["clip"]["codec"] == "h264"
        assert sidecar["clip"]["gaps"] == 0


def test_kill_9_of_a_run_on_a_network_camera_is_recovered(tmp_path, tiny_bundle, network_camera):
    with start_recording(tmp_path, tiny_bundle, network_camera.port, env={**os.environ}) as process:
        wait_until(lambda: growing(tmp_path / "rec"), 30)
        process.kill()
        process.wait()
    assert growing(tmp_path / "rec")
    # A second event may have begun by then.
    begun = len(list((tmp_path / "rec").glob("*/*/.*.json.part")))
    with start_recording(tmp_path, tiny_bundle, network_camera.port) as process:
        said = next(line for line in process.stderr if "of an earlier run recovered" in line)
        assert f"{begun} recording" in said
        wait_until(lambda: growing(tmp_path / "rec"), 30)
        process.terminate()
        process.wait(300)
    assert run_command("edgehar", "clips", "verify", tmp_path / "rec").returncode == 0
    assert any(sidecar["recovered"] for sidecar in sidecars_of(tmp_path / "rec"))
    for clip in files_of(tmp_path / "rec", ".mp4"):
        assert numbers_in(clip)


def test_a_camera_that_dies_in_mid_event_leaves_a_clip_that_plays(tmp_path, tiny_bundle, network_camera):
    with start_recording(tmp_path, tiny_bundle, network_camera.port) as process:
        wait_until(lambda: growing(tmp_path / "rec"), 30)
        network_camera.stop()
        network_camera.start()
        wait_until(lambda: files_of(tmp_path / "rec", ".json"), 60)
        process.terminate()
        process.wait(300)
    assert run_command("edgehar", "clips", "verify", tmp_path / "rec").returncode == 0
    for clip in files_of(tmp_path / "rec", ".mp4"):
        assert numbers_in(clip)


def test_another_stream_of_the_camera_is_recorded(tmp_path, tiny_bundle, network_camera):
    main = Camera()
    main.start(width=640, height=480)
    try:
        path = configuration(
            tmp_path, tiny_bundle, f"rtsp://127.0.0.1:{network_camera.port}/cam",
            camera=f'record_source = "rtsp://127.0.0.1:{main.port}/cam"',
        )  # fmt: skip
        path.write_text(path.read_text().replace('labels = ["bright"]', ""))
        with start_command("edgehar-run", "--config", path) as process:
            wait_until(lambda: growing(tmp_path / "rec"), 30)
            # The stream that is recorded breaks off; the other is watched on.
            main.stop()
            assert any("events have no clip until it is back" in line for line in process.stderr)
            main.start(width=640, height=480)
            assert any("is back" in line for line in process.stderr)
            process.terminate()
            assert process.wait(300) == 0
    finally:
        main.stop()
    clips = [sidecar["clip"] for sidecar in sidecars_of(tmp_path / "rec") if sidecar["clip"] is not None]
    assert clips
    assert {(clip["width"], clip["height"]) for clip in clips} == {(640, 480)}
    assert run_command("edgehar", "clips", "verify", tmp_path / "rec").returncode == 0


def test_a_stream_that_cannot_be_masked_is_not_recorded(tmp_path, tiny_bundle, video):
    masks = "masks = [[[0.0, 0.0], [0.5, 0.0], [0.5, 0.5]]]"
    path = configuration(tmp_path, tiny_bundle, video, camera=f'record_source = "rtsp://camera/main"\n{masks}')
    assert_one_line_error(run_command("edgehar-run", "--config", path), 2, "record_source", "masked")
