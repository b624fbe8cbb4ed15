"""Counts at other thresholds over the API: from the history in a process of its own, else from recordings."""

import time

import numpy as np
import pytest
from support.web_recordings import record, store_of
from support.web_site import FakeCamera, site

from edgehar.cli.page_tools import CountProcess
from edgehar.model.manifest import Decision
from edgehar.teaching.score_log import Block, day_file, folder_name
from edgehar.web.services import Tools

HEAD = "ab" * 4


def keep(folder, scores, hours_ago, head=HEAD):
    """Write answers about the camera `hall`, one each fifth of a second."""
    codes = np.rint(np.stack([scores, 1 - np.asarray(scores)], axis=1) * 255) - 128
    steps = np.full(len(scores), 200, np.uint16)
    steps[0] = 0
    started_ms = round((time.time() - 3600 * hours_ago) * 1e3)
    block = Block("tiny", head, ("fight", "calm"), 1 / 256, -128, started_ms, steps, codes.astype(np.int8))
    path = day_file(folder / folder_name("hall"), started_ms)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        file.write(block.encode())


class Counting(CountProcess):
    """The real one; remembers how often it was asked."""

    asked = 0

    def count(self, question):
        self.asked += 1
        return super().count(question)


@pytest.fixture
def counter():
    return Counting()


def test_every_answer_of_the_last_week_counts(tmp_path, counter):
    for hours in (2, 50, 200):
        keep(tmp_path, [0.1] * 10 + [0.8] * 10 + [0.1] * 10, hours)
    with site(parts={"history": tmp_path}, tools=Tools(counter=counter)) as browser:
        found = browser.json("/api/v1/cameras/hall/counts")
        assert (found["source"], round(found["week_s"], 1)) == ("history", 11.6)
        fight = found["labels"]["fight"]
        assert [(fight["day"][step], fight["week"][step]) for step in (60, 79, 85)] == [(1, 2), (1, 2), (0, 0)]
        assert browser.json("/api/v1/cameras/hall/counts") == found
        assert counter.asked == 1
        # Other rules are another question.
        browser.cameras[0].rules = Decision(threshold=0.5, thresholds={"calm": 0.95}, background=["calm"])
        fight = browser.json("/api/v1/cameras/hall/counts")["labels"]["fight"]
        assert (counter.asked, fight["week"][15]) == (2, 2)


def test_a_history_of_another_head_leaves_the_recordings(tmp_path, counter):
    keep(tmp_path / "history", [0.8] * 10, 2, head="cd" * 4)
    store_of(tmp_path / "rec").close()
    with site(
        parts={"history": tmp_path / "history"}, folder=tmp_path / "rec", tools=Tools(counter=counter)
    ) as browser:
        assert browser.json("/api/v1/cameras/hall/counts")["source"] == "recordings"


def test_a_count_that_fails_leaves_the_recordings(tmp_path):
    class Failing:
        def count(self, question):
            return b"{"

        def stop(self):
            pass

    keep(tmp_path / "history", [0.8] * 10, 2)
    store = store_of(tmp_path / "rec")
    record(store, 1, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time.time() - 60)), clip=False)
    store.close()
    cameras = FakeCamera("hall"), FakeCamera("yard")
    with site(
        *cameras, parts={"history": tmp_path / "history"}, folder=tmp_path / "rec", tools=Tools(counter=Failing())
    ) as browser:
        found = browser.json("/api/v1/cameras/hall/counts")
        assert (found["source"], found["labels"]["fight"]["day"][50]) == ("recordings", 1)
