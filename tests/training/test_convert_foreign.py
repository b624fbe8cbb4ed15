"""`edgehar-convert --from`: networks that were trained elsewhere."""

import numpy as np
import pytest
from support.helpers import assert_one_line_error, write_video
from support.warm import run_command

keras = pytest.importorskip("keras", reason="needs the train extra")
pytest.importorskip("tensorflow", reason="needs the train extra")

from edgehar import Classifier, ModelBundle  # noqa: E402
from edgehar.errors import ConversionError  # noqa: E402
from edgehar_training.quantize.convert import convert_run  # noqa: E402
from edgehar_training.quantize.foreign import Foreign, write_run  # noqa: E402

pytestmark = pytest.mark.training

WINDOW, SIDE = 4, 16


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Clips of two labels, their list, and a network of the kind that is often published."""
    folder = tmp_path_factory.mktemp("foreign")
    rng = np.random.default_rng(0)
    for label, level in (("dark", 40), ("light", 200)):
        (folder / "clips" / label).mkdir(parents=True)
        for number in range(4):
            frames = np.clip(level + rng.integers(-30, 30, (8, 32, 32, 3)), 0, 255).astype(np.uint8)
            write_video(folder / "clips" / label / f"{number}.mp4", frames)
    (folder / "labels.txt").write_text("dark\nlight\n")
    network().save(folder / "network.keras")
    return folder


def network(*, classes=2, window=WINDOW, dense=None):
    """TimeDistributed layers before an LSTM, over pixels up to 255."""
    layers = keras.layers
    keras.utils.set_random_seed(1)
    return keras.Sequential(
        [
            keras.Input((window, SIDE, SIDE, 3)),
            layers.TimeDistributed(layers.Rescaling(1 / 127.5, -1.0)),
            layers.TimeDistributed(layers.Conv2D(4, 3, padding="same", activation="relu")),
            layers.TimeDistributed(layers.MaxPooling2D(4)),
            layers.TimeDistributed(layers.Flatten()),
            layers.LSTM(6),
            layers.Dropout(0.5),
            dense or layers.Dense(classes, activation="softmax"),
        ]
    )


def foreign(folder, **changes):
    given = {"file": folder / "network.keras", "labels": folder / "labels.txt", "clips": folder / "clips"}
    return Foreign(**{**given, "rate_hz": 25.0, "pixels": 255, "cache": str(folder / "cache"), **changes})


def test_command_makes_a_bundle_that_answers_as_the_network(folder, tmp_path):
    out = tmp_path / "outside.edgehar"
    done = run_command(
        "edgehar-convert", "--from", folder / "network.keras", "--labels", folder / "labels.txt", "--calibration",
        folder / "clips", "--pixels", 255, "--rate-hz", 25, "--out", out, "--max-drop", 100,
        env=None,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    manifest = ModelBundle.open(out).manifest
    assert (manifest.labels, manifest.input.height, manifest.temporal.window) == (["dark", "light"], SIDE, WINDOW)
    assert "trained elsewhere" in manifest.provenance.split
    pixels = np.random.default_rng(3).integers(0, 256, (WINDOW, SIDE, SIDE, 3), np.uint8)
    with Classifier(out, hop=1) as classifier:
        answer = [classifier.push(frame) for frame in pixels][-1]
    # `push` takes BGR.
    expected = network().predict(pixels[None, ..., ::-1].astype(np.float32), verbose=0)[0]
    assert list(answer.scores.values()) == pytest.approx(list(expected), abs=0.08)


def test_layers_named_encoder_and_head_are_taken(folder, tmp_path):
    write_run(foreign(folder), tmp_path / "run")
    inner = keras.saving.load_model(tmp_path / "run" / "best.keras")
    inner.save(tmp_path / "again.keras")
    write_run(foreign(folder, file=tmp_path / "again.keras", pixels=1), tmp_path / "second")
    again = keras.saving.load_model(tmp_path / "second" / "best.keras")
    windows = np.random.default_rng(0).random((3, WINDOW, SIDE, SIDE, 3), np.float32)
    assert np.allclose(again.predict(windows, verbose=0), inner.predict(windows, verbose=0), atol=1e-6)
    assert np.allclose(network().predict(255 * windows, verbose=0), inner.predict(windows, verbose=0), atol=1e-5)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (lambda: keras.Sequential([keras.Input((8,)), keras.layers.Dense(2)]), "it must take"),
        (lambda: network(window=None), "must take"),
        (
            lambda: keras.Sequential(
                [keras.Input((WINDOW, SIDE, SIDE, 3)), keras.layers.Conv3D(2, 3), keras.layers.Flatten(),
                 keras.layers.Dense(2)]
            ),
            "layers named encoder and head, or begin with TimeDistributed",
        ),
        (lambda: network(classes=3), "has 2 different labels, the network gives 3 scores"),
    ],
)  # fmt: skip
def test_network_of_another_kind_is_refused(folder, tmp_path, model, said):
    model().save(tmp_path / "other.keras")
    with pytest.raises(ConversionError, match=said):
        write_run(foreign(folder, file=tmp_path / "other.keras"), tmp_path / "run")
    assert not (tmp_path / "run").exists() or not list((tmp_path / "run").iterdir())


def test_layer_that_is_not_known_is_named(folder, tmp_path):
    unknown = network(dense=keras.layers.Dense(2, activation="gelu", name="odd"))
    unknown.save(tmp_path / "odd.keras")
    write_run(foreign(folder, file=tmp_path / "odd.keras"), tmp_path / "run")
    with pytest.raises(ConversionError, match="head/odd: activation gelu cannot be exported"):
        convert_run(tmp_path / "run", tmp_path / "odd.edgehar")
    assert not (tmp_path / "odd.edgehar").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ((), 2, "give the folder of a run, or a network"),
        (("--from", "network.keras"), 2, "--from needs --labels FILE and --calibration DIR"),
        (("--from", "none.keras", "--labels", "labels.txt", "--calibration", "clips"), 2, "no such file"),
        (("--from", "labels.txt", "--labels", "labels.txt", "--calibration", "clips"), 1, "only .keras files"),
        (("--from", "network.keras", "--labels", "none.txt", "--calibration", "clips"), 2, "cannot be read"),
        (("--from", "network.keras", "--labels", "labels.txt", "--calibration", "nothing"), 1, "nothing"),
        (("run", "--labels", "labels.txt"), 2, "a run has its own"),
    ],
)
def test_wrong_use(folder, tmp_path, arguments, code, said):
    done = run_command("edgehar-convert", *arguments, "--out", tmp_path / "a.edgehar", cwd=folder)
    assert_one_line_error(done, code, said)
    assert list(tmp_path.iterdir()) == []
