"""Mode stateful: all frames since the start, in a state that can be saved, and is only given to the model it is of."""

import msgspec
import numpy as np
import pytest
from support.helpers import assert_one_line_error, predictions, run_command
from support.tiny_bundle import write_tiny_bundle

from edgehar import BundleError, Classifier, ConfigError, ModelBundle
from edgehar.model.bundle import write_bundle
from edgehar.model.history import SavedState
from edgehar.model.network import Network

WINDOW = 4


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    path = tmp_path_factory.mktemp("bundle") / "tiny.edgehar"
    return ModelBundle.open(write_tiny_bundle(path, window=WINDOW, stateful=True))


def levels(*values):
    return [np.full((24, 32, 3), value, np.uint8) for value in values]


def answers(classifier, frames):
    return [answer for frame in frames if (answer := classifier.push(frame)) is not None]


def test_it_answers_like_the_recurrence_it_is(bundle):
    frames = levels(250, 10, 200, 30, 90, 180, 220, 0, 255)
    with Classifier(bundle, hop=1, mode="stateful") as classifier:
        got = [answer.scores["bright"] for answer in answers(classifier, frames)]
    mean, expected = 0.0, []
    for frame in frames:
        mean = (mean + frame[0, 0, 0] / 255) / 2
        expected.append(1 / (1 + np.exp(-32 * (mean - 0.5))))
    assert got == pytest.approx(expected[WINDOW - 1 :], abs=0.1)
    assert max(got) > 0.9 > 0.1 > min(got)


def test_it_answers_as_often_as_mode_window_and_tells_of_the_whole_history(bundle):
    frames = levels(*range(0, 240, 20))
    with Classifier(bundle, hop=2, mode="stateful") as stateful, Classifier(bundle, hop=2) as window:
        both = [answers(classifier, frames) for classifier in (stateful, window)]
    assert [a.seq for a in both[0]] == [a.seq for a in both[1]] == [0, 1, 2, 3, 4]
    assert [a.window.frames for a in both[0]] == [4, 6, 8, 10, 12]
    assert [a.window.frames for a in both[1]] == [4] * 5
    assert {a.window.start_s for a in both[0]} == {0.0}
    assert all(a.rate_ok for a in both[0])


def test_a_short_clip_is_answered_from_its_few_steps(bundle):
    with Classifier(bundle, mode="stateful") as classifier:
        assert classifier.flush() is None
        assert answers(classifier, levels(255, 255)) == []
        answer = classifier.flush()
    assert (answer.label, answer.window.frames) == ("bright", 2)


def test_a_reset_begins_a_new_history(bundle):
    frames = levels(10, 240, 10, 240, 10)
    with Classifier(bundle, hop=1, mode="stateful") as classifier:
        first = [a.raw.tobytes() for a in answers(classifier, frames)]
        classifier.reset()
        assert [a.raw.tobytes() for a in answers(classifier, frames)] == first


def test_streams_that_share_a_network_have_a_history_each(bundle):
    with Network(bundle) as network:
        bright, dark = (Classifier(network, hop=1, mode="stateful") for _ in range(2))
        for frame in levels(*[255] * 8):
            one, other = bright.push(frame), dark.push(255 - frame)
        assert (one.label, other.label) == ("bright", "dark")
        network.reload()
        assert bright.push(frame).label == "bright"


@pytest.mark.parametrize("cut", [1, 3, 5, 9])
def test_a_saved_state_goes_on_as_if_there_had_been_no_break(bundle, cut):
    frames = levels(*np.random.default_rng(cut).integers(0, 256, 14))
    with Classifier(bundle, hop=2, mode="stateful") as whole:
        expected = [(a.raw.tobytes(), a.window.frames) for a in answers(whole, frames)]
    with Classifier(bundle, hop=2, mode="stateful") as before:
        got = [(a.raw.tobytes(), a.window.frames) for a in answers(before, frames[:cut])]
        state = before.state()
    assert isinstance(state, bytes)
    with Classifier(bundle, hop=2, mode="stateful") as after:
        after.restore(state)
        assert after.frames_seen == cut
        assert after.flush() is None
        got += [(a.raw.tobytes(), a.window.frames) for a in answers(after, frames[cut:])]
        assert after.state() != state
    assert got == expected


