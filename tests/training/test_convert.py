"""Conversion of a small run of random weights: what is written, what is refused, and what a crash leaves."""

import io
import os
import resource
import shutil
import signal
import time
import zipfile
from pathlib import Path

import msgspec
import numpy as np
import pytest
from support.helpers import assert_one_line_error, start_command

pytest.importorskip("tensorflow", reason="needs the train extra")

from support.small_run import SPLIT, WINDOW, small_run
from support.warm import run_command

from edgehar import Classifier, ModelBundle
from edgehar.errors import ConfigError, ConversionError, DatasetError
from edgehar.model.interpreter import TfliteModel
from edgehar.model.manifest import Decision, Manifest
from edgehar.model.remembered import REMEMBERED_FILE, parse
from edgehar.teaching.forgetting import read_memory
from edgehar_training.models import build
from edgehar_training.quantize.calibration import calibration_windows
from edgehar_training.quantize.child import convert_networks
from edgehar_training.quantize.convert import convert_run
from edgehar_training.quantize.file_checks import check_identity, operators
from edgehar_training.quantize.options import ConvertOptions
from edgehar_training.settings import NetworkSettings

pytestmark = pytest.mark.training

WORKER = "edgehar_training.quantize.worker"


@pytest.fixture(scope="module")
def motion_run(tmp_path_factory):
    return small_run(tmp_path_factory.mktemp("motion"), kind="motion")


@pytest.fixture(scope="module")
def rgb_run(tmp_path_factory):
    return small_run(tmp_path_factory.mktemp("rgb"), spoil_int8=True)


@pytest.fixture(scope="module")
def converted(motion_run, tmp_path_factory):
    """The conversion of the motion run, in this process and its child."""
    out = tmp_path_factory.mktemp("out") / "small.edgehar"
    decision = Decision(threshold=0.4, background=["left"])
    notes = "Blocks that move over noise."
    options = ConvertOptions(hop=3, notes=notes, decision=decision, evaluation=motion_run.path)
    return convert_run(motion_run.path, out, options)


@pytest.fixture
def spare_run(motion_run, tmp_path):
    """A copy of the run's folder to damage."""
    return Path(shutil.copytree(motion_run.path, tmp_path / "run"))


def test_bundle_opens_and_says_what_it_is(converted):
    manifest = ModelBundle.open(converted.path).manifest
    assert manifest == converted.manifest
    assert (manifest.name, manifest.labels) == ("small", ["left", "right"])
    assert (manifest.input.motion, manifest.input.height, manifest.input.width) == ("grey-difference", 60, 60)
    assert (manifest.temporal.window, manifest.temporal.rate_hz, manifest.temporal.hop) == (WINDOW, 25.0, 3)
    assert manifest.decision == Decision(threshold=0.4, background=["left"])
    assert manifest.provenance.parity.clips == len(SPLIT.val)


def test_quantization_is_exactly_the_devices(converted):
    quantization = converted.manifest.quantization
    encoder = TfliteModel(converted.files["encoder.tflite"], name="encoder")
    head = TfliteModel(converted.files["head.tflite"], name="head")
    whole = TfliteModel(converted.files["window.tflite"], name="window")
    assert quantization.input.scale == np.float32(1 / 255)
    assert quantization.input.zero_point == 0
    assert encoder.input_quantization == whole.input_quantization == quantization.input
    assert encoder.output_quantization == head.input_quantization == quantization.seam
    assert head.output_quantization == whole.output_quantization == quantization.output
    assert (quantization.output.scale, quantization.output.zero_point) == (1 / 256, -128)


def test_only_plain_int8_operations(converted):
    assert set(operators(converted.files["encoder.tflite"])) == {"CONV_2D", "MAX_POOL_2D", "RESHAPE"}
    plain = {"FULLY_CONNECTED", "STRIDED_SLICE", "LOGISTIC", "TANH", "MUL", "ADD", "SOFTMAX", "QUANTIZE"}
    assert set(operators(converted.files["head.tflite"])) <= plain


def test_streaming_equals_the_window_model_on_random_windows(converted):
    files = [converted.files[f"{name}.tflite"] for name in ("encoder", "head", "window")]
    windows = np.random.default_rng(1).integers(-128, 128, (40, WINDOW, 60, 60, 3)).astype(np.int8)
    assert check_identity(*files, windows) == 40


