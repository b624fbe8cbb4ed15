"""Bundles: what is written is read back; whatever is missing, altered or newer is an error that names it."""

import json
import pwd
import tracemalloc
import zipfile

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.samples import sample_manifest

from edgehar import BundleError, ConfigError, ModelBundle
from edgehar.model import signature
from edgehar.model.bundle import find_bundle, installed_bundles, is_bundle_name, manifest_json, write_bundle
from edgehar.model.manifest import Decision, least_schema_version

CONTENTS = {
    "encoder.tflite": b"encoder",
    "head.tflite": b"head",
    "window.tflite": b"window",
    "MODEL_CARD.md": b"# card\n",
}


@pytest.fixture
def bundle(tmp_path):
    path = tmp_path / "tiny.edgehar"
    write_bundle(path, sample_manifest(), CONTENTS)
    return path


def rewrite(path, change):
    """Apply `change` to the dictionary of a bundle's files."""
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    change(files)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)


def edit_manifest(path, change):
    def apply(files):
        manifest = json.loads(files["manifest.json"])
        change(manifest)
        files["manifest.json"] = json.dumps(manifest).encode()

    rewrite(path, apply)


def test_what_is_written_is_read_back(bundle):
    opened = ModelBundle.open(bundle)
    assert msgspec.structs.replace(opened.manifest, files={}) == sample_manifest()
    assert opened.read("head.tflite") == b"head"
    assert opened.read("labels.txt") == b"fight\nnoFight\n"
    assert all(info.compress_type == zipfile.ZIP_STORED for info in zipfile.ZipFile(bundle).infolist())


def test_the_same_model_gives_the_same_bytes(bundle, tmp_path):
    again = tmp_path / "again.edgehar"
    write_bundle(again, sample_manifest(), CONTENTS)
    assert again.read_bytes() == bundle.read_bytes()


def test_the_ring_has_the_models_preprocessing(bundle):
    ring = ModelBundle.open(bundle).make_ring()
    with pytest.raises(RuntimeError):
        ring.window()


@pytest.mark.parametrize("name", ["labels.txt", "encoder.tflite", "head.tflite", "window.tflite", "MODEL_CARD.md"])
def test_a_missing_or_altered_file_is_named(bundle, name):
    original = bundle.read_bytes()
    rewrite(bundle, lambda files: files.update({name: files[name] + b"x"}))
    with pytest.raises(BundleError, match=f"{name} is altered"):
        ModelBundle.open(bundle)
    bundle.write_bytes(original)
    rewrite(bundle, lambda files: files.pop(name))
    with pytest.raises(BundleError, match=f"{name} is missing"):
        ModelBundle.open(bundle)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.update(schema_version=7), "schema_version is 7.*update edgehar"),
        (lambda m: m.pop("temporal"), "missing required field `temporal`"),
        (lambda m: m["input"].pop("height"), r"missing required field `height` - at `\$.input`"),
        (lambda m: m["input"].update(height=0), r"\$.input.height"),
        (lambda m: m["input"].update(motion="optical-flow"), r"\$.input.motion"),
        (lambda m: m["input"].update(crop="centre"), r"\$.input.crop"),
        (lambda m: m.update(extra=1), "unknown field `extra`"),
        (lambda m: m.update(labels=["noFight", "fight"]), "labels.txt differs"),
        (lambda m: m.update(name="../evil"), r"\$.name"),
        (lambda m: m["files"].pop("head.tflite"), "head.tflite is missing"),
        (lambda m: m["temporal"].update(rate_hz="fast"), r"\$.temporal.rate_hz"),
    ],
)
def test_a_wrong_manifest_names_the_field(bundle, change, message):
    edit_manifest(bundle, change)
    with pytest.raises(BundleError, match=f"(?i){message}"):
        ModelBundle.open(bundle)


def test_no_manifest_and_no_json(bundle):
    rewrite(bundle, lambda files: files.update({"manifest.json": b"{"}))
    with pytest.raises(BundleError, match=r"manifest\.json"):
        ModelBundle.open(bundle)
    rewrite(bundle, lambda files: files.pop("manifest.json"))
    with pytest.raises(BundleError, match=r"manifest\.json is missing"):
        ModelBundle.open(bundle)