def damaged(state, **changes):
    return msgspec.msgpack.encode(msgspec.structs.replace(msgspec.msgpack.decode(state, type=SavedState), **changes))


def test_a_state_that_cannot_be_used_changes_nothing(bundle, tmp_path):
    with Classifier(bundle, hop=1, mode="stateful") as classifier:
        answers(classifier, levels(255, 255, 255, 255))
        state = classifier.state()
        for wrong, why in (
            (b"", "damaged"),
            (b"\xc1", "damaged"),
            (state[:-3], "damaged"),
            (damaged(state, version=2), "version 2, this edgehar reads up to 1; update"),
            (damaged(state, states=[b"short"]), "its sizes are not"),
            (damaged(state, states=[]), "its sizes are not"),
            (damaged(state, scores=b""), "its sizes are not"),
            (damaged(state, frames=-1), "damaged"),
            (damaged(state, digest="0" * 64), "networks differ"),
        ):
            with pytest.raises(ConfigError, match=why):
                classifier.restore(wrong)
            assert classifier.state() == state
    other = write_tiny_bundle(tmp_path / "other.edgehar", size=20, stateful=True)
    with Classifier(other, mode="stateful") as stranger, pytest.raises(ConfigError, match="'tiny', whose networks"):
        stranger.restore(state)


def test_mode_window_has_no_state_and_other_modes_are_none(bundle):
    with Classifier(bundle) as classifier:
        for call in (classifier.state, lambda: classifier.restore(b"")):
            with pytest.raises(ConfigError, match='only mode "stateful" has a state to save'):
                call()
    with pytest.raises(ConfigError, match="it must be window or stateful"):
        Classifier(bundle, mode="steps")


def test_a_bundle_without_the_network_says_so(tmp_path):
    path = write_tiny_bundle(tmp_path / "plain.edgehar")
    with pytest.raises(ConfigError, match=r"contains no one-step network \(step\.tflite\)"):
        Classifier(path, mode="stateful")
    done = run_command("edgehar-run", "--model", path, "--source", "synthetic:walking", "--mode", "stateful")
    assert_one_line_error(done, 2, "no one-step network", "use mode window")


def test_step_and_manifest_go_together(bundle, tmp_path):
    files, path = bundle.files, tmp_path / "half.edgehar"
    write_bundle(path, msgspec.structs.replace(bundle.manifest, stateful=None), files)
    with pytest.raises(BundleError, match="need each other"):
        ModelBundle.open(path)
    files.pop("step.tflite")
    write_bundle(path, bundle.manifest, files)
    with pytest.raises(BundleError, match="need each other"):
        ModelBundle.open(path)


def test_states_that_are_not_as_the_manifest_says_are_refused(bundle, tmp_path):
    state = msgspec.structs.replace(bundle.manifest.stateful.states[0], size=9)
    about = msgspec.structs.replace(
        bundle.manifest, stateful=msgspec.structs.replace(bundle.manifest.stateful, states=[state])
    )
    path = tmp_path / "wrong.edgehar"
    write_bundle(path, about, bundle.files)
    with pytest.raises(BundleError, match=r"step\.tflite: inputs"):
        Classifier(path, mode="stateful")


def test_the_command_and_the_configuration_take_the_mode(bundle, tmp_path):
    source = "synthetic:walking?duration_s=2&rate_hz=10"
    done = run_command("edgehar-run", "--model", bundle.path, "--source", source, "--mode", "stateful", "--hop", 4)
    assert done.returncode == 0, done.stderr
    assert [p["window"]["frames"] for p in predictions(done.stdout)] == [4, 8, 12, 16, 20]
    config = tmp_path / "edgehar.toml"
    config.write_text(f'model = "{bundle.path}"\nhop = 4\nmode = "stateful"\n[[camera]]\nsource = "{source}"\n')
    again = run_command("edgehar-run", "--config", config)
    assert [p["scores"] for p in predictions(again.stdout)] == [p["scores"] for p in predictions(done.stdout)]
