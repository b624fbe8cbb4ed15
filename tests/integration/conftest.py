"""Fixtures that several files share: receivers of webhooks, clips in groups, and visits to the pages."""

import pytest
from support.helpers import flat_frames, write_video
from support.receiver import Receiver, ReceiverProgram
from support.web_visits import browser, classroom, folder, size, tools  # noqa: F401

from edgehar.credentials import Secret
from edgehar.sinks.spool.options import SpoolOptions
from edgehar.sinks.spool.queue import Spool
from edgehar.sinks.webhook.options import WebhookOptions
from edgehar.sinks.webhook.sink import WebhookSink


@pytest.fixture
def receive():
    receivers = []

    def make(*arguments, **options):
        receivers.append(Receiver(*arguments, **options))
        return receivers[-1]

    yield make
    for receiver in receivers:
        receiver.close()


@pytest.fixture
def program(tmp_path):
    running = ReceiverProgram(tmp_path)
    yield running
    running.kill()


@pytest.fixture
def make_sink(tmp_path):
    sinks = []

    def make(receiver, path="/hook", scheme="http", spooled=True, drain_timeout_s=60.0, **options):
        url = options.pop("url", f"{scheme}://127.0.0.1:{getattr(receiver, 'port', 0)}{path}")
        options = {"first_delay_s": 0.05, "max_delay_s": 0.2, "timeout_s": 60.0, **options}
        spool = Spool.open("webhook", SpoolOptions(directory=str(tmp_path / "state"))) if spooled else None
        sinks.append(WebhookSink(WebhookOptions(url=Secret(url), **options), spool, drain_timeout_s=drain_timeout_s))
        return sinks[-1]

    yield make
    for sink in sinks:
        sink.close()


_LEVELS = {"bright": (220, 210, 40), "dark": (30, 50, 215)}


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Two of three clips of each label look like their label; those of a place are a group."""
    root = tmp_path_factory.mktemp("clips")
    rows = ["clip,label,group"]
    for label, levels in _LEVELS.items():
        (root / label).mkdir()
        for number, level in enumerate(levels):
            write_video(root / label / f"{number}.mp4", flat_frames([level] * 20))
            rows.append(f"{label}/{number}.mp4,{label},place{number}")
    (root / "groups.csv").write_text("\n".join(rows) + "\n")
    return root
