"""edgehar-convert of a bundle: other rules of decision, the same networks, without the training extra's TensorFlow."""

import io
import json
import zipfile

from support.helpers import assert_one_line_error, flat_frames, records, write_video
from support.tiny_bundle import write_tiny_bundle
from support.warm import run_command

from edgehar import ModelBundle


def test_a_bundle_gets_rules_that_edgehar_run_uses_without_options(tmp_path):
    loud = write_tiny_bundle(tmp_path / "loud.edgehar", background=["dark"])
    (tmp_path / "rules.toml").write_text('smoothing = "k-of-n"\nk = 3\nn = 3\n')
    quiet = tmp_path / "quiet.edgehar"
    done = run_command(
        "edgehar-convert", loud, "--out", quiet, "--name", "quiet", "--threshold", 0.6,
        "--decision", tmp_path / "rules.toml", "thresholds.dark=0.7",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "smoothing=k-of-n k=3 n=3" in done.stderr
    before, after = ModelBundle.open(loud), ModelBundle.open(quiet)
    decision = after.manifest.decision
    assert (decision.threshold, decision.thresholds, decision.background) == (0.6, {"dark": 0.7}, ["dark"])
    assert (after.manifest.name, after.manifest.schema_version) == ("quiet", 2)
    for name in ("encoder.tflite", "head.tflite", "MODEL_CARD.md"):
        assert after.read(name) == before.read(name)
    with zipfile.ZipFile(io.BytesIO(after.read("window.tflite"))) as inside:
        assert sorted(inside.namelist()) == ["labels.txt", "manifest.json"]
        assert json.loads(inside.read("manifest.json"))["decision"]["smoothing"] == "k-of-n"
    assert run_command("edgehar", "inspect", quiet, "--verify").returncode == 0
    # Two answers are bright: an event of the one, none of the other.
    clip = write_video(tmp_path / "flash.mp4", flat_frames([40] * 25 + [220] * 15 + [40] * 25))
    for bundle, events in ((loud, 1), (quiet, 0)):
        run = run_command("edgehar-run", "--source", clip, "--model", bundle, "--output", "jsonl")
        starts = [one for one in records(run.stdout) if one["type"] == "event" and one["phase"] == "start"]
        assert len(starts) == events


def test_rules_are_changed_over_those_that_are_there(tmp_path):
    ruled = write_tiny_bundle(tmp_path / "a.edgehar", background=["dark"], smoothing="ema", ema_seconds=3.0)
    done = run_command("edgehar-convert", ruled, "--out", ruled, "--decision", "hysteresis=0.1")
    assert done.returncode == 0, done.stderr
    decision = ModelBundle.open(ruled).manifest.decision
    assert (decision.smoothing, decision.ema_seconds, decision.hysteresis) == ("ema", 3.0, 0.1)


def test_what_a_bundle_cannot_be_given_is_said(tmp_path):
    bundle, out = write_tiny_bundle(tmp_path / "a.edgehar"), tmp_path / "b.edgehar"
    for words, told in (
        (("--temperature", 2), "--temperature is for runs"),
        (("--max-drop", 5), "--max-drop is for runs"),
        (("--decision", "thresholds.fight=0.5"), "'fight' is not a label"),
        (("--background", "fight"), "'fight' is not a label"),
        (("--threshold", 2), "threshold"),
        (("--name", "../x"), "cannot name a model"),
    ):
        assert_one_line_error(run_command("edgehar-convert", bundle, "--out", out, *words), 2, told)
    assert_one_line_error(run_command("edgehar-convert", tmp_path / "none.edgehar", "--out", out), 2, "no such model")
    assert not out.exists()
