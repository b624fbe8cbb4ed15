"""Every recipe runs end to end on a small data set in the layout it is for; its settings are the paper's."""

import json
import tomllib

import numpy as np
import pytest
from support.helpers import assert_one_line_error, write_video
from support.paths import ROOT
from support.warm import run_command

pytest.importorskip("keras", reason="needs the train extra")

from edgehar.errors import ConfigError
from edgehar_training.data.datasets.official import OFFICIAL
from edgehar_training.runs.run import load_run
from edgehar_training.settings.recipe import SETTINGS, names, read_recipe

pytestmark = pytest.mark.training

FRAMES = 12
UCF_CLASSES = {
    "ucf50_4_convlstm": ("TaiChi", "HorseRace"), "ucf50_4_lrcn": ("TaiChi", "HorseRace"),
    "ucf50_attention": ("TaiChi", "HorseRace"), "ucf101_attention": ("Archery", "Biking"),
    "ucf101_inception_lstm": ("Archery", "Biking"), "ucf101_inception_simple_rnn_relu": ("Archery", "Biking"),
    "ucf101_inception_simple_rnn_tanh": ("Archery", "Biking"),
}  # fmt: skip
# What a test changes: fewer steps and units, smaller pictures, and no weights to fetch.
SHORTER = ["--epochs", "1", "--batch-size", "4"]
INCEPTION = ["--size", "75", "--window", "3", "--model-option", "weights=none", "units=8"]
# A convolutional LSTM computes for minutes what the others do in seconds.
FEWER = {
    "ucf50_4_convlstm": ["--window", "3"],
    **dict.fromkeys((n for n in UCF_CLASSES if "inception" in n), INCEPTION),
}

# Recipes of public sets are not a paper's; their layouts are tested without training, but for one.
PUBLIC = {
    "rwf2000": "rwf-2000", "rlvs": "rlvs", "hockey_fight": "hockey-fight", "ucf_crime_fighting": "ucf-crime",
    "ubi_fights": "ubi-fights", "ubnormal": "ubnormal", "ur_fall": "ur-fall", "le2i": "le2i",
}  # fmt: skip
PAPERS = sorted(["kth_lrcn", *UCF_CLASSES])


def test_the_recipes_are_those_of_the_papers_and_of_public_sets():
    assert names() == sorted([*PAPERS, *PUBLIC])


@pytest.mark.parametrize("name", PUBLIC)
def test_a_recipe_of_a_public_set_asks_for_its_layout_and_its_split(name):
    settings = read_recipe(name).settings
    assert settings["data"]["dataset"] == PUBLIC[name]
    assert (settings["split"].get("kind") == "official") == (PUBLIC[name] in OFFICIAL)


