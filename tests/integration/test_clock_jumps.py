"""The system's clock is set by an hour, forwards and backwards, while edgehar-run watches and the broker is away."""

import json
from pathlib import Path

import pytest
from support.brokers import BASE
from support.helpers import environment, records, start_command, wait_until

LIBRARY = next(Path("/usr/lib").glob("**/faketime/libfaketimeMT.so.1"), None)
HOUR_S = 3600
CONFIG = """
model = "actions-synthetic"
[[camera]]
source = "synthetic:all?realtime=1&duration_s=30"
hop = 1
[decision]
threshold = 0.3
update_every_s = 0.3
[mqtt]
url = "mqtt://edge@127.0.0.1:{port}/{base}"
password = "{password}"
"""


@pytest.mark.broker
@pytest.mark.skipif(LIBRARY is None, reason="needs libfaketime: apt-get install faketime")
def test_clock_that_jumps_delays_no_frame_and_loses_no_event(broker, listen, tmp_path):
    listener, clock, printed = listen(broker, user=broker.LISTENER), tmp_path / "clock", tmp_path / "printed"
    config = tmp_path / "edgehar.toml"
    config.write_text(CONFIG.format(port=broker.port, base=BASE, password=broker.PASSWORD))
    config.chmod(0o600)
    clock.write_text("+0\n")
    fake = environment(
        LD_PRELOAD=str(LIBRARY),
        FAKETIME_TIMESTAMP_FILE=str(clock),
        FAKETIME_NO_CACHE="1",
        FAKETIME_DONT_FAKE_MONOTONIC="1",
        EDGEHAR_FILE__PATH=str(printed),
    )
    with start_command("edgehar-run", "--config", config, "--output", "none", env=fake) as command:

        def told(kind):
            lines = printed.read_text().splitlines() if printed.exists() else []
            return [row for row in records("\n".join(lines[:-1])) if row["type"] == kind]

        wait_until(lambda: len(told("prediction")) > 5)
        broker.freeze()
        for jump_s in (HOUR_S, -HOUR_S):
            clock.write_text(f"{jump_s:+d}\n")
            so_far = len(told("prediction"))
            wait_until(lambda before=so_far: len(told("prediction")) > before + 10)
        events = len(told("event"))
        broker.thaw()
        wait_until(lambda: len(listener.of("event")) > events, timeout_s=40)
        command.terminate()
        _, said = command.communicate(timeout=300)
    assert command.returncode == 0, said
    rows = records(printed.read_text())
    seen = [row for row in rows if row["type"] == "prediction"]
    assert [row["seq"] for row in seen] == list(range(len(seen)))
    assert len({row["time"][:13] for row in seen}) >= 3
    assert max(row["frame_age_ms"] for row in seen) < 10_000
    sent = [(row["id"], row["revision"]) for row in rows if row["type"] == "event"]
    listener.wait(lambda: listener.of("availability")[-1:] == ["offline"])
    came = [(row["id"], row["revision"]) for row in map(json.loads, listener.of("event"))]
    assert list(dict.fromkeys(came)) == sent
