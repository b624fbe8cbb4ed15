"""`edgehar inspect` and `edgehar bundle` as a user runs them."""

import importlib.util
import json
import re
from html.parser import HTMLParser

import pytest
from support.altered import compiled, with_other_window_model
from support.helpers import assert_one_line_error, environment, run_command
from support.tiny_bundle import write_tiny_bundle

from edgehar import ModelBundle


def inspect(*arguments, **options):
    return run_command("edgehar", "inspect", *arguments, **options)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return write_tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny.edgehar", stateful=True)


def test_in_short():
    done = inspect("actions-synthetic")
    assert done.returncode == 0, done.stderr
    lines = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert re.match(
        r"encoder.tflite 6\d,\d{3} bytes, 60,512 parameters, 3,200,256 multiply-accum", lines["encoder.tflite"]
    )
    assert "9 of 9 operators" in lines["encoder.tflite"]
    assert "4 CONV_2D, 4 MAX_POOL_2D, 1 RESHAPE" in lines["encoder.tflite"]
    assert lines["modes"].split() == ["modes", "window,", "stateful"]
    assert "commit" in lines
    assert "head.tflite" in lines


@pytest.mark.parametrize("name", ["fight", "interactions"])
def test_a_mobilenet_in_short(name):
    done = inspect(name)
    assert done.returncode == 0, done.stderr
    lines = {line.split()[0]: line for line in done.stdout.splitlines()}
    manifest = ModelBundle.open(name).manifest
    assert f" {manifest.input.height}x{manifest.input.width}x3 RGB" in lines["input"]
    assert f" {manifest.temporal.window} frames at {manifest.temporal.rate_hz:g} Hz" in lines["window"]
    macs = int(re.search(r" ([\d,]+) multiply-accumulates", lines["encoder.tflite"])[1].replace(",", ""))
    assert 1_000_000 < macs <= 40_000_000
    assert re.search(r"\d+ DEPTHWISE_CONV_2D", lines["encoder.tflite"])


def test_a_bundle_with_a_network_of_one_step(tiny):
    lines = inspect(tiny).stdout.splitlines()
    assert "modes          window, stateful" in lines
    assert any(line.startswith("step.tflite ") for line in lines)


def test_operators_and_tensors(tiny):
    ops = inspect(tiny, "--ops").stdout
    assert re.search(
        r"^ +1 FULLY_CONNECTED v4 .* 6,144 +INT8\[1x768\], INT8\[8x768\], INT32\[8\] -> INT8\[1x8\]$", ops, re.M
    )
    assert [line.split()[0] for line in ops.splitlines() if line.startswith(("encoder", "head", "step"))] == [
        "encoder.tflite",
        "head.tflite",
        "step.tflite",
    ]
    tensors = inspect(tiny, "--tensors").stdout
    assert re.search(r"INT8\[1x16x16x3\] +computed +scale 0.00392156886 zero point -128 +frame", tensors)


def test_what_an_edge_tpu_takes(tiny):
    done = inspect("actions-synthetic", "--edgetpu")
    assert "9 of 9 operators of the encoder would run on the Edge TPU, with 100% of" in done.stdout
    assert "https://coral.ai/docs/edgetpu/models-intro/" in done.stdout
    assert "2 of 2 operators" in inspect(tiny, "--edgetpu").stdout


def test_verify():
    done = inspect("fight", "--verify", "--windows", 150)
    assert done.returncode == 0, done.stderr
    lines = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert re.search(r" 15\d compared, 0 differ; \d+ answers", lines["windows"])
    assert re.search(r" 3\d\d compared, 0 differ$", lines["bytes"])
    assert lines["result"].split() == ["result", "identical"]
    assert "encoder on cpu" in lines["runtime"]


def test_verify_that_finds_a_difference(tmp_path):
    path = with_other_window_model(ModelBundle.open("actions-synthetic"), tmp_path / "off.edgehar")
    done = inspect(path, "--verify", "--windows", 40)
    assert done.returncode == 1
    assert re.search(r"^bytes +\d+ compared, [1-9]\d* differ$", done.stdout, re.MULTILINE)
    assert re.search(r"^result +DIFFERENT, by up to \d+ steps", done.stdout, re.MULTILINE)


