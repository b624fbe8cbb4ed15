"""`edgehar bench stream` on a file and on a network camera, as a user runs it."""

import json
from pathlib import Path

import jsonschema
import pytest
from support.helpers import assert_one_line_error, run_command, write_video
from support.rtsp_server import RtspServer, Script, encode, moving_frames

from edgehar import schemas

SCHEMA = json.loads((Path(schemas.__file__).parent / "bench-stream.schema.json").read_text())


def bench(*arguments):
    return run_command("edgehar", "bench", "stream", *arguments, "--model", "actions-synthetic", "--quick")


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    return write_video(tmp_path_factory.mktemp("bench") / "a.mp4", moving_frames(60), codec="libx264")


def test_a_file_is_split_into_steps_for_every_mode(video, tmp_path):
    done = bench(video, "--seconds", 2, "--json", tmp_path / "a.json")
    report = json.loads((tmp_path / "a.json").read_text())
    jsonschema.validate(report, SCHEMA)
    assert (report["codec"], report["width"], report["height"], report["rate_hz"]) == ("h264", 128, 96, 25)
    assert (report["frames"], report["live"], report["rounds"]) == (50, False, 1)
    assert [cost["mode"] for cost in report["modes"]] == ["full", "skip-loop-filter", "reference-only", "key"]
    assert [cost["frames"] for cost in report["modes"][:2]] == [50, 50]
    for cost in report["modes"]:
        steps = [cost[f"{step}_ms"] for step in ("decode", "shrink", "encode", "classify")]
        assert cost["total_ms"] == pytest.approx(report["receive_ms"] + sum(steps))
        assert cost["core_share"] == pytest.approx(cost["total_ms"] * 25 / 1000)
        assert cost["cameras"] >= 1
        assert cost["decode_ms"] > 0 < cost["encode_ms"]
    assert "Cost of" in done.stdout
    assert "skip-loop-filter" in done.stdout


def test_a_live_stream_is_received_once(tmp_path):
    script = Script(encode(moving_frames(25), gop=10))
    with RtspServer(script) as server:
        done = bench(server.uri, "--seconds", 1, "--json", "-")
    report = json.loads(done.stdout)
    jsonschema.validate(report, SCHEMA)
    assert (report["live"], report["source"], script.connections) == (True, server.uri, 1)
    assert 20 <= report["frames"] <= 26
    assert report["modes"][0]["frames"] == report["frames"]


@pytest.mark.parametrize(
    ("arguments", "code", "what"),
    [
        ((), 2, "stream needs one video file or address"),
        (("camera:0",), 2, "camera:0: is not a video file or network stream"),
        (("no/such.mp4",), 1, "no such file"),
        (("a.mp4", "--markdown", "a.md"), 2, "--peer and --markdown are not for a stream"),
    ],
)
def test_what_cannot_be_measured_is_an_error_of_a_line(arguments, code, what):
    assert_one_line_error(bench(*arguments), code, what)
