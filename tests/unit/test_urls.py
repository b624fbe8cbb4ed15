import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgehar.credentials import without_credentials


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("rtsp://admin:pw@192.0.2.7:554/stream", "rtsp://192.0.2.7:554/stream"),
        ("rtsp://192.0.2.7/user=admin&password=pw&channel=1", "rtsp://192.0.2.7/user=***&password=***&channel=1"),
        ("http://host/video.cgi?usr=a&pwd=pw", "http://host/video.cgi"),
        ("rtsp://u:p/w?x#y@host/a", "rtsp://host/a"),
        ("/home/me@work/clip.mp4", "/home/me@work/clip.mp4"),
        ("RTSP://Admin:PW@Host/a", "RTSP://Host/a"),
        ("http:user:pw@host/a", "http:host/a"),
        ("rtsp:/user:pw@host/a?x=1", "rtsp:/host/a"),
        ("RTSP:user:p/w?x#y@host/a", "RTSP:host/a"),
        ("mqtt:pw@host", "mqtt:host"),
        ("user:pw@host/a", "host/a"),
        ("https//user:pw@host/a", "host/a"),
        ("http:host/password=pw", "http:host/password=***"),
        ("./me@work/clip.mp4", "./me@work/clip.mp4"),
        ("synthetic:walking?duration_s=4", "synthetic:walking?duration_s=4"),
        ("camera:0", "camera:0"),
    ],
)
def test_what_is_shown(url, shown):
    assert without_credentials(url) == shown


@given(st.text(st.characters(codec="utf-8"), min_size=1).map(lambda text: f"S3{text}cr3t"))
def test_a_password_is_never_shown(password):
    for start in ("rtsp://", "RTSP://", "rtsp:/", "http:", "https//", ""):
        assert "cr3t" not in without_credentials(f"{start}user:{password}@host/stream")