def test_stateful_mode_agrees_with_the_window_after_one_window(converted, motion_run):
    stateful = converted.manifest.stateful
    assert stateful is not None
    assert [state.name for state in stateful.states] == ["hidden", "cell"]
    pixels = np.random.default_rng(4).integers(0, 256, (3 * WINDOW, 60, 60, 3), np.uint8)
    with Classifier(converted.path, hop=1) as window, Classifier(converted.path, hop=1, mode="stateful") as history:
        for begin in range(0, len(pixels), WINDOW):
            window.reset()
            history.reset()
            answers = [(window.push(frame), history.push(frame)) for frame in pixels[begin : begin + WINDOW]][-1]
            assert answers[1].scores == pytest.approx(answers[0].scores, abs=0.1)
        longer = [answer for frame in pixels if (answer := history.push(frame)) is not None][-1]
    assert longer.window.frames == 4 * WINDOW


def test_classifier_gives_the_scores_that_parity_was_measured_on(converted, motion_run):
    clip = motion_run.clips("val")[0]
    with Classifier(converted.path, hop=2) as classifier:
        answer = classifier.classify(clip.path)
    measured = converted.comparison.int8_result.clip_scores[0]
    assert np.allclose(list(answer.scores.values()), measured, atol=1e-6)


def test_parity_is_against_the_float_network(converted):
    parity = converted.manifest.provenance.parity
    assert parity.float_top1 == 1.0
    assert 0 < parity.max_score_difference < 0.2
    assert converted.comparison.drop_points == pytest.approx(100 * (1 - parity.int8_top1))


def test_window_model_carries_labels_and_manifest(converted):
    with zipfile.ZipFile(io.BytesIO(converted.files["window.tflite"])) as archive:
        assert archive.read("labels.txt") == b"left\nright\n"
        inside = msgspec.json.decode(archive.read("manifest.json"), type=Manifest)
    assert msgspec.structs.replace(converted.manifest, files={}) == inside


def test_accuracy_has_float_as_trained_and_int8_as_measured(converted):
    evaluation, own = converted.manifest.provenance.accuracy
    assert evaluation.int8_top1 is None
    assert (own.clips, own.float_top1, own.seeds) == (len(SPLIT.test), 1.0, [0])
    assert own.int8_top1 is not None


def test_card_tells_data_protocol_and_limits(converted):
    card = ModelBundle.open(converted.path).read("MODEL_CARD.md").decode()
    for part in (
        "---\nlibrary_name: edgehar\n",
        "# small\n",
        "## Intended use",
        "## Out of scope",
        "seed 0; clips: 5 for train, 4 for val, 3 for test",
        "Blocks that move over noise.",
        "int8 against float on 4 validation clips",
        "## Limits and known failures",
        "## Privacy and ethics",
        "sole basis",
    ):
        assert part in card or part in " ".join(card.split())
    assert max(map(len, card.splitlines())) <= 120


