"""`edgehar bench` as a user runs it, in its quick form."""

import json
import math
import signal
import subprocess
from pathlib import Path

import jsonschema
import pytest
from support.helpers import COMMANDS, assert_one_line_error, run_command

from edgehar import schemas
from edgehar.bench.preprocess import FORMATS, SIZES
from edgehar.model.bundle import ModelBundle

SCHEMA = json.loads((Path(schemas.__file__).parent / "bench.schema.json").read_text())


def bench(*arguments, **options):
    return run_command("edgehar", "bench", *arguments, "--quick", "--rounds", 1, **options)


def as_report(text):
    """A report as the schema has it, in which every number is one."""
    report = json.loads(text)
    jsonschema.validate(report, SCHEMA)
    assert all(math.isfinite(number) and number >= 0 for number in numbers(report))
    return report


def numbers(node):
    if isinstance(node, dict | list):
        for child in node.values() if isinstance(node, dict) else node:
            yield from numbers(child)
    elif isinstance(node, int | float):
        yield node


def test_preprocess_has_a_row_for_every_format_and_size():
    done = bench("preprocess", "--size", 16, "--json", "-")
    report = as_report(done.stdout)
    rows = {(r["format"], r["width"], r["height"], r["size"], r["temperature"]): r for r in report["preprocess"]}
    expected = {(f.value, *size, 16, t) for f in FORMATS for size in SIZES for t in ("cold", "hot")}
    assert set(rows) == expected | {("bgr24", 1920, 1080, 64, t) for t in ("cold", "hot")}
    assert all(row["others"]["cv2"]["ratio"] > 0 and row["fraction_of_read"] > 0 for row in rows.values())
    assert "numpy" in rows["bgr24", 1280, 720, 16, "cold"]["others"]  # boxes of 45 x 80 pixels
    assert report["model"] is None
    assert report["threads"] == report["jpeg"] == []
    assert report["method"]["quick"]
    assert done.stderr.splitlines() == ["edgehar: measuring preprocess"]


def test_model_and_peers_are_measured_and_written_as_tables_and_json(tiny_bundle, tmp_path):
    peer, broken = tmp_path / "peer.tflite", tmp_path / "broken.tflite"
    peer.write_bytes(ModelBundle.open(tiny_bundle).read("head.tflite"))
    broken.write_text("not a model")
    page, figures = tmp_path / "page.md", tmp_path / "figures.json"
    arguments = ["--model", tiny_bundle, "--peer", peer, "--peer", broken, "--markdown", page, "--json", figures]
    done = bench("model", "peers", *arguments)
    assert done.returncode == 0, done.stderr
    report = as_report(figures.read_text())
    assert [step["step"] for step in report["model"]["steps"]] == ["shrink", "encode", "classify"]
    assert [answer["hop"] for answer in report["model"]["answers"]] == [1, 2]
    good, bad = report["peers"]["rows"]
    assert (good["file"], good["inputs"], good["problem"]) == ("peer.tflite", 1, None)
    assert good["bytes"] == peer.stat().st_size
    assert good["macs"] == report["model"]["steps"][2]["macs"]
    assert bad["ms"] is None
    assert bad["problem"]
    text = page.read_text()
    assert "| peer.tflite |" in text
    assert f"broken.tflite cannot run here: {bad['problem']}" in text.replace("\n", " ")
    assert str(tmp_path) not in text + done.stdout
    assert "A prediction of tiny" in done.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        ["peer.tflite", "broken.tflite", page.name, figures.name]
    )


def test_threads_and_jpeg():
    report = as_report(bench("threads", "jpeg", "--json", "-").stdout)
    assert [row["temperature"] for row in report["threads"]] == ["cold", "hot"] or "threads" in report["skipped"]
    assert [(row["width"], row["reduction"]) for row in report["jpeg"]] == [(640, 4), (1280, 4), (1920, 8)]
    targets = {target["what"]: target for target in report["targets"]}
    measured = report["jpeg"][0]["cv2"]["ratio"]
    assert targets["MJPEG 640x480, against full decoding and cv2"]["measured"] == measured


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["speed"], "'speed' is not one of preprocess, threads, jpeg, model, peers, all"),
        (["peers"], "--peer FILE"),
        (["peers", "--peer", "gone.tflite"], "gone.tflite: no such file"),
        (["model", "--model", "gone"], "gone"),
        (["--markdown", "no/such/page.md"], "folder no/such does not exist"),
        (["--json", "no/such/page.json"], "folder no/such does not exist"),
        (["--size", "4"], "4 is not between 8 and 224"),
        (["--size", "big"], "invalid whole number value: 'big'"),
        (["--rounds", "0"], "0 is not 1 or more"),
    ],
)
def test_wrong_usage_is_said_before_anything_is_measured(arguments, said, tmp_path):
    done = run_command("edgehar", "bench", *arguments, cwd=tmp_path)
    assert_one_line_error(done, 2, said)
    assert "measuring" not in done.stderr


def test_ctrl_c_ends_it_and_leaves_no_file(tmp_path):
    command = [COMMANDS / "edgehar", "bench", "preprocess", "--json", tmp_path / "figures.json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert "measuring preprocess" in running.stderr.readline()
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=300)
    assert running.returncode == 130
    assert out == ""
    assert err.splitlines() == ["edgehar: interrupted"]
    assert list(tmp_path.iterdir()) == []
