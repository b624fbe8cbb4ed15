"""A lesson in a process of its own: what it says, how it fails, and that it can be stopped."""

import numpy as np
import pytest
from support.helpers import wait_until
from support.tiny_bundle import write_tiny_bundle

from edgehar import ModelBundle
from edgehar.cli.page_lessons import LessonProcess
from edgehar.errors import ConfigError
from edgehar.teaching.inbox import Facts, Inbox
from edgehar.teaching.labels import Label, write_label


@pytest.fixture
def base(tmp_path):
    return write_tiny_bundle(tmp_path / "base.edgehar", background=["dark"])


def fill(folder, bundle, label="ordinary", days=2):
    """Bright moments, some on each day."""
    manifest, inbox = ModelBundle.open(bundle).manifest, Inbox(folder)
    for number in range(3 * days):
        facts = Facts(
            source="hall", time=f"2026-11-0{1 + number // 3}T0{number % 3}:00:00.000Z", why="event", model="tiny",
            encoder=manifest.files["encoder.tflite"], head="", answer="bright", score=0.9, scores={"bright": 0.9},
            hop=2, frames=8,
        )  # fmt: skip
        item = inbox.add(facts, np.full((8, 8), 100, np.int8))
        write_label(item.base, Label(label, "bright"))
    return folder


def finished(lessons):
    wait_until(lambda: lessons.lesson().state != "running")
    return lessons.lesson()


def test_a_lesson_gives_a_new_model_and_its_table(base, tmp_path):
    lessons = LessonProcess()
    assert lessons.lesson() is None
    started = lessons.teach(str(base), [fill(tmp_path / "inbox", base)], tmp_path / "taught.edgehar")
    assert (started.state, started.total) == ("running", 0)
    with pytest.raises(ConfigError, match="running already"):
        lessons.teach(str(base), [], tmp_path / "taught.edgehar")
    lesson = finished(lessons)
    assert (lesson.state, lesson.taught, lesson.done, lesson.total) == ("done", "taught", 6, 6)
    assert (lesson.result.labels["dark"].before, lesson.result.labels["dark"].after) == (0, 6)
    assert ModelBundle.open(tmp_path / "taught.edgehar").manifest.name == "taught"


def test_a_model_that_is_not_better_is_refused_with_its_table(base, tmp_path):
    lessons = LessonProcess()
    lessons.teach(str(base), [fill(tmp_path / "inbox", base, "bright")], tmp_path / "taught.edgehar")
    lesson = finished(lessons)
    assert (lesson.state, lesson.taught, lesson.result.before) == ("refused", "", 1.0)
    assert "held-out clips right" in lesson.result.problem
    assert not (tmp_path / "taught.edgehar").exists()


def test_a_lesson_that_cannot_be_held_says_why(base, tmp_path):
    lessons = LessonProcess()
    lessons.teach(str(base), [fill(tmp_path / "inbox", base, "new")], tmp_path / "taught.edgehar")
    lesson = finished(lessons)
    assert lesson.state == "failed"
    assert lesson.error.startswith("only one label, 'new', which is new")


def test_a_lesson_can_be_stopped(base, tmp_path):
    lessons = LessonProcess()
    lessons.teach(str(base), [fill(tmp_path / "inbox", base)], tmp_path / "taught.edgehar")
    lessons.stop()
    assert lessons.lesson().state == "stopped"
    lessons.teach(str(base), [tmp_path / "inbox"], tmp_path / "taught.edgehar")
    assert finished(lessons).state == "done"
