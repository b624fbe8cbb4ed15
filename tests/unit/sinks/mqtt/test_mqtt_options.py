import os
import ssl

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgehar import ConfigError
from edgehar.credentials import Secret
from edgehar.sinks.mqtt.options import PASSWORD_VARIABLE, MqttOptions, _identifier, read_broker


@pytest.fixture(autouse=True)
def no_password(monkeypatch):
    monkeypatch.delenv(PASSWORD_VARIABLE, raising=False)


def read(url, **options):
    return read_broker(MqttOptions(url=url, **options))


def test_all_parts():
    broker = read("mqtt://edge:s3cret%2F%23%40@broker.local:1884/home/hall/")
    assert (broker.host, broker.port, broker.tls) == ("broker.local", 1884, False)
    assert (broker.username, broker.password) == ("edge", "s3cret/#@")
    assert broker.base_topic == "home/hall"
    assert broker.where == "mqtt://broker.local:1884"
    assert broker.topic("", "status") == "home/hall/status"
    assert broker.client_id == broker.device_id == "home-hall"


def test_what_is_left_out(monkeypatch):
    monkeypatch.setattr("socket.gethostname", lambda: "kitchen pi.lan")
    broker = read("mqtts://[::1]")
    assert (broker.host, broker.port, broker.tls) == ("::1", 8883, True)
    assert (broker.username, broker.password) == (None, None)
    assert broker.base_topic == "edgehar/kitchen-pi-lan"
    assert broker.where == "mqtts://[::1]:8883"


def test_topics_that_look_alike_have_identities_of_their_own():
    kitchens = {read(f"mqtt://host/{name}").client_id for name in ("k%C3%BCche", "k%C3%A4che", "k che")}
    assert len(kitchens) == 3
    assert all(kitchen.replace("-", "").isalnum() for kitchen in kitchens)
    assert read("mqtt://host/hall", client_id="porch").client_id == "porch"
    alike = {read(f"mqtt://host/{name}").client_id for name in ("a/b", "a-b", "a/-b", "a-/b", "a//b", "a.b")}
    assert len(alike) == 6
    assert read("mqtt://host/a/b").client_id == "a-b"


@given(st.lists(st.text("ab-/_.", min_size=1, max_size=8), min_size=2, max_size=2, unique=True))
def test_two_topics_never_have_one_identity(topics):
    assert len({_identifier(topic) for topic in topics}) == 2


def test_schemes_may_be_in_capitals():
    assert read("MQTTS://Host/hall").where == "mqtts://host:8883"


def test_a_password_comes_from_one_of_four_places(monkeypatch, tmp_path):
    file = tmp_path / "password"
    file.write_text("from file\r\nand no more\n")
    monkeypatch.setenv(PASSWORD_VARIABLE, "from-env")
    assert read("mqtt://edge@host").password == "from-env"
    assert read("mqtt://edge:from-url@host").password == "from-url"
    assert read("mqtt://host", username="edge", password=Secret("set")).password == "set"
    assert read("mqtt://edge@host", password_file=str(file)).password == "from file"
    assert read("mqtt://host").password is None


def test_neither_options_nor_broker_show_a_password():
    options = MqttOptions(url="mqtt://edge:zqzq@host/hall", password=Secret("zqzq"))
    assert "zq" not in repr(options) + str(options) + repr(read("mqtt://edge:zqzq@host"))
    assert "host/hall" in repr(options)


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
def test_addresses_that_cannot_be_used(url, said):
    with pytest.raises(ConfigError, match=said) as caught:
        read(url)
    assert "cret" not in str(caught.value)
    assert caught.value.__cause__ is None


@given(st.text())
def test_any_text_is_read_or_refused_and_never_repeated(text):
    said = ""
    try:
        read(f"mqtt://user:zq{text}qz@host")
    except ConfigError as error:
        said = str(error)
    assert "zq" not in said


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"username": "other"}, "user is set twice"),
        ({"password_file": "{folder}/password"}, "password is set twice"),
        ({"discovery_prefix": "home/#"}, "discovery_prefix"),
        ({"ca_file": "{folder}/ca.pem"}, "begin the address with mqtts://"),
    ],
)
def test_options_that_contradict_each_other(options, said, tmp_path):
    (tmp_path / "password").write_text("other\n")
    given = {name: value.format(folder=tmp_path) for name, value in options.items()}
    with pytest.raises(ConfigError, match=said) as caught:
        read("mqtt://user:s3cret@host", **given)
    assert "cret" not in str(caught.value)


@pytest.mark.parametrize("content", [None, b"", b"\nsecond line", b"\xff\xfe"])
def test_a_password_file_without_a_password(content, tmp_path):
    file = tmp_path / "password"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match=f"password_file {file}: "):
        read("mqtt://user@host", password_file=str(file))


def test_files_of_tls(certificates):
    names = {name: str(getattr(certificates, name)) for name in ("authority", "client", "client_key")}
    broker = read("mqtts://host", ca_file=names["authority"], cert_file=names["client"], key_file=names["client_key"])
    assert broker.tls


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"ca_file": "nowhere.pem"}, "ca_file .*nowhere.pem: does not exist"),
        ({"ca_file": "text"}, "ca_file .*text: not a PEM file"),
        ({"cert_file": "text"}, "cert_file .*text: not a PEM certificate"),
        ({"cert_file": "client.pem"}, "cert_file .*client.pem: not a PEM certificate with an unencrypted key"),
        ({"key_file": "text"}, "key_file is set without cert_file"),
    ],
)
def test_files_of_tls_that_cannot_be_used(options, said, certificates, tmp_path):
    (tmp_path / "text").write_text("text")
    (tmp_path / "client.pem").write_bytes(certificates.client.read_bytes())
    with pytest.raises(ConfigError, match=said):
        read("mqtts://host", **{name: str(tmp_path / value) for name, value in options.items()})


def test_an_encrypted_key_is_refused_and_not_asked_for(certificates, tmp_path):
    import subprocess

    key = tmp_path / "encrypted.key"
    command = ["openssl", "pkey", "-in", certificates.client_key, "-aes256", "-passout", "pass:secret", "-out", key]
    subprocess.run(command, check=True, capture_output=True)
    with pytest.raises(ConfigError, match="unencrypted key"):
        read("mqtts://host", cert_file=str(certificates.client), key_file=str(key))


def test_certificates_are_checked():
    from edgehar.sinks.mqtt.options import broker_context

    context = broker_context(MqttOptions(url="mqtts://host"))
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


def test_every_option_is_described():
    assert all("description" in repr(field.type) for field in msgspec.inspect.type_info(MqttOptions).fields)
    assert os.environ.get(PASSWORD_VARIABLE) is None