def test_a_public_set_is_trained_and_reported_with_one_command(tmp_path):
    rng = np.random.default_rng(0)
    for part, count in (("train", 4), ("val", 2)):
        for number in range(count):
            for label, step in (("Fight", 3), ("NonFight", 0)):
                folder = tmp_path / "RWF-2000" / part / label
                folder.mkdir(parents=True, exist_ok=True)
                noise = rng.integers(0, 255, (30, 48, 64, 3), dtype=np.uint8)
                frames = noise if step else np.repeat(noise[:1], 30, axis=0)
                write_video(folder / f"{part}{number}_0.avi", list(frames))
    done = run_command(
        "edgehar-train", "--recipe", "rwf2000", "--data", tmp_path, "--cache", tmp_path / "cache", *SHORTER,
        "--window", "4", "--seeds", "1", "--no-int8", "--out", tmp_path / "run",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "official split (RWF-2000, val is tested)" in done.stdout
    assert json.loads((tmp_path / "run/metrics.json").read_text())["test"]["clips"] == 4


@pytest.mark.parametrize("name", PAPERS)
def test_a_recipe_runs_on_its_layout(name, tmp_path):
    recipe = read_recipe(name)
    data = _write_kth(tmp_path / "data") if name == "kth_lrcn" else _write_ucf(tmp_path / "data", UCF_CLASSES[name])
    changes = [*SHORTER, *FEWER.get(name, ())]
    if name in UCF_CLASSES:
        changes += ["--classes", *UCF_CLASSES[name]]
    done = run_command(
        "edgehar-train", "--recipe", name, "--data", data, "--cache", tmp_path / "cache", *changes,
        "--out", tmp_path / "run",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert recipe.paper.claim in done.stderr
    assert "leaky" in done.stderr
    assert "random (leaky)" in done.stdout
    config = load_run(tmp_path / "run").config
    for group, values in recipe.settings.items():
        for key, value in values.items():
            if not any(f"--{key}".replace("_", "-") == option for option in changes) and key != "options":
                assert getattr(getattr(config, group), key) == value, (group, key)
    assert json.loads((tmp_path / "run/metrics.json").read_text())["test"]["clips"] > 0


def test_the_papers_settings():
    kth = read_recipe("kth_lrcn").settings
    assert (kth["network"]["window"], kth["network"]["size"]) == (40, 60)
    assert (kth["fit"]["epochs"], kth["fit"]["batch_size"]) == (80, 4)
    assert (kth["split"]["test_fraction"], kth["split"]["val_fraction"]) == (0.2, 0.16)
    four = read_recipe("ucf50_4_convlstm").settings
    assert four["data"]["classes"] == ["WalkingWithDog", "TaiChi", "Swing", "HorseRace"]
    assert (four["network"]["window"], four["network"]["size"], four["fit"]["epochs"]) == (20, 64, 50)
    inception = read_recipe("ucf101_inception_lstm").settings
    assert len(inception["data"]["classes"]) == len(set(inception["data"]["classes"])) == 25
    assert inception["network"]["options"]["units"] == 2048
    assert (inception["network"]["window"], inception["network"]["sampling"]) == (40, "segments")


def test_a_recipe_of_ones_own_and_options_over_it(tmp_path):
    (tmp_path / "mine.toml").write_text('[network]\nmodel = "lrcn"\n[network.options]\nunits = 16\ndropout = 0.1\n')
    assert read_recipe(str(tmp_path / "mine.toml")).settings["network"]["options"]["units"] == 16
    data = _write_ucf(tmp_path / "data", ("TaiChi", "HorseRace"))
    done = run_command(
        "edgehar-train", "--recipe", tmp_path / "mine.toml", "--data", data, "--cache", tmp_path / "cache", *SHORTER,
        "--window", "4", "--model-option", "units=8", "--out", tmp_path / "run",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert load_run(tmp_path / "run").config.network.options == {"units": 8, "dropout": 0.1}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[network]\nmodle = 'lrcn'\n", "modle"),
        ("[fit]\nepochs = 0\n", "epochs"),
        ("[networks]\n", r"unknown table \[networks\]"),
        ("[paper]\ntitle = 'x'\n", r"\[paper\]"),
        ("window = ", "Invalid value"),
    ],
)
def test_a_wrong_recipe_is_told(tmp_path, text, said):
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(ConfigError, match=said):
        read_recipe(str(tmp_path / "mine.toml"))


def test_an_unknown_recipe_is_one_line(tmp_path):
    done = run_command("edgehar-train", "--recipe", "kth_lcrn", "--out", tmp_path / "run")
    assert_one_line_error(done, 2, "did you mean kth_lrcn?")


def test_every_recipe_says_what_the_settings_know():
    """Recipes of papers give the paper's claim and what is honest about it; recipes of public sets have no paper."""
    papers = 0
    for path in (ROOT / "training/recipes").glob("*.toml"):
        tables = tomllib.loads(path.read_text())
        assert set(tables) <= {"paper", *SETTINGS}
        if "paper" in tables:
            papers += 1
            assert tables["paper"]["claim"]
            assert tables["paper"]["honest"]
    assert papers >= 5


def _write_kth(folder):
    """Eight persons, as KTH names them; without 00sequences.txt."""
    for label, seed in (("boxing", 1), ("handclapping", 2)):
        for person in range(1, 9):
            name = folder / label / f"person{person:02}_{label}_d1_uncomp.avi"
            _write_clip(name, 10 * seed + person, size=(120, 160))
    return folder


def _write_ucf(folder, classes):
    for seed, label in enumerate(classes):
        for group in range(1, 5):
            for clip in range(1, 4):
                _write_clip(folder / label / f"v_{label}_g{group:02}_c{clip:02}.avi", 100 * seed + 10 * group + clip)
    return folder


def _write_clip(path, seed, size=(48, 64)):
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    write_video(path, rng.integers(0, 255, (FRAMES, *size, 3)).astype(np.uint8), rate_hz=25)
