"""`edgehar-run --mqtt` against a real broker."""

import json
import signal
import socket
import urllib.parse

import pytest
from support.brokers import BASE
from support.helpers import (
    assert_one_line_error,
    environment,
    flat_frames,
    predictions,
    run_command,
    start_command,
    write_video,
)

pytestmark = pytest.mark.broker
LIVE = "synthetic:walking?realtime=1&duration_s=60&width=64&height=48"


@pytest.fixture
def clip(tmp_path):
    return write_video(tmp_path / "clip.mp4", flat_frames([235] * 50 + [20] * 50))


def url(broker, password=None, scheme="mqtt", host="127.0.0.1"):
    quoted = urllib.parse.quote(broker.PASSWORD if password is None else password, safe="")
    return f"{scheme}://{broker.USER}:{quoted}@{host}:{broker.port}/{BASE}"


def test_answers_and_events_of_a_clip_reach_the_broker(broker, listen, tiny_bundle, clip):
    listener = listen(broker)
    done = run_command("edgehar-run", "--model", tiny_bundle, "--source", clip, "--mqtt", url(broker))
    assert done.returncode == 0, done.stderr
    listener.wait(lambda: "offline" in listener.of("availability"))
    assert listener.of("availability") == ["online", "offline"]
    assert listener.messages[-1][0] == "availability"
    events = [json.loads(payload) for payload in listener.of("event")]
    assert [(event["phase"], event["label"]) for event in events] == [
        ("start", "bright"),
        ("end", "bright"),
        ("start", "dark"),
        ("end", "dark"),
    ]
    assert json.loads(listener.of("prediction")[-1]) == predictions(done.stdout)[-1]
    assert json.loads(listener.of("status")[-1])["state"] == "stopped"
    assert f"mqtt://127.0.0.1:{broker.port}: connected as {BASE}" in done.stderr


def test_the_latest_state_waits_at_the_broker_and_events_do_not(broker, listen, tiny_bundle, clip):
    run_command("edgehar-run", "--model", tiny_bundle, "--source", clip, "--mqtt", url(broker))
    late = listen(broker)
    late.wait(lambda: len(late.messages) == 5)
    assert {(topic, retained) for topic, _, retained in late.messages} == {
        ("availability", True),
        ("active", True),
        ("device", True),
        ("prediction", True),
        ("status", True),
    }
    assert late.of("availability") == ["offline"]


def test_the_password_may_come_from_the_environment(broker, tiny_bundle, clip):
    address = f"mqtt://{broker.USER}@127.0.0.1:{broker.port}/{BASE}"
    env = environment(EDGEHAR_MQTT_PASSWORD=broker.PASSWORD)
    done = run_command("edgehar-run", "--model", tiny_bundle, "--source", clip, "--mqtt", address, env=env)
    assert "connected as" in done.stderr


def live(tiny_bundle, broker, *arguments):
    address = url(broker)
    return start_command("edgehar-run", "--model", tiny_bundle, "--source", LIVE, "--mqtt", address, *arguments)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_leaves_offline_behind(broker, listen, tiny_bundle, number):
    listener = listen(broker)
    with live(tiny_bundle, broker, "--output", "none") as process:
        listener.wait(lambda: listener.of("prediction"))
        process.send_signal(number)
        process.communicate(timeout=300)
    listener.wait(lambda: listener.of("availability") == ["online", "offline"])
    assert json.loads(listener.of("event")[-1])["phase"] == "end"


def test_the_last_will_tells_of_a_killed_program(broker, listen, tiny_bundle):
    listener = listen(broker)
    with live(tiny_bundle, broker, "--output", "none") as process:
        listener.wait(lambda: listener.of("prediction"))
        process.kill()
        process.communicate(timeout=300)
    listener.wait(lambda: listener.of("availability") == ["online", "offline"])