def test_training_windows_of_actions_are_remembered(converted, motion_run):
    bundle = ModelBundle.open(converted.path)
    windows = parse(bundle.read(REMEMBERED_FILE), "small")
    clips = [clip for clip in motion_run.clips("train") if clip.label == "right"]
    assert windows.head == bundle.manifest.files["head.tflite"]
    assert windows.truth.tolist() == [1] * len(clips)
    # The answers of the bundle to the same windows; `left` is background.
    streams = [motion_run.stream(clip) for clip in clips]
    encoder, head = (TfliteModel(converted.files[f"{name}.tflite"], name=name) for name in ("encoder", "head"))
    middles = [stream[(len(stream) - WINDOW) // 2 :][:WINDOW] for stream in streams]
    codes = [head.run(np.stack([encoder.run(frame).reshape(-1) for frame in middle])) for middle in middles]
    answers = sorted(((code.reshape(-1).astype(float) + 128) / 256).tolist() for code in codes)
    scores = sorted(np.exp(row - np.logaddexp.reduce(row)).tolist() for row in windows.logits.astype(float))
    assert np.allclose(answers, scores, atol=0.02)
    assert read_memory(bundle) is not None


def test_calibration_is_of_the_training_split_and_seeded(motion_run):
    windows = calibration_windows(motion_run)
    assert windows.shape == (128, WINDOW, 60, 60, 3)
    streams = [motion_run.stream(clip) for clip in motion_run.clips("train")]
    training = {stream[i : i + WINDOW].tobytes() for stream in streams for i in range(len(stream) - WINDOW + 1)}
    assert {window.tobytes() for window in windows} <= training
    assert np.array_equal(windows, calibration_windows(motion_run))


def test_command_refuses_a_drop_and_leaves_the_old_bundle(rgb_run, tmp_path):
    out = tmp_path / "fight.edgehar"
    out.write_bytes(b"the old bundle")
    done = run_command("edgehar-convert", rgb_run.path, "--out", out)
    assert_one_line_error(done, 1, "int8 loses", "points of top-1 on 4 validation clips", "--max-drop")
    assert out.read_bytes() == b"the old bundle"
    assert [path.name for path in tmp_path.iterdir()] == ["fight.edgehar"]


def test_command_converts_and_replaces_the_old_bundle(rgb_run, tmp_path):
    out = tmp_path / "fight.edgehar"
    out.write_bytes(b"the old bundle")
    done = run_command("edgehar-convert", rgb_run.path, "--out", out, "--max-drop", 100, "--no-remember")
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    for said in ("encoder.tflite", "4 CONV_2D", "4 validation clips: top-1 float 100.0%", "wrote "):
        assert said in done.stderr
    assert REMEMBERED_FILE not in ModelBundle.open(out).files
    manifest = ModelBundle.open(out).manifest
    assert manifest.quantization.input.zero_point == -128
    assert manifest.provenance.parity.int8_top1 < 1
    assert [path.name for path in tmp_path.iterdir()] == ["fight.edgehar"]


def worker_of(parent):
    """Process id of the converter that `parent` (a Popen) started."""
    while parent.poll() is None:
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                father = int(stat.read_text().rpartition(")")[2].split()[1])
                if father == parent.pid and WORKER in (stat.parent / "cmdline").read_text():
                    return int(stat.parent.name)
            except (OSError, ValueError):
                continue  # a process that has just ended
        time.sleep(0.05)
    raise AssertionError(f"no converter was started: {parent.communicate()[1]}")


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux's /proc to find the converter")
@pytest.mark.parametrize(
    ("number", "said_so"),
    [
        (signal.SIGKILL, "was killed (SIGKILL), perhaps because memory ran out"),
        # The converter's calibrator is known to end so.
        (signal.SIGSEGV, "the converter crashed (SIGSEGV); it said last: "),
    ],
)
def test_converter_that_dies_is_an_error_and_leaves_nothing(motion_run, tmp_path, number, said_so):
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    out = tmp_path / "a.edgehar"
    environment = {**os.environ, "TMPDIR": str(temporary)}
    with start_command("edgehar-convert", motion_run.path, "--out", out, env=environment) as command:
        os.kill(worker_of(command), number)
        _, said = command.communicate(timeout=300)
    assert command.returncode == 1
    assert said_so in said.splitlines()[-1]
    assert "Traceback" not in said
    assert not out.exists()
    assert list(temporary.iterdir()) == []


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux's /proc to find the converter")
def test_interrupt_ends_the_converter_too(motion_run, tmp_path):
    out = tmp_path / "a.edgehar"
    with start_command("edgehar-convert", motion_run.path, "--out", out) as command:
        worker = worker_of(command)
        command.send_signal(signal.SIGINT)
        _, said = command.communicate(timeout=300)
    assert command.returncode == 130
    assert said.splitlines()[-1] == "edgehar-convert: interrupted"
    assert not Path(f"/proc/{worker}").exists()  # reaped too: not even a zombie
    assert not out.exists()


def test_a_head_of_layers_of_its_own_is_converted(motion_run):
    shape = (2, 32, 32, 3)
    network = build(NetworkSettings(model="convlstm", window=2, size=32), 2)
    windows = np.random.default_rng(0).integers(-128, 128, (2, *shape)).astype(np.int8)
    parts = network.get_layer("encoder"), network.get_layer("head")
    made = convert_networks(*parts, windows, motion_run.config.affine)
    assert made.step is None
    scale, zero_point = motion_run.config.affine.scale, motion_run.config.affine.zero_point
    expected = network.predict((windows.astype(np.float32) - zero_point) * scale, verbose=0)
    head = TfliteModel(made.head, name="head.tflite")
    scores = np.concatenate([(head.run(window.reshape(2, -1)).astype(float) + 128) / 256 for window in windows])
    assert np.abs(scores - expected).max() < 0.05


def test_full_disk_is_an_error(motion_run):
    model, windows = motion_run.model(), calibration_windows(motion_run)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
    try:
        with pytest.raises(ConversionError, match="set TMPDIR to another folder"):
            convert_networks(model.get_layer("encoder"), model.get_layer("head"), windows, motion_run.config.affine)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"out": "model.tflite"}, "ends in .edgehar"),
        ({"out": "my model.edgehar"}, "cannot name a model"),
        ({"out": "missing/a.edgehar"}, "no such folder"),
        ({"hop": 0}, "hop is 0, must be 1 to 4"),
        ({"hop": WINDOW + 1}, "hop is 5, must be 1 to 4"),
        ({"max_drop": -1.0}, "max_drop is -1 points"),
        ({"decision": Decision(threshold=1.5)}, "threshold is 1.5"),
        ({"decision": Decision(background=["nothing"])}, "background label 'nothing' is not one of left, right"),
        ({"evaluation": "/nowhere"}, "no metrics.json"),
    ],
)
def test_wrong_argument(motion_run, tmp_path, arguments, said):
    out = tmp_path / arguments.pop("out", "a.edgehar")
    with pytest.raises(ConfigError, match=said):
        convert_run(motion_run.path, out, ConvertOptions(**arguments))
    assert list(tmp_path.iterdir()) == []