@settings(max_examples=150)
@given(data=st.data())
def test_no_damage_goes_unnoticed_or_crashes(data, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "damaged.edgehar"
    write_bundle(path, sample_manifest(), CONTENTS)
    whole = ModelBundle.open(path)
    content = bytearray(path.read_bytes())
    if data.draw(st.booleans(), label="cut"):
        del content[data.draw(st.integers(0, len(content) - 1), label="length") :]
    else:
        content[data.draw(st.integers(0, len(content) - 1), label="at")] ^= data.draw(st.integers(1, 255), label="bits")
    path.write_bytes(content)
    try:
        opened = ModelBundle.open(path)
    except BundleError:
        return
    # A bit of the zip's own fields (a date, say) may change without harm; the contents may not.
    assert opened.manifest == whole.manifest
    assert all(opened.read(name) == whole.read(name) for name in CONTENTS)


def test_unknown_names_and_paths_say_what_there_is(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    with pytest.raises(ConfigError, match="unknown model 'no-such-model'"):
        find_bundle("no-such-model")
    with pytest.raises(ConfigError, match="no such model bundle"):
        find_bundle(tmp_path / "missing.edgehar")
    installed = tmp_path / "edgehar" / "models" / "mine.edgehar"
    installed.parent.mkdir(parents=True)
    write_bundle(installed, sample_manifest(), CONTENTS)
    assert find_bundle("mine") == installed


def test_a_bundle_that_cannot_be_written_leaves_nothing(tmp_path):
    with pytest.raises(BundleError, match="cannot be written without head"):
        write_bundle(tmp_path / "a.edgehar", sample_manifest(), {k: v for k, v in CONTENTS.items() if "head" not in k})
    with pytest.raises(BundleError, match="cannot be written"):
        write_bundle(tmp_path / "no" / "folder.edgehar", sample_manifest(), CONTENTS)
    (tmp_path / "folder.edgehar").mkdir()
    with pytest.raises(BundleError, match="cannot be written"):
        write_bundle(tmp_path / "folder.edgehar", sample_manifest(), CONTENTS)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder.edgehar"]


def test_a_file_that_is_no_zip(tmp_path):
    path = tmp_path / "text.edgehar"
    path.write_text("not a bundle")
    with pytest.raises(BundleError, match="not a readable model bundle"):
        ModelBundle.open(path)
    # Root may read anything, so an unreadable file is one whose reading fails.
    unreadable = tmp_path / "memory.edgehar"
    unreadable.symlink_to("/proc/self/mem")
    with pytest.raises(BundleError, match="memory"):
        ModelBundle.open(unreadable)


@pytest.mark.parametrize(
    ("name", "good"), [("fight", True), ("a.b_c-1", True), ("", False), ("-x", False), ("a/b", False)]
)
def test_bundle_names(name, good):
    assert is_bundle_name(name) is good


RULES = Decision(
    thresholds={"fight": 0.4}, smoothing="cusum", cusum_seconds=2.0, baseline_share=0.5, refractory_s=5.0,
    background=["noFight"],
)  # fmt: skip


def test_rules_of_decision_are_read_back_and_raise_the_schema_version(tmp_path):
    manifest = msgspec.structs.replace(sample_manifest(), decision=RULES)
    path = tmp_path / "ruled.edgehar"
    write_bundle(path, manifest, CONTENTS)
    found = ModelBundle.open(path).manifest
    assert (found.decision, found.schema_version) == (RULES, 2)


def test_a_bundle_without_new_rules_is_one_that_older_versions_read(tmp_path):
    """They know schema version 1, and no key of `decision` but these two."""
    path = tmp_path / "plain.edgehar"
    manifest = msgspec.structs.replace(sample_manifest(), decision=Decision(threshold=0.5, background=["noFight"]))
    write_bundle(path, msgspec.structs.replace(manifest, schema_version=2), CONTENTS)
    with zipfile.ZipFile(path) as archive:
        written = json.loads(archive.read("manifest.json"))
    assert written["schema_version"] == 1
    assert written["decision"] == {"threshold": 0.5, "background": ["noFight"]}


@pytest.mark.parametrize(("rules", "words"), [({"k": 9}, "k is 9"), ({"baseline_share": 2}, "baseline_share")])
def test_rules_out_of_range_are_refused(tmp_path, rules, words):
    path = tmp_path / "ruled.edgehar"
    write_bundle(path, msgspec.structs.replace(sample_manifest(), decision=RULES), CONTENTS)
    edit_manifest(path, lambda m: m["decision"].update(rules))
    with pytest.raises(BundleError, match=words):
        ModelBundle.open(path)


def add_compressed(path, name, size):
    """Add an entry of zeros that takes almost no room in the file."""
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive, archive.open(name, "w") as entry:
        for _ in range(size // 1_000_000):
            entry.write(bytes(1_000_000))


def test_entries_that_are_not_listed_are_not_read(bundle):
    add_compressed(bundle, "bomb", 300_000_000)
    opened = ModelBundle.open(bundle)
    assert "bomb" not in opened.files


def test_a_file_that_inflates_beyond_the_bound_is_refused_before_it_is_in_memory(bundle):
    rewrite(bundle, lambda files: files.pop("head.tflite"))
    add_compressed(bundle, "head.tflite", 300_000_000)
    assert bundle.stat().st_size < 1_000_000
    tracemalloc.start()
    with pytest.raises(BundleError, match=r"head\.tflite has 300 MB; a bundle may have 64 MB more"):
        ModelBundle.open(bundle)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10_000_000


def test_a_manifest_that_inflates_is_refused(bundle):
    rewrite(bundle, lambda files: files.pop("manifest.json"))
    add_compressed(bundle, "manifest.json", 10_000_000)
    with pytest.raises(BundleError, match=r"manifest\.json has 10 MB"):
        ModelBundle.open(bundle)


@pytest.mark.parametrize("label", ["\x1b[2Jfight", "a\nb", "", "\x07"])
def test_a_label_that_could_control_a_terminal_is_refused(tmp_path, label):
    path = tmp_path / "odd.edgehar"
    manifest = msgspec.structs.replace(sample_manifest(), labels=[label, "noFight"])
    write_bundle(path, manifest, CONTENTS)
    with pytest.raises(BundleError, match="labels") as caught:
        ModelBundle.open(path)
    assert str(caught.value).isprintable()


def test_a_later_version_of_a_model_needs_schema_2():
    first, second = sample_manifest(), msgspec.structs.replace(sample_manifest(), version=2)
    assert least_schema_version(first) == 1
    assert least_schema_version(second) == 2
    plain = json.loads(manifest_json(first))
    assert "version" not in plain
    assert "taught" not in plain["provenance"]
    assert json.loads(manifest_json(msgspec.structs.replace(second, schema_version=2)))["version"] == 2


def test_a_user_without_a_home_finds_the_shipped_models(monkeypatch):
    # As the dynamic user of a systemd service where libnss-systemd is not installed.
    for name in ("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)

    def unknown(_number):
        raise KeyError("uid not found")

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    assert find_bundle("fight").name == "fight.edgehar"
    assert "fight" in {path.stem for path in installed_bundles()}
    assert signature.default_trust_file().is_absolute()
