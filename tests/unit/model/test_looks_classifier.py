"""A bundle with two looks: when it answers, what it answers, and what a mask hides from both looks."""

import json
import zipfile

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.samples import sample_manifest
from support.tiny_bundle import write_tiny_looks_bundle

from edgehar import BundleError, Classifier, Frame, LookResizer, ModelBundle, PixelFormat
from edgehar.inspect.verify import verify
from edgehar.model.bundle import manifest_json
from edgehar.model.interpreter import TfliteModel
from edgehar.model.manifest import least_schema_version

WINDOW, LEAD_IN = 4, 2
FIRST = WINDOW + LEAD_IN


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return ModelBundle.open(write_tiny_looks_bundle(tmp_path_factory.mktemp("looks") / "tiny.edgehar", window=WINDOW))


def scene(count, seed=0, shape=(48, 64)):
    """Gray pictures with a bright block that wanders and whose contrast changes, BGR."""
    rng = np.random.default_rng(seed)
    pictures = np.full((count, *shape, 3), 60, np.uint8)
    for picture in pictures:
        top, left = rng.integers(0, shape[0] - 10), rng.integers(0, shape[1] - 10)
        picture[top : top + 10, left : left + 10] = rng.integers(0, 256)
    return pictures


def recent_inputs(bundle, pictures):
    resizer = bundle.make_resizer()
    return np.stack([resizer.resize(picture) for picture in pictures])


@settings(max_examples=25, deadline=None)
@given(hop=st.integers(1, WINDOW), count=st.integers(1, 20), seed=st.integers(0, 99))
def test_streaming_equals_the_whole_window_model_after_the_lead_in(bundle, hop, count, seed):
    whole = TfliteModel(bundle.read("window.tflite"), name="window.tflite")
    pictures = scene(count, seed)
    inputs = recent_inputs(bundle, pictures)
    assert inputs.shape == (count, 2, 12, 12, 3)
    with Classifier(bundle, hop=hop) as classifier:
        for seen, picture in enumerate(pictures, 1):
            prediction = classifier.push(picture)
            assert (prediction is not None) == (seen >= FIRST and (seen - FIRST) % hop == 0)
            if prediction is not None:
                assert prediction.raw.tobytes() == whole.run(inputs[seen - WINDOW : seen]).tobytes()


@pytest.mark.parametrize("count", range(1, FIRST + 1))
def test_a_short_clip_gets_one_answer_about_its_last_window(bundle, count):
    whole = TfliteModel(bundle.read("window.tflite"), name="window.tflite")
    pictures = scene(count, seed=7)
    inputs = recent_inputs(bundle, pictures)
    padded = np.concatenate([np.repeat(inputs[:1], max(0, WINDOW - count), axis=0), inputs])[-WINDOW:]
    with Classifier(bundle) as classifier:
        answers = [answer for picture in pictures if (answer := classifier.push(picture)) is not None]
        answers += [answer] if (answer := classifier.flush()) is not None else []
    assert [answer.raw.tobytes() for answer in answers] == [whole.run(padded).tobytes()]


def test_movement_is_told_from_stillness(bundle):
    still, moving = [scene(1)[0]] * 12, scene(12)
    with Classifier(bundle) as classifier:
        quiet = [a.scores["bright"] for p in still if (a := classifier.push(p)) is not None]
        classifier.reset()
        loud = [a.scores["bright"] for p in moving if (a := classifier.push(p)) is not None]
    assert len(quiet) == len(loud) == 4
    assert max(quiet) < 0.01 < 0.05 < min(loud)


def test_the_place_of_the_crop_is_told(bundle, tmp_path):
    from support.tiny_bundle import write_tiny_bundle

    pictures = np.full((2, 48, 64, 3), 60, np.uint8)
    pictures[1, 40:44, 4:8] = 250
    with Classifier(bundle) as classifier:
        for picture in pictures:
            classifier.push(picture)
        x, y, width, height = classifier.look_place
        assert (width, height) == (0.375, 0.5)
        assert x <= 4 / 64 < 8 / 64 <= x + width
        assert y <= 40 / 48 < 44 / 48 <= y + height
    with Classifier(write_tiny_bundle(tmp_path / "one.edgehar")) as classifier:
        assert classifier.look_place is None


def test_verify_finds_no_byte(bundle):
    verdict = verify(bundle, windows=200)
    assert verdict.identical
    assert verdict.windows >= 200
    assert len(verdict.answers) > 20


MASKS = (((0.0, 0.0), (0.5, 0.0), (0.5, 0.5), (0.0, 0.5)),)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), region=st.sampled_from([None, (0.25, 0.0, 0.75, 1.0)]))
def test_what_moves_under_a_mask_changes_neither_look(bundle, seed, region):
    rng = np.random.default_rng(seed)
    seen = scene(FIRST, seed)
    hidden = seen.copy()
    hidden[:, :24, :32] = rng.integers(0, 256, (FIRST, 24, 32, 3), np.uint8)
    inputs, places = [], []
    for pictures in (seen, hidden):
        with Classifier(bundle, region=region, masks=MASKS) as classifier:
            for picture in pictures:
                classifier.push(picture)
                inputs.append(classifier._network.encoder.input_view().copy())
                places.append(classifier.look_place)
    half = len(inputs) // 2
    np.testing.assert_array_equal(inputs[:half], inputs[half:])
    assert places[:half] == places[half:]


