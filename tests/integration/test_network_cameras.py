"""Network cameras are found, asked for their streams, and the right stream is proposed: against a strict camera."""

import functools
import json
import socket

import pytest
from support.helpers import assert_one_line_error, run_command
from support.onvif_camera import OnvifCamera

from edgehar.cli.main import main
from edgehar.errors import SourceError
from edgehar.sources import onvif, wsdiscovery
from edgehar.sources.network_cameras import smallest_sufficient
from edgehar.sources.onvif import StreamInfo

PASSWORD = {"EDGEHAR_ONVIF_PASSWORD": "s3cret"}


def devices(*arguments, **options):
    return run_command("edgehar", "devices", *arguments, **options)


def probe(camera):
    return wsdiscovery.probe(0.4, port=camera.discovery_port)


def test_a_camera_is_found_by_multicast():
    with OnvifCamera() as camera:
        (found,) = probe(camera)
    assert (found.host, found.service, found.name) == ("127.0.0.1", camera.service, "Hall Cam X1")


@pytest.mark.parametrize("announced", ["", "not an address", "ftp://127.0.0.1/", "http://[::1", "http:///x"])
def test_a_camera_that_announces_no_address_is_left_out(announced):
    with OnvifCamera(announced=announced or "-") as camera:
        assert probe(camera) == []


def test_a_camera_is_asked_at_the_address_that_answered_whatever_it_announces():
    with OnvifCamera(announced="http://192.0.2.1:8000/onvif/device http://192.0.2.2/x") as camera:
        (found,) = probe(camera)
    assert found.service == "http://127.0.0.1:8000/onvif/device"


def test_nobody_answers():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("", 0))
        assert wsdiscovery.probe(0.1, port=silent.getsockname()[1]) == []


@pytest.mark.parametrize(("auth", "refused"), [(None, 0), ("digest", 1), ("token", 0)])
def test_streams_are_told_with_every_way_to_log_in(auth, refused):
    with OnvifCamera(auth=auth) as camera:
        streams = onvif.OnvifCamera(camera.service, "admin", "s3cret").streams()
    assert [(stream.width, stream.height, stream.rate_hz) for stream in streams] == [
        (1920, 1080, 25), (640, 360, 15), (160, 90, 15)
    ]  # fmt: skip
    assert streams[1].uri == "rtsp://127.0.0.1:554/sub?a=1&b=2"
    assert streams[1].encoding == "H264"
    assert camera.refused >= refused
    assert camera.asked[0] == "GetSystemDateAndTime"


def test_a_camera_whose_clock_is_wrong_takes_the_password():
    with OnvifCamera(auth="token", ahead_s=-86_400.0 * 300) as camera:
        assert len(onvif.OnvifCamera(camera.service, "admin", "s3cret").streams()) == 3


def test_a_password_never_leaves_for_another_host():
    with OnvifCamera(auth="token", media_host="192.0.2.99") as camera:
        assert len(onvif.OnvifCamera(camera.service, "admin", "s3cret").streams()) == 3


@pytest.mark.parametrize(
    ("auth", "user", "password", "why"),
    [
        ("digest", "", "", "needs a user and password"),
        ("token", "", "", "needs a user and password"),
        ("digest", "admin", "wrong", "refuses the user or password"),
        ("token", "admin", "wrong", "refuses the user or password"),
    ],
)
def test_a_refusal_says_what_to_do(auth, user, password, why):
    with OnvifCamera(auth=auth) as camera, pytest.raises(SourceError, match=why):
        onvif.OnvifCamera(camera.service, user, password).streams()


def test_what_is_no_camera_is_an_error():
    with OnvifCamera() as camera:
        closed = camera.service
        with pytest.raises(SourceError, match="refuses a request: not a request to this service"):
            onvif.OnvifCamera(camera.media).streams()
    with pytest.raises(SourceError, match="does not answer: Connection refused"):
        onvif.OnvifCamera(closed).streams()


@pytest.mark.parametrize("data", [b"", b"<a", b"<!DOCTYPE a [<!ENTITY b 'c'>]><a/>", b"\xff\xfe<\0a\0/\0>\0"])
def test_xml_of_strangers_is_read_without_document_types(data):
    from edgehar.sources.xml_text import parsed

    assert parsed(data) is None
    assert parsed(b"<a/>" + b" " * (1 << 20)) is None


def of(width, height, rate_hz=25, encoding="H264"):
    return StreamInfo("rtsp://x/", encoding, width, height, rate_hz)


@pytest.mark.parametrize(
    ("streams", "best"),
    [
        ([of(1920, 1080), of(640, 360), of(160, 90)], of(640, 360)),
        ([of(1920, 1080), of(640, 360, 6)], of(1920, 1080)),
        ([of(640, 360, 6)], of(640, 360, 6)),
        ([of(640, 480, encoding="JPEG"), of(704, 576, encoding="H265")], of(704, 576, encoding="H265")),
        ([of(640, 360, None)], of(640, 360, None)),
        ([of(160, 90)], None),
        ([], None),
    ],
)
def test_the_smallest_stream_with_enough_pixels_is_proposed(streams, best):
    assert smallest_sufficient(streams, (240, 320), 12.5) == best


def test_the_command_lists_cameras_and_marks_a_stream(monkeypatch, capsys):
    with OnvifCamera(auth="digest") as camera:
        monkeypatch.setattr(wsdiscovery, "probe", functools.partial(wsdiscovery.probe, port=camera.discovery_port))
        monkeypatch.setenv("EDGEHAR_ONVIF_PASSWORD", "s3cret")
        assert main(["devices", "--network", "--user", "admin", "--wait", "0.4"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "127.0.0.1       Hall Cam X1"
    assert lines[2] == "* rtsp://127.0.0.1:554/sub?a=1&b=2  H264 640x360 at 15 frames/s"
    assert len(lines) == 5
    assert "s3cret" not in "".join(lines)


def test_what_cameras_announce_does_not_move_the_cursor(monkeypatch, capsys):
    with OnvifCamera(name="Hall%1B%5B2J%0Ax") as camera:
        monkeypatch.setattr(wsdiscovery, "probe", functools.partial(wsdiscovery.probe, port=camera.discovery_port))
        assert main(["devices", "--network", "--wait", "0.4"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("127.0.0.1       Hall\\x1b[2J\\nx X1\n")
    assert "\x1b" not in out


def test_the_command_asks_one_camera_and_prints_json():
    with OnvifCamera(auth="token") as camera:
        done = devices("--network", camera.service, "--user", "admin", "--json", env=PASSWORD)
        refused = devices("--network", camera.service, "--json")
    found = json.loads(done.stdout)
    assert (done.returncode, found["source"]) == (0, "rtsp://127.0.0.1:554/sub?a=1&b=2")
    assert [stream["width"] for stream in found["streams"]] == [1920, 640, 160]
    assert refused.returncode == 1
    assert json.loads(refused.stdout)["why_not"].startswith("needs a user and password; give --user NAME")


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("--user", "admin"), "--user is for network cameras; add --network"),
        (("--network", "--user", "admin"), "--user needs a password; set EDGEHAR_ONVIF_PASSWORD"),
        (("--network", "http://"), "not the address of a camera"),
        (("--network", "http://user:secret@host/"), "not the address of a camera"),
    ],
)
def test_wrong_usage_is_an_error_of_a_line(arguments, what):
    done = devices(*arguments)
    assert_one_line_error(done, 2, what)
    assert "secret" not in done.stderr
