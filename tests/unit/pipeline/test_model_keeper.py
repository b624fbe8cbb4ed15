"""Heads change between two frames: no window is lost, shadows are compared, and bad models go back."""

import threading

import numpy as np
import pytest
from support.tiny_bundle import write_tiny_bundle

from edgehar import Classifier, ModelBundle
from edgehar.config import CameraOptions, Config
from edgehar.events.decider import Decider
from edgehar.events.options import DecisionOptions
from edgehar.model.network import Network
from edgehar.model.options import ModelsOptions
from edgehar.model.takeover import Comparison, State, Takeovers
from edgehar.pipeline.model_keeper import KeptModel, ModelKeeper, why_not
from edgehar.pipeline.stream import Stream
from edgehar.records import Event, Prediction

RATE_HZ = 10.0


class Rig:
    """A stream whose frames are pushed by hand, and the keeper of its model, on threads as in a run."""

    def __init__(self, folder, *, most=10.0, now_s=0.0):
        self.configured = ModelBundle.open(
            write_tiny_bundle(folder / "base.edgehar", name="base", threshold=0.6, background=["dark"])
        )
        self.network = Network(self.configured)
        self.classifier = Classifier(self.network, hop=1, source_name="hall")
        self.stream = Stream(lambda: None, self.classifier, self.decider(None, self.configured), name="hall")
        self.takeovers, self.now_s = Takeovers(folder / "models"), now_s
        self.requests, self.emitted, self.changes = [], [], []
        config = Config(cameras=[CameraOptions()], models=ModelsOptions(swap=True, rollback_alarms_per_hour=most))
        self.keeper = ModelKeeper(
            self.takeovers,
            [KeptModel("base", self.configured, self.network, [self.stream], self.decider, State(model="base"))],
            config,
            request=self.requests.append,
            emit=self.emitted.extend,
            on_change=lambda before, after: self.changes.append((before.manifest.name, after.manifest.name)),
            poll_s=0.005,
            clock=lambda: self.now_s,
        )
        for model in self.keeper._models:
            for stream in model.streams:
                stream.on_event = lambda event, model=model: self.keeper._count(model, event)
        self.number = 0

    def decider(self, _stream, bundle):
        return Decider(bundle.manifest.labels, DecisionOptions(), bundle.manifest.decision)

    def look(self):
        """Have the keeper look once in its thread, while this one does what it requests."""
        thread = threading.Thread(target=self.keeper.look)
        thread.start()
        while thread.is_alive() or self.requests:
            while self.requests:
                self.requests.pop(0)()
            thread.join(0.001)

    def push(self, level):
        frame = np.full((32, 32, 3), level, np.uint8)
        prediction = self.classifier.push(frame, captured_s=self.number / RATE_HZ)
        self.number += 1
        return self.stream._decide(prediction)


@pytest.fixture
def rig(tmp_path):
    return Rig(tmp_path)


def bundle(rig, name, gain, **decision):
    rules = {"threshold": 0.6, "background": ["dark"], **decision}
    return ModelBundle.open(
        write_tiny_bundle(rig.takeovers.folder.parent / f"{name}.edgehar", name=name, gain=gain, **rules)
    )


