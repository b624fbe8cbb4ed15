"""Uploads of whole runs, and the addresses of clips in what they print."""

import json
import re
import urllib.request

import jsonschema
from support import upload_servers
from support.helpers import assert_one_line_error, flat_frames, run_command, start_command, wait_until, write_video
from support.recordings import files_of

from edgehar.delivery.uploader import waiting_in
from edgehar.recording.store import Archive
from edgehar.schemas import schema_text


def test_a_run_uploads_what_it_records_and_the_next_what_was_left(tmp_path, tiny_bundle):
    video = write_video(tmp_path / "a.mp4", flat_frames([20] * 50 + [235] * 50 + [20] * 50), codec="libx264")
    config = tmp_path / "edgehar.toml"
    with upload_servers.liar(503) as server:
        config.write_text(
            f'model = "{tiny_bundle}"\n[[camera]]\nname = "hall"\nsource = "{video}"\n'
            f'[record]\ndirectory = "{tmp_path / "rec"}"\nmin_free_mb = 0\n'
            f'[upload]\nurl = "http://edge:hunter2@127.0.0.1:{server.server_port}/in"\nmax_delay_s = 0.2\n'
        )
        config.chmod(0o600)
        done = run_command("edgehar-run", "--config", config)
        assert done.returncode == 0, done.stderr
        assert "wait for the next run" in done.stderr
        assert "hunter2" not in done.stderr
        server.behavior = None
        with start_command("edgehar-run", "--config", config, "--wait") as process:
            process.communicate(timeout=300)
        archive = Archive(tmp_path / "rec")
        if waiting_in(archive):
            run_command("edgehar-run", "--config", config)
        names = {name.removeprefix("/in/") for name in server.files}
    assert {str(path.relative_to(tmp_path / "rec")) for path in files_of(tmp_path / "rec", ".mp4")} & names
    assert run_command("edgehar", "clips", "verify", tmp_path / "rec").returncode == 0


def test_the_output_of_a_run_has_the_address_of_a_clip(tmp_path, tiny_bundle):
    video = write_video(tmp_path / "a.mp4", flat_frames([20] * 50 + [235] * 50 + [20] * 50), codec="libx264")
    config, port = tmp_path / "edgehar.toml", upload_servers.free_port()
    with upload_servers.liar(None) as server:
        config.write_text(
            f'model = "{tiny_bundle}"\n[health]\nprometheus_port = {port}\n'
            f'[[camera]]\nname = "hall"\nsource = "{video}"\nrealtime = true\nloop = true\n'
            f'[record]\ndirectory = "{tmp_path / "rec"}"\nmin_free_mb = 0\npost_roll_s = 0.5\n'
            f'[upload]\nurl = "http://edge:hunter2@127.0.0.1:{server.server_port}/in"\n'
        )
        config.chmod(0o600)
        with start_command("edgehar-run", "--config", config) as process:
            records = (json.loads(line) for line in process.stdout)
            uploaded = next(record for record in records if record.get("phase") == "uploaded")
            wait_until(lambda: "edgehar_uploads_total 1\n" in metrics(port))
            shown = metrics(port)
            process.terminate()
            rest = process.communicate(timeout=60)[0]
    assert "edgehar_recordings_failed_total 0\n" in shown
    assert re.search(r"edgehar_recordings_total [1-9]", shown)
    assert re.search(r"edgehar_uploads_waiting [01]\n", shown)
    assert uploaded["clip_url"] == f"http://127.0.0.1:{server.server_port}/in/{uploaded['clip']}"
    assert "hunter2" not in json.dumps(uploaded) + rest
    jsonschema.validate(uploaded, json.loads(schema_text("record.schema.json")))


def metrics(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        return answer.read().decode()


def test_upload_without_recording_is_a_wrong_setting(tmp_path, tiny_bundle):
    config = tmp_path / "edgehar.toml"
    config.write_text('[upload]\nurl = "https://host.example/x"\n')
    config.chmod(0o600)
    assert_one_line_error(run_command("edgehar-run", "--config", config), 2, "record.directory")
