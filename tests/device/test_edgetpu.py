"""The path to an Edge TPU: a delegate library of our own that TFLite really loads, on a machine made of files."""

import logging
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from support.helpers import assert_one_line_error, environment, predictions, run_command
from support.tiny_bundle import write_tiny_bundle

from edgehar import Classifier, ConfigError, ModelBundle, RuntimeUnavailableError
from edgehar.config import Config
from edgehar.doctor.software import check_runtime
from edgehar.model import edgetpu as delegates
from edgehar.model.bundle import EDGE_TPU_FILE, write_bundle
from edgehar.model.network import Network

SOURCE = Path(__file__).with_name("dummy_delegate.c")


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler to make a delegate library with")
    path = tmp_path_factory.mktemp("delegate") / "libdummy.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-Wall", "-Werror", "-o", path, SOURCE], check=True)
    return path


@pytest.fixture(scope="module")
def with_edge_tpu(tmp_path_factory):
    """A bundle whose Edge TPU encoder is the plain one, which a delegate that does nothing leaves as it is."""
    folder = tmp_path_factory.mktemp("bundle")
    plain = ModelBundle.open(write_tiny_bundle(folder / "plain.edgehar"))
    path = folder / "both.edgehar"
    write_bundle(path, plain.manifest, {**plain.files, EDGE_TPU_FILE: plain.read("encoder.tflite")})
    return path


@pytest.fixture
def dummy(library, monkeypatch, tmp_path):
    """The library in place of libedgetpu; the file that says what was asked of it."""
    log = tmp_path / "log"
    monkeypatch.setenv("EDGEHAR_EDGETPU_LIBRARY", str(library))
    monkeypatch.setenv("DUMMY_DELEGATE_LOG", str(log))
    return log


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """Nothing plugged in, until a test plugs something in."""
    usb, dev = tmp_path / "sys", tmp_path / "dev"
    usb.mkdir()
    dev.mkdir()
    monkeypatch.setattr(delegates, "_USB_DEVICES", usb)
    monkeypatch.setattr(delegates, "_DEV", dev)

    def plug_in(vendor="18d1", product="9302", *, mode=0o666):
        folder = usb / "2-1"
        folder.mkdir()
        for name, value in (("idVendor", vendor), ("idProduct", product), ("busnum", "2"), ("devnum", "7")):
            (folder / name).write_text(f"{value}\n")
        node = dev / "bus/usb/002/007"
        node.parent.mkdir(parents=True)
        node.touch(mode)
        node.chmod(mode)
        return node

    return plug_in


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("edgetpu", None),
        ("edgetpu:1", "option device=:1"),
        ("edgetpu:usb", "option device=usb"),
        ("edgetpu:pci:0", "option device=pci:0"),
    ],
)
def test_the_delegate_is_loaded_and_given_the_encoder(dummy, with_edge_tpu, name, option):
    frames = np.random.default_rng(0).integers(0, 256, (6, 24, 32, 3), np.uint8)
    with Classifier(with_edge_tpu, hop=1) as classifier:
        expected = [answer.raw.tobytes() for frame in frames if (answer := classifier.push(frame)) is not None]
    assert not dummy.exists()
    with Classifier(with_edge_tpu, hop=1, delegate=name) as classifier:
        got = [answer.raw.tobytes() for frame in frames if (answer := classifier.push(frame)) is not None]
    assert got == expected
    said = dummy.read_text().splitlines()
    assert said[: -1 if said[-1] == "destroy" else None] == [*([option] if option else []), "create", "prepare"]


def test_a_failed_encoder_is_loaded_anew_on_the_edge_tpu(dummy, with_edge_tpu):
    with Network(with_edge_tpu, delegate="edgetpu") as network:
        network.reload()
        assert network.delegate == "edgetpu"
    assert dummy.read_text().splitlines().count("prepare") == 2


def test_a_library_that_says_why_it_refuses_is_quoted(dummy, with_edge_tpu, monkeypatch):
    monkeypatch.setenv("DUMMY_DELEGATE_REFUSAL", "the moon is full")
    with pytest.raises(RuntimeUnavailableError, match=r"^edgetpu:2: the moon is full$"):
        Network(with_edge_tpu, delegate="edgetpu:2")


@pytest.mark.parametrize("why", ["absent", "other device", "permission", "busy"])
def test_a_library_that_refuses_without_a_word_is_explained(dummy, with_edge_tpu, monkeypatch, machine, why):
    monkeypatch.setenv("DUMMY_DELEGATE_REFUSAL", "")
    said = {
        "absent": "no Edge TPU is found; plug it in",
        "other device": "no Edge TPU is found",
        "permission": "007; install the udev rule",
        "busy": "another program may use it",
    }
    if why == "other device":
        machine("1d6b", "0002")
    elif why != "absent":
        node = machine()
        if why == "permission":  # Root may open everything.
            monkeypatch.setattr(delegates.os, "access", lambda path, _: path != node)
    with pytest.raises(RuntimeUnavailableError, match=said[why]):
        Network(with_edge_tpu, delegate="edgetpu")


