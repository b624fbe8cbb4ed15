"""The inbox of a real run: kept, labeled in a terminal, taught from, and what a user does wrong."""

import json
import os
import pty
import shutil
import subprocess

import numpy as np
import pytest
from support.helpers import COMMANDS, assert_one_line_error, run_command, write_video

from edgehar import ModelBundle
from edgehar.teaching.inbox import Inbox
from edgehar.teaching.labels import Label, remove_label, write_label

RATE_HZ = 10


def scene(kind, seconds=4):
    """Frames of one kind of scene."""
    count = seconds * RATE_HZ
    levels = {"bright": [228] * count, "dark": [25] * count, "blinking": [20, 235] * (count // 2)}[kind]
    return [np.full((32, 32, 3), level, np.uint8) for level in levels]


def watch(bundle, folder, clip, day, **options):
    """Run over a clip with an inbox, on another day."""
    config = folder / "edgehar.toml"
    more = "".join(f"{name} = {value}\n" for name, value in options.items())
    config.write_text(
        f'model = "{bundle}"\noutput = "none"\n[[camera]]\nname = "hall"\nsource = "{clip}"\n'
        f'[inbox]\nenabled = true\ndirectory = "{folder / "inbox"}"\nper_hour = 3600\nseconds = 2\n{more}'
    )
    done = run_command("edgehar-run", "--config", config)
    assert done.returncode == 0, done.stderr
    for path in (folder / "inbox").glob("*/*.json"):
        facts = json.loads(path.read_text())
        if not facts["time"].startswith("2001"):
            facts["time"] = f"2001-01-{day:02d}{facts['time'][10:]}"
            path.write_text(json.dumps(facts))
    return config


@pytest.fixture(scope="module")
def watched(tiny_bundle, tmp_path_factory):
    """An inbox of three days, of scenes that the model knows and one that it does not."""
    folder = tmp_path_factory.mktemp("watched")
    for day in (1, 2, 3):
        frames = [frame for _ in range(3) for kind in ("dark", "bright", "blinking") for frame in scene(kind)]
        watch(tiny_bundle, folder, write_video(folder / f"{day}.mp4", frames, rate_hz=RATE_HZ), day)
    return folder


@pytest.fixture
def inbox(watched, tmp_path):
    shutil.copytree(watched / "inbox", tmp_path / "inbox")
    return Inbox(tmp_path / "inbox")


def truth(item):
    """What a moment shows: blinking if its frames differ."""
    features = item.features().astype(int)
    if np.abs(np.diff(features[:, 0])).max() < 40:
        return "bright" if features[0, 0] > 0 else "ordinary"
    jumps = np.abs(np.diff(features[:, 0])) > 40
    return "blinking" if jumps.mean() > 0.8 else None


def label_all(inbox):
    for item in inbox.items():
        if (label := truth(item)) is not None:
            write_label(item.base, Label(label, item.facts.answer))
        else:
            item.remove()


def test_a_run_fills_it_and_teaching_learns_from_it(tiny_bundle, inbox, tmp_path):
    label_all(inbox)
    out = tmp_path / "taught.edgehar"
    done = run_command("edgehar", "teach", tiny_bundle, "--inbox", inbox.folder, "--out", out)
    assert done.returncode == 0, done.stderr
    assert "3 folds, days held out" in done.stdout
    assert "blinking" in ModelBundle.open(out).manifest.labels
    assert run_command("edgehar", "inspect", out, "--verify", "--windows", "20").returncode == 0


def test_random_moments_without_a_label_judge_the_new_head(tiny_bundle, inbox, tmp_path):
    label_all(inbox)
    random = [item for item in inbox.items() if item.facts.why == "random"]
    assert random
    for item in random:
        remove_label(item.base)
    done = run_command("edgehar", "teach", tiny_bundle, "--inbox", inbox.folder, "--out", tmp_path / "a.edgehar")
    assert f"random moments without a label: {len(random)}; reported as an action" in done.stdout, done.stderr


def test_it_is_off_by_default(tiny_bundle, tmp_path):
    clip = write_video(tmp_path / "clip.mp4", scene("bright"), rate_hz=RATE_HZ)
    env = {**os.environ, "XDG_STATE_HOME": str(tmp_path / "state"), "HOME": str(tmp_path)}
    done = run_command("edgehar-run", "--source", clip, "--model", tiny_bundle, env=env)
    assert done.returncode == 0
    assert not list(tmp_path.rglob("inbox"))


def test_keys_in_a_terminal(inbox):
    """`r`, a number, a new class, undo and quit, as a person presses them."""
    before = inbox.unlabeled()
    leader, follower = pty.openpty()
    command = [COMMANDS / "edgehar", "label", inbox.folder]
    with subprocess.Popen(command, stdin=follower, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as asked:
        os.close(follower)
        for keys, wait_for in (
            (b"", "[1/"),
            (b"r", "[2/"),
            (b"w", "[3/"),
            (b"u", "[2/"),
            (b"1", "[3/"),
            (b"nfalling over\n", "[4/"),
            (b"s", "[5/"),
            (b"q", "labeled"),
        ):
            os.write(leader, keys)
            for line in asked.stdout:
                if wait_for in line:
                    break
        asked.wait(20)
        assert asked.returncode == 0, asked.stderr.read()
    os.close(leader)
    labels = [path.read_text() for path in sorted(inbox.folder.glob("*/*.label.json"))]
    assert len(labels) == 3
    by_id = {item.id: json.loads(item.base.with_name(f"{item.base.name}.label.json").read_text())
             for item in before[:4] if item.labeled}  # fmt: skip
    first, second, third, fourth = before[:4]
    assert by_id[first.id]["label"] == first.facts.answer
    assert by_id[second.id]["label"] in {"bright", "dark"} - {second.facts.answer}
    assert by_id[third.id]["label"] == "falling over"
    assert fourth.id not in by_id


def test_one_moment_from_a_script_and_the_list(inbox):
    item = inbox.items()[0]
    done = run_command("edgehar", "label", inbox.folder, "--item", item.id, "--as", "ordinary")
    assert done.returncode == 0, done.stderr
    listed = run_command("edgehar", "label", inbox.folder, "--list", "--json")
    facts = [json.loads(line) for line in listed.stdout.splitlines()]
    assert [fact["label"] for fact in facts if fact["id"] == item.id] == ["ordinary"]
    assert len(facts) == len(inbox.items())


def test_features_of_another_encoder_are_left_out_by_name(tiny_bundle, inbox, tmp_path):
    label_all(inbox)
    for path in inbox.folder.glob("*/*-*.json"):
        if not path.name.endswith(".label.json"):
            path.write_text(json.dumps({**json.loads(path.read_text()), "encoder": "0" * 64}))
    done = run_command("edgehar", "teach", tiny_bundle, "--inbox", inbox.folder, "--out", tmp_path / "a.edgehar")
    assert_one_line_error(done, 2, "another encoder")
    assert not (tmp_path / "a.edgehar").exists()


def test_contradicting_labels_of_merged_inboxes_are_named(tiny_bundle, inbox, tmp_path):
    label_all(inbox)
    shutil.copytree(inbox.folder, tmp_path / "second")
    item = next(item for item in Inbox(tmp_path / "second").items() if truth(item) == "blinking")
    write_label(item.base, Label("bright"))
    done = run_command(
        "edgehar", "teach", tiny_bundle, "--inbox", inbox.folder, "--inbox", tmp_path / "second", "--out",
        tmp_path / "a.edgehar",
    )  # fmt: skip
    assert_one_line_error(done, 2, "contradicting labels", "'bright'", "'blinking'")


def test_labels_of_moments_that_are_gone_are_named(tiny_bundle, inbox, tmp_path):
    label_all(inbox)
    gone = inbox.items()[0]
    for suffix in (".json", ".npy"):
        gone.base.with_name(gone.base.name + suffix).unlink()
    done = run_command("edgehar", "teach", tiny_bundle, "--inbox", inbox.folder, "--out", tmp_path / "a.edgehar")
    assert done.returncode == 0, done.stderr
    assert f"{gone.base.name}.label.json" in done.stderr
    assert "gone" in done.stderr


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        (lambda folder: shutil.rmtree(folder), ("no such folder", "[inbox]")),
        (lambda folder: None, ("none has a label", "edgehar label")),
        (lambda folder: [shutil.rmtree(path) for path in folder.iterdir()], ("holds nothing with a label",)),
    ],
)
def test_nothing_to_learn_from_is_said(tiny_bundle, inbox, tmp_path, prepare, words):
    prepare(inbox.folder)
    done = run_command("edgehar", "teach", tiny_bundle, "--inbox", inbox.folder, "--out", tmp_path / "a.edgehar")
    assert_one_line_error(done, 2, *words)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--item", "a/b"], "--as"),
        (["--as", "fight"], "--item"),
        (["--item", "a/b", "--as", "fight"], "no moment 'a/b'"),
        (["--item", "a/b", "--as", "x,y"], "without commas"),
    ],
)
def test_wrong_words_of_label_are_said(inbox, arguments, words):
    assert_one_line_error(run_command("edgehar", "label", inbox.folder, *arguments), 2, words)


def test_no_inbox_is_said(tmp_path):
    assert_one_line_error(run_command("edgehar", "label", tmp_path / "none"), 2, "no inbox", "[inbox]")


def test_a_model_with_state_has_no_inbox(tiny_bundle, tmp_path):
    config = tmp_path / "edgehar.toml"
    config.write_text(f'model = "{tiny_bundle}"\nmode = "stateful"\n[inbox]\nenabled = true\n')
    assert_one_line_error(run_command("edgehar-run", "--config", config), 2, "inbox.enabled")
