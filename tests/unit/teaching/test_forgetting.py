"""What a new head forgets is measured on remembered windows, and a correction that forgets reaches less far."""

import hashlib

import msgspec
import numpy as np
import pytest
from support.samples import sample_manifest

from edgehar import BundleError, ModelBundle
from edgehar.model.bundle import write_bundle
from edgehar.model.manifest import Affine, Decision
from edgehar.model.remembered import REMEMBERED_FILE, RememberedWindows, parse
from edgehar.teaching.forgetting import Kept, Memory, named, read_memory
from edgehar.teaching.head import Correction, Gate
from edgehar.teaching.lesson import Method
from edgehar.teaching.teach import _fit

LABELS = ("fight", "none")
HEAD = b"head"
RULES = Decision(threshold=0.6, background=["none"])


def gate(radius=1.0):
    """All windows up to this squared distance from 0."""
    ones = np.ones(1, np.float32)
    return Gate(np.ones(3, np.float32), np.zeros((1, 3), np.float32), radius * ones, 0 * ones, (0,))


def to_none(radius=1.0):
    """A correction that calls what is near `none`."""
    return Correction(np.zeros((3, 2), np.float32), np.array([-20.0, 20.0], np.float32), gate(radius))


def memory(distances, scores=0.9, rules=RULES):
    """Windows of fights at these squared distances from what is taught."""
    pooled = np.zeros((len(distances), 3), np.float32)
    pooled[:, 0] = np.sqrt(distances)
    score = np.broadcast_to(scores, len(distances))
    logits = np.stack([np.log(score / (1 - score)), np.zeros(len(distances))], axis=1).astype(np.float32)
    codes = np.zeros((len(distances), 3), np.int8)
    windows = RememberedWindows(hashlib.sha256(HEAD).hexdigest(), LABELS, np.zeros(len(distances), int), logits, codes)
    return Memory(windows, pooled, rules)


def test_only_windows_that_the_old_head_names_can_be_forgotten():
    found = memory([0.1, 0.1, 9.0, 9.0], scores=[0.9, 0.5, 0.9, 0.5]).kept(to_none(), LABELS, RULES)
    assert found == {"fight": Kept(2, 1)}


def test_what_became_background_is_not_counted():
    rules = msgspec.structs.replace(RULES, background=["none", "fight"])
    assert memory([9.0]).kept(to_none(), LABELS, rules) == {}


@pytest.mark.parametrize(
    ("before", "after", "forgotten"), [(0, 0, False), (100, 97, False), (100, 96, True), (9, 8, True)]
)
def test_three_in_a_hundred_may_be_lost(before, after, forgotten):
    assert Kept(before, after).forgotten == forgotten


def test_a_window_is_named_by_its_threshold_as_evidence_or_score():
    logits = np.log(np.array([[0.55, 0.45], [0.7, 0.3], [0.9, 0.1]]))
    truth = np.zeros(3, int)
    assert named(logits, truth, LABELS, RULES).tolist() == [False, True, True]
    evidence = Decision(threshold=0.5, background=["none"], evidence_from=0.6, evidence_to=0.95)
    assert named(logits, truth, LABELS, evidence).tolist() == [False, False, True]
    assert named(logits, truth, LABELS, Decision(background=["none"])).tolist() == [True, True, True]
    assert named(logits[:, ::-1], truth, LABELS, Decision(background=["none"])).tolist() == [False, False, False]


class OneLesson:
    """A lesson that gives one correction."""

    def best_method(self, indices):
        return Method(0.001)

    def fit(self, indices, method):
        return to_none()


@pytest.mark.parametrize(
    ("distances", "reach", "kept"),
    [
        ([9.0, 9.0], 1.0, Kept(2, 2)),
        ([1.1, 9.0], 0.7, Kept(2, 2)),
        ([0.8, 9.0], 0.5, Kept(2, 2)),
        ([0.6, 9.0], 0.35, Kept(2, 2)),
        ([0.01, 9.0], 0.35, Kept(2, 1)),
        ([1.1] + [9.0] * 99, 1.0, Kept(100, 99)),
    ],
)
def test_a_correction_that_forgets_reaches_less_far(distances, reach, kept):
    method, correction, found = _fit(OneLesson(), 3, memory(distances), LABELS, RULES)
    assert (method.reach, found) == (reach, {"fight": kept})
    assert np.allclose(correction.gate.radii, reach)


def test_without_remembered_windows_nothing_is_measured():
    method, correction, found = _fit(OneLesson(), 3, None, LABELS, RULES)
    assert (method.reach, found) == (1.0, None)
    assert np.allclose(correction.gate.radii, 1.0)


def test_the_new_bundle_remembers_the_answers_of_its_own_head():
    old = memory([0.1, 9.0])
    read = parse(old.taught(to_none(), LABELS, b"new"), "x")
    assert read.head == hashlib.sha256(b"new").hexdigest()
    assert np.allclose(read.logits, to_none().logits(old.windows.logits, old.pooled), atol=1e-5)
    assert named(read.logits, read.truth, LABELS, RULES).tolist() == [False, True]


def bundle(path, windows):
    files = {
        "encoder.tflite": b"encoder",
        "head.tflite": HEAD,
        "window.tflite": b"window",
        "MODEL_CARD.md": b"# card\n",
    }
    files |= {} if windows is None else {REMEMBERED_FILE: windows.pack()}
    write_bundle(path, sample_manifest(LABELS), files)
    return ModelBundle.open(path)


def test_a_bundle_remembers_what_was_written(tmp_path):
    windows = memory([1.0, 2.0]).windows
    found = read_memory(bundle(tmp_path / "a.edgehar", windows))
    assert np.array_equal(found.windows.logits, windows.logits)
    seam = sample_manifest(LABELS).quantization.seam
    assert isinstance(seam, Affine)
    assert np.array_equal(found.pooled, windows.pooled(seam))
    assert read_memory(bundle(tmp_path / "b.edgehar", None)) is None


def test_windows_of_another_head_or_model_are_not_used(tmp_path, caplog):
    windows = memory([1.0]).windows
    other = RememberedWindows("cd" * 32, windows.labels, windows.truth, windows.logits, windows.codes)
    assert read_memory(bundle(tmp_path / "a.edgehar", other)) is None
    assert "of another head" in caplog.text
    renamed = RememberedWindows(windows.head, ("punch", "none"), windows.truth, windows.logits, windows.codes)
    with pytest.raises(BundleError, match="labels differ"):
        read_memory(bundle(tmp_path / "b.edgehar", renamed))
