"""Signed bundles: made, trusted, required, and refused when anything about them is wrong."""

import json
import os
import re
import shutil
import subprocess
import zipfile

import pytest
from support.helpers import assert_one_line_error, flat_frames, run_command, write_video

pytest.importorskip("cryptography")


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """A private key and its public half, as `edgehar sign --new-key` writes them."""
    folder = tmp_path_factory.mktemp("keys")
    done = run_command("edgehar", "sign", "--new-key", folder / "office.key")
    assert done.returncode == 0, done.stderr
    assert (folder / "office.key").stat().st_mode & 0o777 == 0o600
    return folder / "office.key"


@pytest.fixture
def bundle(tiny_bundle, tmp_path):
    return shutil.copy(tiny_bundle, tmp_path / "hall.edgehar")


@pytest.fixture
def signed(bundle, keys):
    done = run_command("edgehar", "sign", bundle, "--key", keys)
    assert done.returncode == 0, done.stderr
    return bundle


@pytest.fixture
def device(tmp_path):
    """The environment and the configuration of a device that demands signatures."""
    clip = write_video(tmp_path / "clip.mp4", flat_frames([230] * 30))
    config = tmp_path / "edgehar.toml"
    config.write_text(f'model = "hall.edgehar"\n[[camera]]\nsource = "{clip}"\n[models]\nrequire_signed = true\n')
    return config, {**os.environ, "XDG_CONFIG_HOME": str(tmp_path / "home")}


def run_on(device, *more):
    config, env = device
    return run_command("edgehar-run", "--config", config, *more, env=env)


def trust(device, *arguments):
    return run_command("edgehar", "trust", *arguments, env=device[1])


def rewrite(path, change):
    """Write a bundle again, after a change to its entries."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    change(entries)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)


def test_a_signed_bundle_of_a_trusted_key_runs(device, signed, keys):
    assert trust(device, "add", f"{keys}.pub", "--name", "office").returncode == 0
    done = run_on(device)
    assert done.returncode == 0, done.stderr
    assert '"prediction"' in done.stdout
    checked = run_command("edgehar", "sign", signed, "--check", env=device[1])
    assert "signed by office" in checked.stdout
    assert "office" in run_command("edgehar", "inspect", signed, env=device[1]).stdout


def test_a_shipped_model_needs_no_signature(device):
    done = run_on(device, "--model", "actions-synthetic", "--max-predictions", "1")
    assert done.returncode == 0, done.stderr


def test_an_unsigned_bundle_is_refused(device, bundle):
    assert_one_line_error(run_on(device), 1, "is not signed", "edgehar sign")
    checked = run_command("edgehar", "config", "check", device[0], env=device[1])
    assert checked.returncode == 2
    assert "is not signed" in checked.stderr + checked.stdout
    assert bundle.exists()


def test_without_the_setting_an_unsigned_bundle_runs(device, bundle):
    device[0].write_text(device[0].read_text().replace("require_signed = true", "require_signed = false"))
    assert run_on(device).returncode == 0


def test_a_key_that_is_not_trusted_is_refused(device, signed):
    assert_one_line_error(run_on(device), 1, "not trusted", "SHA256:", "edgehar trust add")
    assert "does not trust" in run_command("edgehar", "inspect", signed, env=device[1]).stdout


def test_a_key_that_is_trusted_no_longer_is_refused(device, signed, keys):
    trust(device, "add", f"{keys}.pub", "--name", "office")
    assert run_on(device).returncode == 0
    assert trust(device, "remove", "office").returncode == 0
    assert_one_line_error(run_on(device), 1, "not trusted")
    assert "no key is trusted" in trust(device, "list").stdout


def alter_manifest(entries):
    manifest = json.loads(entries["manifest.json"])
    manifest["decision"]["threshold"] = 0.999
    entries["manifest.json"] = json.dumps(manifest).encode()


def alter_signature(entries):
    signature = json.loads(entries["signature.json"])
    start = signature["signature"][0]
    signature["signature"] = ("B" if start == "A" else "A") + signature["signature"][1:]
    entries["signature.json"] = json.dumps(signature).encode()


def other_bytes(entries):
    entries["signature.json"] = b'{"key": 3}'


@pytest.mark.parametrize(
    ("change", "words"),
    [(alter_manifest, "altered"), (alter_signature, "altered"), (other_bytes, "signature.json")],
)
def test_a_tampered_bundle_is_refused(device, signed, keys, change, words):
    trust(device, "add", f"{keys}.pub")
    rewrite(signed, change)
    assert_one_line_error(run_on(device), 1, words)
    assert_one_line_error(run_command("edgehar", "inspect", signed, env=device[1]), 1, words)


def test_the_signature_of_another_bundle_does_not_hold(device, signed, tiny_bundle, keys, tmp_path):
    trust(device, "add", f"{keys}.pub")
    with zipfile.ZipFile(signed) as archive:
        signature = archive.read("signature.json")
    other = shutil.copy(tiny_bundle, tmp_path / "other.edgehar")
    rewrite(other, alter_manifest)
    rewrite(other, lambda entries: entries.update({"signature.json": signature}))
    assert_one_line_error(run_on(device, "--model", other), 1, "altered")


def test_a_damaged_bundle_is_not_signed(bundle, keys):
    rewrite(bundle, lambda entries: entries.update({"head.tflite": b"x"}))
    assert_one_line_error(run_command("edgehar", "sign", bundle, "--key", keys), 1, "head.tflite is altered")


def test_keys_of_openssh_work(device, bundle, tmp_path):
    if shutil.which("ssh-keygen") is None:
        pytest.skip("ssh-keygen is not installed")
    key = tmp_path / "id"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "ops", "-f", key], check=True)
    assert run_command("edgehar", "sign", bundle, "--key", key).returncode == 0
    assert trust(device, "add", f"{key}.pub").returncode == 0
    shown = subprocess.run(["ssh-keygen", "-l", "-f", key], capture_output=True, text=True, check=True).stdout
    assert re.search(r"SHA256:\S+", shown)[0] in trust(device, "list").stdout
    assert run_on(device).returncode == 0


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not a private Ed25519 key"),
        (b"-----BEGIN OPENSSH PRIVATE KEY-----\nx\n-----END OPENSSH PRIVATE KEY-----\n", "not a private"),
        (None, "cannot be read"),
    ],
)
def test_a_file_that_is_not_a_key_is_said(bundle, tmp_path, content, words):
    if content is not None:
        (tmp_path / "key").write_bytes(content)
    assert_one_line_error(run_command("edgehar", "sign", bundle, "--key", tmp_path / "key"), 2, words, "--new-key")


@pytest.mark.parametrize("text", ["ssh-rsa AAAA office", "ssh-ed25519 AAAA", "nothing.pub"])
def test_a_line_that_is_not_a_public_key_is_said(device, text):
    assert_one_line_error(trust(device, "add", text), 2, text.split()[0] if "." in text else "not a public key")


def test_a_broken_file_of_keys_is_said(device, signed, tmp_path):
    (tmp_path / "home" / "edgehar").mkdir(parents=True)
    (tmp_path / "home" / "edgehar" / "trusted_keys").write_text("# ours\n\nhello\n")
    assert_one_line_error(run_on(device), 2, "trusted_keys:3: not a public key")


def test_a_key_is_not_overwritten(keys):
    assert_one_line_error(run_command("edgehar", "sign", "--new-key", keys), 2, "exists already")
