"""A bundle is tried in a child process before it runs here for the first time."""

import signal
import subprocess
import sys

import pytest
from support.helpers import environment, flat_frames, run_command, write_video

from edgehar import BundleError, ModelBundle
from edgehar.inspect import trial
from edgehar.model.bundle import write_bundle


@pytest.fixture
def env(tmp_path):
    return {"XDG_CACHE_HOME": str(tmp_path / "cache")}


def damaged(bundle, path, name="head.tflite", cut=None, change=None):
    """Write a bundle one of whose networks is cut or changed, with correct checksums."""
    content = bytearray(bundle.read(name))
    if change is not None:
        change(content)
    write_bundle(path, bundle.manifest, {**bundle.files, name: bytes(content[:cut])})
    return ModelBundle.open(path)


def test_a_good_bundle_is_tried_once(tiny_bundle, env, tmp_path):
    tried = []
    bundle = ModelBundle.open(tiny_bundle)
    for _ in range(3):
        trial.check(bundle, environ=env, run_child=lambda one: tried.append(one.path) or "")
    assert tried == [tiny_bundle]
    # Without a folder for results, each start has its trial.
    for _ in range(2):
        trial.check(bundle, environ={}, run_child=lambda one: tried.append(one.path) or "")
    assert len(tried) == 3


def test_a_shipped_model_needs_no_trial(env):
    trial.check(ModelBundle.open("actions-synthetic"), environ=env, run_child=lambda _: "must not be called")


def test_a_bundle_that_was_refused_is_tried_again(tiny_bundle, env):
    bundle = ModelBundle.open(tiny_bundle)
    with pytest.raises(BundleError, match="crashes"):
        trial.check(bundle, environ=env, run_child=lambda _: "crashes")
    trial.check(bundle, environ=env, run_child=lambda _: "")


def test_a_crash_is_named(tmp_path):
    said = trial.outcome(tmp_path / "bad.edgehar", -signal.SIGABRT, b"noise of the runtime\n")
    assert "bad.edgehar: its networks crash the TFLite runtime (SIGABRT)" in said
    assert trial.outcome(tmp_path, 1, b"noise\nhead.tflite: is damaged\n") == "head.tflite: is damaged"
    assert trial.outcome(tmp_path, 0, b"noise\n") == ""


def test_a_child_that_crashes_does_not_take_the_caller_along(tiny_bundle, env, monkeypatch, tmp_path):
    crash = tmp_path / "sitecustomize.py"
    crash.write_text("import os, sys\nif 'edgehar.inspect.trial' in sys.orig_argv: os.abort()\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(BundleError, match=r"crash the TFLite runtime \(SIGABRT\)"):
        trial.check(ModelBundle.open(tiny_bundle), environ=env)


@pytest.mark.parametrize("name", ["encoder.tflite", "head.tflite", "window.tflite"])
def test_every_command_refuses_the_same_bundle_with_one_line(tiny_bundle, tmp_path, name):
    damaged(ModelBundle.open(tiny_bundle), tmp_path / "bad.edgehar", name, cut=-200)
    env = environment(XDG_CACHE_HOME=str(tmp_path / "cache"))
    clips = tmp_path / "clips"
    for label in ("bright", "dark"):
        (clips / label).mkdir(parents=True)
        write_video(clips / label / "a.mp4", flat_frames([20] * 30))
    commands = (
        ("run", "--source", "synthetic:walking?duration_s=2", "--model", tmp_path / "bad.edgehar"),
        ("inspect", tmp_path / "bad.edgehar"),
        ("bench", "model", "--quick", "--model", tmp_path / "bad.edgehar"),
        ("predict", clips / "dark" / "a.mp4", "--model", tmp_path / "bad.edgehar"),
        ("teach", tmp_path / "bad.edgehar", "--data", clips, "--out", tmp_path / "new.edgehar"),
        ("eval", tmp_path / "bad.edgehar", "--data", clips),
    )
    said = set()
    for command in commands:
        done = run_command("edgehar", *command, env=env)
        assert done.returncode == 1, done.stderr
        line = done.stderr.splitlines()[-1]
        assert "Traceback" not in done.stderr
        said.add(line.partition(": ")[2])
    assert len(said) == 1
    assert f"bad.edgehar: {name}: is damaged" in said.pop()


def test_names_that_are_not_utf8_are_told(tiny_bundle, env, tmp_path):
    def change(content):
        content[content.index(b"frames") + 5] = 0xEB

    bundle = damaged(ModelBundle.open(tiny_bundle), tmp_path / "names.edgehar", "window.tflite", change=change)
    with pytest.raises(BundleError, match=r"names\.edgehar: a name in its networks is not UTF-8"):
        trial.check(bundle, environ=env)


def test_a_folder_called_edgehar_where_the_program_runs_is_not_imported(tiny_bundle, env, tmp_path, monkeypatch):
    """As in a checkout that is not the one installed."""
    (tmp_path / "edgehar").mkdir()
    (tmp_path / "edgehar" / "__init__.py").write_text("raise SystemExit(1)")
    monkeypatch.chdir(tmp_path)
    trial.check(ModelBundle.open(tiny_bundle), environ=env)


def test_a_network_that_asks_for_all_memory_fails_alone(tiny_bundle, tmp_path):
    """The child's address space is bounded; its failure is a message."""
    code = (
        "import sys, resource\nfrom edgehar import ModelBundle\nfrom edgehar.inspect import trial\n"
        "trial._steps = lambda bundle: [lambda: bytearray(64 << 30)]\n"
        "sys.argv = ['trial', sys.argv[1], trial._digest(ModelBundle.open(sys.argv[1]))]\ntrial._main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code, tiny_bundle], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "its networks need more than 4 GB of memory" in done.stdout


def test_a_bundle_that_was_replaced_since_it_was_opened_does_not_pass(tiny_bundle, env, tmp_path):
    """The child opens the path again; what it tried must be what the caller holds."""
    path = tmp_path / "model.edgehar"
    path.write_bytes(tiny_bundle.read_bytes())
    bundle = ModelBundle.open(path)
    write_bundle(path, bundle.manifest, {**bundle.files, "MODEL_CARD.md": b"another"})
    with pytest.raises(BundleError, match=r"model\.edgehar: was replaced while it was checked"):
        trial.check(bundle, environ=env)
    trial.check(ModelBundle.open(path), environ=env)
