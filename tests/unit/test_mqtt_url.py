import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgehar import ConfigError
from edgehar.sinks.mqtt import PASSWORD_VARIABLE, parse_mqtt_url


def test_all_parts():
    settings = parse_mqtt_url("mqtt://edge:s3cret%2F%23%40@broker.local:1884/home/hall/")
    assert (settings.host, settings.port, settings.tls) == ("broker.local", 1884, False)
    assert (settings.username, settings.password) == ("edge", "s3cret/#@")
    assert settings.base_topic == "home/hall"
    assert settings.where == "mqtt://broker.local:1884"
    assert "s3cret" not in repr(settings)


def test_what_is_left_out(monkeypatch):
    monkeypatch.delenv(PASSWORD_VARIABLE, raising=False)
    monkeypatch.setattr("socket.gethostname", lambda: "kitchen pi.lan")
    settings = parse_mqtt_url("mqtts://[::1]")
    assert (settings.host, settings.port, settings.tls) == ("::1", 8883, True)
    assert (settings.username, settings.password) == (None, None)
    assert settings.base_topic == "edgehar/kitchen-pi-lan"
    assert settings.where == "mqtts://[::1]:8883"


def test_the_password_may_be_in_the_environment(monkeypatch):
    monkeypatch.setenv(PASSWORD_VARIABLE, "from-env")
    assert parse_mqtt_url("mqtt://edge@host").password == "from-env"
    assert parse_mqtt_url("mqtt://edge:from-url@host").password == "from-url"
    assert parse_mqtt_url("mqtt://host").password is None


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "begin with mqtt://"),
        ("broker", "begin with mqtt://"),
        ("http://u:s3cret@host", "begin with mqtt://"),
        ("mqtt:host", "begin with mqtt://"),
        ("mqtt://", "no valid host"),
        ("mqtt://u:s3cret@", "no valid host"),
        ("mqtt://u:s3#cret@host", "no valid host or port"),
        ("mqtt://u:s3/cret@host", "no valid host or port"),
        ("mqtt://u:s3?cret@host", "no valid host or port"),
        ("mqtt://u:12/s3cret@host", "no valid host or port"),
        ("mqtt://host:port", "no valid host or port"),
        ("mqtt://host:70000", "no valid host or port"),
        ("mqtt://host:0", "no valid host or port"),
        ("mqtt://a..b", "no valid host"),
        ("mqtt://[::1", "no valid host"),
        ("mqtt://:s3cret@host", "needs a user"),
        ("mqtt://host/home/+/x", "base topic"),
        ("mqtt://host/home/%23", "base topic"),
        ("mqtt://host/$SYS", "base topic"),
    ],
)
def test_what_cannot_be_used(url, said):
    with pytest.raises(ConfigError, match=said) as caught:
        parse_mqtt_url(url)
    assert "cret" not in str(caught.value)
    assert caught.value.__cause__ is None


@given(st.text())
def test_any_text_is_read_or_refused_and_never_repeated(text):
    said = ""
    try:
        parse_mqtt_url(f"mqtt://user:zq{text}qz@host")
    except ConfigError as error:
        said = str(error)
    assert "zq" not in said