class Page(HTMLParser):
    """Counts tags, and sees what a page would fetch."""

    def __init__(self):
        super().__init__()
        self.tags, self.fetched = [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.fetched += [value for name, value in attributes if name in ("src", "href")]


def test_the_page_is_one_file_that_needs_no_other(tmp_path):
    path = tmp_path / "page.html"
    done = inspect("actions-synthetic", "--html", path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{path} (500 frames of synthetic scenes and noise)\n"
    page = Page()
    text = path.read_text()
    page.feed(text)
    assert page.fetched == []
    # 9 operators and 4 weights of the encoder, 318 operators and the weights of the head.
    assert page.tags.count("svg") >= 9 + 4 + 318 + 3
    # Encoder, head, and the head's network of one step.
    assert page.tags.count("h2") == 3
    assert len(re.findall(r"\d dB", text)) >= 300
    assert "nan" not in text


def test_the_page_of_clips(tmp_path, tiny):
    from support.helpers import flat_frames, write_video

    clips = tmp_path / "clips"
    clips.mkdir()
    write_video(clips / "a.mp4", flat_frames(range(0, 200, 10)), rate_hz=10)
    done = inspect(tiny, "--html", tmp_path / "page.html", "--data", clips)
    assert done.returncode == 0, done.stderr
    assert "(20 frames of clips)" in done.stdout
    empty = tmp_path / "empty"
    empty.mkdir()
    assert_one_line_error(inspect(tiny, "--html", tmp_path / "p.html", "--data", empty), 1, "contains no video")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--windows", 5), "--windows needs --verify"),
        (("--verify", "--windows", 0), "must be at least 1"),
        (("--delegate", "cpu"), "--delegate needs --verify"),
        (("--data", "x"), "--data needs --html"),
        (("--html", "p.html", "--data", "nowhere"), "nowhere: no such file"),
        (("--verify", "--delegate", "npu"), "it must be cpu, auto"),
        (("--verify", "--delegate", "edgetpu"), "contains no encoder_edgetpu.tflite"),
    ],
)
def test_wrong_use(tiny, arguments, says, tmp_path):
    assert_one_line_error(inspect(tiny, *arguments, cwd=tmp_path), 2, says)


@pytest.mark.skipif(importlib.util.find_spec("tflite_runtime") is not None, reason="it is installed here")
def test_without_a_runtime_the_manifest_is_still_shown(tiny):
    done = inspect(tiny, env=environment(EDGEHAR_RUNTIME="tflite-runtime"))
    assert done.returncode == 0, done.stderr
    assert "networks       not inspected: no TFLite runtime can be imported" in done.stdout
    assert "labels         bright, dark" in done.stdout


def test_unpack(tiny, tmp_path):
    folder = tmp_path / "deep" / "folder"
    done = run_command("edgehar", "bundle", "unpack", tiny, folder)
    assert done.returncode == 0, done.stderr
    bundle = ModelBundle.open(tiny)
    assert {path.name for path in folder.iterdir()} == {"manifest.json", *bundle.files}
    assert all((folder / name).read_bytes() == content for name, content in bundle.files.items())
    assert json.loads((folder / "manifest.json").read_text())["name"] == "tiny"


def test_an_encoder_for_an_edge_tpu_is_added(tiny, tmp_path):
    encoder, out = tmp_path / "encoder_edgetpu.tflite", tmp_path / "tpu.edgehar"
    add = ("edgehar", "bundle", "add-edgetpu", tiny, encoder, "--out")
    assert_one_line_error(run_command(*add, out), 1, "encoder_edgetpu.tflite")
    encoder.write_bytes(ModelBundle.open(tiny).read("encoder.tflite"))
    assert_one_line_error(run_command(*add, out), 1, "contains no edgetpu-custom-op")
    assert not out.exists()
    encoder.write_bytes(compiled(ModelBundle.open(tiny).read("encoder.tflite")))
    assert_one_line_error(run_command(*add, tmp_path / "tpu.zip"), 2, "must end in .edgehar")
    done = run_command(*add, out)
    assert done.returncode == 0, done.stderr
    both, plain = ModelBundle.open(out), ModelBundle.open(tiny)
    assert both.read("encoder_edgetpu.tflite") == encoder.read_bytes()
    assert {name: both.files[name] for name in plain.files} == plain.files
    assert "compiled for an Edge TPU" in inspect(out).stdout
    # Without an Edge TPU it works as before, and says once why.
    source = "synthetic:walking?duration_s=1"
    run = run_command("edgehar-run", "--model", out, "--source", source, "--delegate", "auto")
    assert run.returncode == 0, run.stderr
    assert run.stderr.count("runs on the CPU") == 1