def test_swaps_lose_no_window_and_every_answer_is_of_the_head_of_its_time(rig):
    heads = {name: bundle(rig, name, gain) for name, gain in (("a", 6.0), ("b", 12.0))}
    rng = np.random.default_rng(3)
    levels = rng.integers(60, 200, 120).tolist()
    answers, expected_model = [], []
    for number, level in enumerate(levels):
        if number > 3 and number % 3 == 2:
            name = "ab"[number // 3 % 2]
            rig.takeovers.put("base", heads[name], shadow_s=0)
            rig.look()
        records = rig.push(level)
        answers += [record for record in records if isinstance(record, Prediction)]
        if number >= 3:
            expected_model.append(rig.network.bundle.manifest.name)
    assert len(rig.changes) == 39
    assert [answer.seq for answer in answers] == list(range(117))
    assert [answer.model for answer in answers] == expected_model
    assert set(expected_model) == {"base", "a", "b"}
    ends = [round(answer.window.end_s * RATE_HZ) for answer in answers]
    assert ends == list(range(3, 120))
    # The same frames without any swap.
    for name, model in {**heads, "base": rig.configured}.items():
        with Classifier(model, hop=1) as alone:
            whole = [found for level in levels if (found := alone.push(np.full((32, 32, 3), level, np.uint8)))]
        for answer, reference in zip(answers, whole, strict=True):
            if answer.model == name:
                np.testing.assert_array_equal(answer.raw, reference.raw)


def test_an_open_event_ends_at_a_swap(rig):
    for _ in range(6):
        rig.push(250)
    rig.takeovers.put("base", bundle(rig, "a", 6.0), shadow_s=0)
    rig.look()
    (end,) = [record for record in rig.emitted if isinstance(record, Event)]
    assert (end.phase, end.model, end.label) == ("end", "base", "bright")


def test_a_shadow_answers_without_events_and_takes_over(rig):
    rig.takeovers.put("base", bundle(rig, "a", 30.0), shadow_s=2.0)
    rig.look()
    records = [record for _ in range(15) for record in rig.push(100)]
    assert {record.model for record in records} == {"base"}
    assert rig.stream.shadow.comparison.answers == 12
    rig.look()
    assert rig.takeovers.state("base").candidate is not None
    for _ in range(15):
        rig.push(100)
    rig.look()
    rig.look()
    state = rig.takeovers.state("base")
    assert (state.active.name, state.candidate) == ("a", None)
    assert state.comparison.hours * 3600 >= 2.0
    assert rig.network.bundle.manifest.name == "a"
    assert rig.stream.shadow is None


def test_a_shadow_that_would_alarm_more_does_not_take_over(rig, caplog):
    rig.takeovers.put("base", bundle(rig, "loud", 16.0, thresholds={"bright": 0.05, "dark": 0.99}), shadow_s=1.0)
    rig.look()
    for _ in range(20):
        rig.push(110)
    rig.look()
    rig.look()
    state = rig.takeovers.state("base")
    assert state.active is None
    assert state.candidate is None
    assert "would have started 1 events where the present model started 0" in state.note
    assert rig.stream.shadow is None
    assert "does not take over" in caplog.text


def test_too_many_alarms_roll_back(tmp_path):
    rig = Rig(tmp_path, most=3.0)
    rig.takeovers.put("base", bundle(rig, "a", 6.0, refractory_s=0.0), shadow_s=0)
    rig.look()
    assert rig.network.bundle.manifest.name == "a"
    for _ in range(5):
        for level in (250,) * 5 + (10,) * 5:
            rig.push(level)
    rig.look()
    rig.look()
    assert rig.network.bundle.manifest.name == "base"
    assert "rolled back: 5 events started within an hour" in rig.takeovers.state("base").note


def test_alarms_of_more_than_an_hour_ago_do_not_count(tmp_path):
    rig = Rig(tmp_path, most=3.0)
    rig.takeovers.put("base", bundle(rig, "a", 6.0), shadow_s=0)
    rig.look()
    for _ in range(5):
        rig.now_s += 1801.0
        for level in (250,) * 5 + (10,) * 5:
            rig.push(level)
        rig.look()
    assert rig.network.bundle.manifest.name == "a"


def test_another_encoder_is_refused_and_the_present_model_goes_on(rig, caplog, tmp_path):
    other = ModelBundle.open(write_tiny_bundle(tmp_path / "other.edgehar", name="other", size=12))
    rig.takeovers.put("base", other, shadow_s=0)
    rig.look()
    rig.look()
    assert rig.network.bundle.manifest.name == "base"
    assert rig.takeovers.state("base").active is None
    assert "another encoder" in rig.takeovers.state("base").note
    assert "the present model goes on" in caplog.text


def test_a_bundle_that_is_gone_is_refused(rig):
    active = rig.takeovers.put("base", bundle(rig, "a", 6.0), shadow_s=0).active
    rig.takeovers.path_of("base", active).unlink()
    rig.look()
    assert rig.takeovers.state("base").active is None
    assert len(rig.push(250)) == 0


def test_a_damaged_state_is_said_once_and_changes_nothing(rig, caplog):
    rig.takeovers.put("base", bundle(rig, "a", 6.0), shadow_s=0)
    next(rig.takeovers.folder.glob("*/state.json")).write_text("{")
    for _ in range(3):
        rig.look()
    assert caplog.text.count(": damaged: ") == 1
    assert rig.network.bundle.manifest.name == "base"


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (Comparison(hours=1, alarms=2, shadow_alarms=2), None),
        (Comparison(hours=1, alarms=0, shadow_alarms=1), "1 events where the present model started 0"),
        (Comparison(hours=1, alarms=0, shadow_alarms=1, new_alarms=1), None),
        (Comparison(hours=1, alarms=0, shadow_alarms=11, new_alarms=11), "11 events in 1 hours"),
        (Comparison(hours=0.001, alarms=0, shadow_alarms=1, new_alarms=1), None),
    ],
)
def test_the_rule(found, words):
    why = why_not(found, 10.0)
    assert why is None if words is None else words in why


def test_a_new_candidate_is_not_judged_by_what_the_one_before_it_answered(rig):
    rig.takeovers.put("base", bundle(rig, "a", 6.0), shadow_s=3600)
    rig.look()
    for _ in range(60):
        rig.push(100)
    rig.takeovers.put("base", bundle(rig, "b", 7.0), shadow_s=2)
    rig.look()
    state = rig.takeovers.state("base")
    assert (state.active, state.candidate.name) == (None, "b")


def test_an_unsigned_bundle_is_refused_before_its_networks_run(rig, monkeypatch, tmp_path):
    rig.keeper._options = ModelsOptions(swap=True, require_signed=True, trusted_keys=str(tmp_path / "none"))
    tried = []
    monkeypatch.setattr("edgehar.inspect.trial.check", tried.append)
    rig.takeovers.put("base", bundle(rig, "a", 6.0), shadow_s=0)
    rig.look()
    assert "is not signed" in rig.takeovers.state("base").note
    assert tried == []