def test_both_names_of_a_usb_edge_tpu_are_known_and_so_is_pci(machine, monkeypatch, tmp_path):
    assert delegates.edge_tpus() == []
    node = machine("1a6e", "089a")
    (tmp_path / "dev" / "apex_0").touch()
    assert delegates.edge_tpus() == [node, tmp_path / "dev" / "apex_0"]


def test_a_library_that_is_missing_or_no_library(with_edge_tpu, monkeypatch, tmp_path, capfd):
    monkeypatch.setenv("EDGEHAR_EDGETPU_LIBRARY", "libedgehar-nowhere.so.1")
    with pytest.raises(RuntimeUnavailableError, match=r"libedgehar-nowhere\.so\.1 is not installed; see docs"):
        Network(with_edge_tpu, delegate="edgetpu")
    text = tmp_path / "text.so"
    text.write_text("no library")
    monkeypatch.setenv("EDGEHAR_EDGETPU_LIBRARY", str(text))
    with pytest.raises(RuntimeUnavailableError, match=r"cannot be loaded \(.*for this machine's processor"):
        Network(with_edge_tpu, delegate="edgetpu")
    # The runtime's own attempt would have left a traceback there.
    assert "__del__" not in capfd.readouterr().err


def test_a_library_that_is_no_delegate_is_said_to_give_none(with_edge_tpu, monkeypatch, tmp_path):
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    (tmp_path / "empty.c").write_text("int nothing;\n")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", tmp_path / "empty.so", tmp_path / "empty.c"], check=True)
    monkeypatch.setenv("EDGEHAR_EDGETPU_LIBRARY", str(tmp_path / "empty.so"))
    with pytest.raises(RuntimeUnavailableError, match="is not a TFLite delegate"):
        Network(with_edge_tpu, delegate="edgetpu")


def test_a_delegate_that_does_not_take_the_network_is_said_to_be_of_another_version(dummy, with_edge_tpu, monkeypatch):
    monkeypatch.setenv("DUMMY_DELEGATE_UNPREPARED", "1")
    with pytest.raises(RuntimeUnavailableError, match=r"the Edge TPU refuses it .*--min_runtime_version"):
        Network(with_edge_tpu, delegate="edgetpu")


def test_auto_falls_back_to_the_cpu_with_one_line(dummy, with_edge_tpu, monkeypatch, caplog, machine):
    monkeypatch.setenv("DUMMY_DELEGATE_REFUSAL", "")
    with caplog.at_level(logging.INFO), Network(with_edge_tpu, delegate="auto") as network:
        assert network.delegate == "cpu"
    assert [record.message for record in caplog.records if "runs on the CPU" in record.message] == [
        record.message for record in caplog.records
    ]
    assert "no Edge TPU is found" in caplog.text
    monkeypatch.delenv("DUMMY_DELEGATE_REFUSAL")
    with Network(with_edge_tpu, delegate="auto") as network:
        assert network.delegate == "edgetpu"


def test_a_bundle_without_a_compiled_encoder_says_how_to_get_one(dummy, tmp_path):
    plain = write_tiny_bundle(tmp_path / "plain.edgehar")
    with pytest.raises(ConfigError, match=r"contains no encoder_edgetpu\.tflite; compile"):
        Network(plain, delegate="edgetpu")
    with Network(plain, delegate="auto") as network:
        assert network.delegate == "cpu"


@pytest.mark.parametrize("name", ["gpu", "edgetpu:", "edgetpu:x", "edgetpu:usb:", "EDGETPU", ""])
def test_other_names_are_refused(name, tmp_path):
    with pytest.raises(ConfigError, match="delegate is"):
        Network(write_tiny_bundle(tmp_path / "plain.edgehar"), delegate=name)


def test_the_command_uses_it(library, with_edge_tpu, tmp_path):
    log = tmp_path / "log"
    env = environment(EDGEHAR_EDGETPU_LIBRARY=str(library), DUMMY_DELEGATE_LOG=str(log))
    command = ("edgehar-run", "--model", with_edge_tpu, "--source", "synthetic:walking?duration_s=1")
    done = run_command(*command, "--delegate", "edgetpu:0", env=env)
    assert done.returncode == 0, done.stderr
    assert predictions(done.stdout)
    assert log.read_text().splitlines()[:3] == ["option device=:0", "create", "prepare"]
    missing = run_command(*command, "--delegate", "edgetpu", env=environment(EDGEHAR_EDGETPU_LIBRARY="nowhere.so.1"))
    assert_one_line_error(missing, 1, "nowhere.so.1 is not installed")
    assert_one_line_error(run_command(*command, "--delegate", "npu"), 2, "delegate", "edgetpu:N")


def test_the_doctor_tries_it(dummy, monkeypatch, machine):
    def found(delegate):
        return next(f for f in check_runtime(Config(delegate=delegate)) if f.check == "delegate")

    assert found("cpu").level == found("edgetpu").level == "ok"
    monkeypatch.setenv("DUMMY_DELEGATE_REFUSAL", "")
    assert (found("auto").level, found("edgetpu").level) == ("warn", "fail")
    machine()
    assert 'used with delegate = "auto"' in found("cpu").says