def test_a_broker_that_starts_later_gets_the_events(make_broker, listen, tiny_bundle):
    broker = make_broker()
    with live(tiny_bundle, broker) as process:
        line = process.stdout.readline()
        while json.loads(line)["type"] != "event":
            line = process.stdout.readline()
        # The run must not send the event before somebody listens.
        process.send_signal(signal.SIGSTOP)
        broker.start()
        listener = listen(broker)
        process.send_signal(signal.SIGCONT)
        listener.wait(lambda: listener.of("event"))
        assert json.loads(listener.of("event")[0]) == json.loads(line)
        listener.wait(lambda: listener.of("availability") == ["online"])
        process.terminate()
        _, err = process.communicate(timeout=300)
    assert process.returncode == 0
    assert err.count("cannot be reached: Connection refused; retrying, classification continues") == 1
    assert err.count("connected again as") == 1


def test_a_broker_that_comes_back_hears_online_again(make_broker, listen, tiny_bundle):
    broker = make_broker().start()
    with live(tiny_bundle, broker) as process:
        first = listen(broker)
        first.wait(lambda: first.of("prediction"))
        first.close()
        broker.stop()
        before = json.loads(process.stdout.readline())
        # Some answers are given while the broker is away.
        for _ in range(10):
            process.stdout.readline()
        broker.start()
        second = listen(broker)
        second.wait(lambda: second.of("availability") == ["online"] and second.of("prediction"))
        assert json.loads(second.of("prediction")[-1])["seq"] > before["seq"]
        process.terminate()
        _, err = process.communicate(timeout=300)
    assert err.count("classification continues") == 1
    assert err.count("connected again as") == 1


def test_without_a_broker_classifying_goes_on(tiny_bundle, clip):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    address = f"mqtt://u:s3cret@127.0.0.1:{port}"
    done = run_command("edgehar-run", "--model", tiny_bundle, "--source", clip, "--mqtt", address)
    alone = run_command("edgehar-run", "--model", tiny_bundle, "--source", clip)
    assert done.returncode == 0
    assert [answer["scores"] for answer in predictions(done.stdout)] == [
        answer["scores"] for answer in predictions(alone.stdout)
    ]
    assert done.stderr.count(f"mqtt://127.0.0.1:{port}: cannot be reached") == 1
    assert "4 events wait on disk for the next run" in done.stderr
    assert "s3cret" not in done.stderr


def test_a_broker_that_never_answers_holds_up_nothing(tiny_bundle, clip):
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"mqtt://127.0.0.1:{server.getsockname()[1]}"
        done = run_command("edgehar-run", "--model", tiny_bundle, "--source", clip, "--mqtt", address)
    assert done.returncode == 0
    assert predictions(done.stdout)


def test_a_wrong_password_is_said_once_and_never_shown(broker, tiny_bundle):
    address = url(broker, password="wr0ng")
    done = run_command(
        "edgehar-run", "--model", tiny_bundle, "--source", LIVE, "--duration", 3, "--mqtt", address, "--verbose"
    )
    assert done.returncode == 0, done.stderr
    assert predictions(done.stdout)
    assert done.stderr.count("refuses the connection: Not authorized; check user and password") == 1
    assert "wr0ng" not in done.stderr + done.stdout


def test_an_address_that_cannot_be_used(tiny_bundle, clip):
    done = run_command("edgehar-run", "--model", tiny_bundle, "--source", clip, "--mqtt", "mqtt://u:s3#cret@host")
    assert_one_line_error(done, 2, "mqtt: ", "mqtt://user:password@host:1883/base/topic")
    assert "cret" not in done.stderr
    assert done.stdout == ""


def test_tls_checks_the_broker_against_the_authorities_of_the_system(make_broker, certificates, tiny_bundle, clip):
    broker = make_broker(certificates=certificates).start()
    arguments = ["--model", tiny_bundle, "--source", clip, "--mqtt", url(broker, scheme="mqtts", host="localhost")]
    known = run_command("edgehar-run", *arguments, env=environment(SSL_CERT_FILE=str(certificates.authority)))
    assert f"mqtts://localhost:{broker.port}: connected as" in known.stderr
    unknown = run_command("edgehar-run", *arguments)
    assert unknown.returncode == 0
    assert "issuer certificate" in unknown.stderr
    assert "connected" not in unknown.stderr