def test_a_mask_does_not_hide_what_moves_beside_it(bundle):
    picture = np.full((48, 64, 3), 60, np.uint8)
    moved = picture.copy()
    moved[40:44, 56:60] = 250
    moved[4:20, 4:24] = 250
    with Classifier(bundle, masks=MASKS) as classifier:
        classifier.push(picture)
        classifier.push(moved)
        x, y, width, height = classifier.look_place
        assert x <= 56 / 64 < 60 / 64 <= x + width
        assert y <= 40 / 48 < 44 / 48 <= y + height
        assert classifier._network.encoder.input_view().any()


def test_frames_may_change_their_size_under_a_mask(bundle):
    with Classifier(bundle, masks=MASKS) as classifier:
        classifier.push(scene(1)[0])
        classifier.push(scene(1, shape=(96, 64))[0])
        big = np.full((96, 64, 3), 60, np.uint8)
        big[:48, :32] = 255
        classifier.push(Frame(big, PixelFormat.BGR24, 5.0, 0.0, 3))
    assert classifier.frames_seen == 3


def test_the_ring_holds_the_windows_that_the_network_sees(bundle):
    assert isinstance(bundle.make_resizer(), LookResizer)
    pictures = scene(11, seed=3)
    inputs = recent_inputs(bundle, pictures)
    with bundle.make_ring() as ring:
        with pytest.raises(RuntimeError, match="no latest frame"):
            ring.latest()
        for index, picture in enumerate(pictures):
            assert ring.push(picture) == index
            np.testing.assert_array_equal(ring.latest(), inputs[index])
            if index + 1 < WINDOW:
                with pytest.raises(RuntimeError, match=f"takes {WINDOW} frames and {index + 1} were pushed"):
                    ring.window()
            else:
                np.testing.assert_array_equal(ring.window(), inputs[index + 1 - WINDOW : index + 1])
        assert not ring.window().flags.writeable
        ring.reset()
        out = np.empty((2, 12, 12, 3), np.int8)
        ring.shrink_into(pictures[0], out)
        np.testing.assert_array_equal(out, inputs[0])
        assert ring.count == 0
    with pytest.raises(ValueError, match="closed"):
        ring.push(pictures[0])


def test_only_bundles_with_looks_need_a_newer_edgehar(bundle):
    assert bundle.manifest.schema_version == 3
    plain = sample_manifest(motion="grey-difference")
    assert least_schema_version(plain) == 1
    stored = json.loads(manifest_json(plain))
    assert not {"looks", "crop_side"} & stored["input"].keys()
    assert "lead_in" not in stored["temporal"]
    steady = msgspec.structs.replace(
        bundle.manifest, input=msgspec.structs.replace(bundle.manifest.input, stabilize=True)
    )
    assert least_schema_version(steady) == 4
    lit = msgspec.structs.replace(
        bundle.manifest, input=msgspec.structs.replace(bundle.manifest.input, steady_light=True)
    )
    assert least_schema_version(lit) == 5
    assert not {"stabilize", "steady_light"} & json.loads(manifest_json(bundle.manifest))["input"].keys()
    later = msgspec.structs.replace(plain, temporal=msgspec.structs.replace(plain.temporal, lead_in=2))
    assert least_schema_version(later) == 3


def test_bundles_made_before_steady_light_are_as_they_were():
    for name in ("fall", "interactions"):
        shipped = ModelBundle.open(name)
        assert not shipped.manifest.input.steady_light
        assert "steady_light" not in json.loads(manifest_json(shipped.manifest))["input"]
        with shipped.make_resizer() as resizer:
            assert not getattr(resizer, "steady_light", False)


@pytest.mark.parametrize(
    ("section", "change", "message"),
    [
        ("input", {"crop_side": None}, "looks and crop_side need each other"),
        ("input", {"looks": None}, "looks and crop_side need each other"),
        ("input", {"motion": "none"}, "looks need motion grey-difference"),
        ("input", {"looks": ["crop"]}, r"\$.input.looks"),
        ("input", {"looks": ["whole", "whole"]}, r"\$.input.looks"),
        ("input", {"crop_side": 122}, r"multiple of 4.*\$.input.crop_side"),
        ("input", {"crop_side": 400}, r"\$.input.crop_side"),
        ("input", {"stabilize": True, "looks": None, "crop_side": None}, "stabilize needs looks"),
        ("input", {"stabilize": True, "crop": "letterbox"}, "stabilize needs crop stretch or center"),
        ("input", {"stabilize": 1}, r"\$.input.stabilize"),
        ("input", {"steady_light": True, "looks": None, "crop_side": None}, "steady_light needs looks"),
        ("input", {"steady_light": 1}, r"\$.input.steady_light"),
        ("temporal", {"lead_in": -1}, r"\$.temporal.lead_in"),
    ],
)
def test_wrong_looks_are_refused(bundle, tmp_path, section, change, message):
    path = tmp_path / "wrong.edgehar"
    with zipfile.ZipFile(bundle.path) as archive, zipfile.ZipFile(path, "w") as altered:
        for name in archive.namelist():
            content = archive.read(name)
            if name == "manifest.json":
                manifest = json.loads(content)
                manifest[section].update(change)
                content = json.dumps(manifest).encode()
            altered.writestr(name, content)
    with pytest.raises(BundleError, match=message):
        ModelBundle.open(path)