def test_missing_run_is_wrong_usage(tmp_path):
    done = run_command("edgehar-convert", tmp_path / "nothing", "--out", tmp_path / "a.edgehar")
    assert_one_line_error(done, 2, "no such folder", "edgehar-train")


def test_notes_that_cannot_be_read_are_wrong_usage(motion_run, tmp_path):
    done = run_command(
        "edgehar-convert", motion_run.path, "--out", tmp_path / "a.edgehar", "--notes", tmp_path / "none.md"
    )
    assert_one_line_error(done, 2, "--notes", "none.md")


def test_out_of_a_folder_is_wrong_usage(motion_run, tmp_path):
    (tmp_path / "a.edgehar").mkdir()
    with pytest.raises(ConfigError, match="is a folder"):
        convert_run(motion_run.path, tmp_path / "a.edgehar")


def test_unfinished_run(spare_run, tmp_path):
    (spare_run / "best.keras").unlink()
    with pytest.raises(DatasetError, match=r"best\.keras"):
        convert_run(spare_run, tmp_path / "a.edgehar")


def test_damaged_network(spare_run, tmp_path):
    (spare_run / "best.keras").write_bytes(b"PK damaged")
    with pytest.raises(ConversionError, match=r"best\.keras: cannot be read as a network"):
        convert_run(spare_run, tmp_path / "a.edgehar")


@pytest.mark.parametrize(("labels", "said"), [(["left", "left"], "different"), (["left"], "two or more"), ([], "two")])
def test_labels_that_cannot_be(spare_run, tmp_path, labels, said):
    _change_config(spare_run, labels=labels)
    with pytest.raises(ConversionError, match=said):
        convert_run(spare_run, tmp_path / "a.edgehar")


def test_more_labels_than_classes(spare_run, tmp_path):
    _change_config(spare_run, labels=["left", "right", "up"])
    with pytest.raises(ConversionError, match="2 classes, the settings 3 labels"):
        convert_run(spare_run, tmp_path / "a.edgehar")


@pytest.mark.parametrize(("part", "said"), [("train", "training split has no clip"), ("val", "validation split")])
def test_split_without_clips(spare_run, tmp_path, part, said):
    splits = spare_run / "splits.csv"
    rows = [row for row in splits.read_text().splitlines() if f",{part}," not in row]
    splits.write_text("\n".join(rows) + "\n")
    with pytest.raises(ConversionError, match=said):
        convert_run(spare_run, tmp_path / "a.edgehar")


def _change_config(folder, **changes):
    path = folder / "config.json"
    path.write_bytes(msgspec.json.encode({**msgspec.json.decode(path.read_bytes()), **changes}))
