"""The state of taken over models: every change is whole, can be undone, and survives a kill at any moment."""

import errno
import multiprocessing
import os
import signal
import time
import zipfile

import pytest
from support.tiny_bundle import write_tiny_bundle

from edgehar import ModelBundle
from edgehar.errors import BundleError, ConfigError
from edgehar.model import signature
from edgehar.model.bundle import find_bundle
from edgehar.model.takeover import Comparison, Takeovers


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundles")
    return [
        ModelBundle.open(write_tiny_bundle(folder / f"b{number}.edgehar", gain=4.0 + number, name=f"b{number}"))
        for number in range(8)
    ]


@pytest.fixture
def takeovers(tmp_path):
    return Takeovers(tmp_path / "models")


def name_of(installed):
    return None if installed is None else installed.name


def test_nothing_is_taken_over_at_first(takeovers):
    assert takeovers.state("fight").active is None
    assert takeovers.states() == []
    with pytest.raises(ConfigError, match="nothing to roll back"):
        takeovers.rollback("fight")


def test_takeovers_are_undone_one_by_one(takeovers, bundles):
    for bundle in bundles[:3]:
        takeovers.put("fight", bundle, shadow_s=0)
    state = takeovers.state("fight")
    assert (name_of(state.active), [*map(name_of, state.previous)]) == ("b2", [None, "b0", "b1"])
    assert takeovers.open("fight", state.active).manifest == bundles[2].manifest
    assert [name_of(takeovers.rollback("fight").active) for _ in range(3)] == ["b1", "b0", None]
    with pytest.raises(ConfigError):
        takeovers.rollback("fight")


def test_a_shadow_takes_over_or_is_dropped(takeovers, bundles):
    candidate = takeovers.put("fight", bundles[0], shadow_s=60).candidate
    assert takeovers.state("fight").active is None
    takeovers.promote("fight", candidate, Comparison(hours=1.0))
    assert name_of(takeovers.state("fight").active) == "b0"
    second = takeovers.put("fight", bundles[1], shadow_s=60).candidate
    takeovers.refuse("fight", second, "worse")
    state = takeovers.state("fight")
    assert (name_of(state.active), state.candidate, state.note) == ("b0", None, "worse")
    takeovers.put("fight", bundles[2], shadow_s=60)
    takeovers.rollback("fight")
    assert (name_of(takeovers.state("fight").active), takeovers.state("fight").candidate) == ("b0", None)


def test_a_verdict_about_an_earlier_candidate_changes_nothing(takeovers, bundles):
    old = takeovers.put("fight", bundles[0], shadow_s=60).candidate
    takeovers.put("fight", bundles[1], shadow_s=60)
    assert takeovers.promote("fight", old, Comparison()).active is None
    assert name_of(takeovers.refuse("fight", old, "no").candidate) == "b1"
    takeovers.note_comparison("fight", old, Comparison(hours=9))
    assert takeovers.state("fight").comparison is None


def test_models_do_not_meet(takeovers, bundles):
    takeovers.put("fight", bundles[0], shadow_s=0)
    takeovers.put("models/fight.edgehar", bundles[1], shadow_s=0)
    assert name_of(takeovers.state("fight").active) == "b0"
    assert name_of(takeovers.state("models/fight.edgehar").active) == "b1"
    assert len(takeovers.states()) == 2


def test_bundles_that_no_state_names_are_removed(takeovers, bundles):
    for bundle in bundles:
        takeovers.put("fight", bundle, shadow_s=0)
    state = takeovers.state("fight")
    assert len(list(takeovers.folder.glob("*/*.edgehar"))) == len([one for one in state.previous if one]) + 1 == 6


@pytest.mark.parametrize(
    "content", [b"", b"{", b'{"model": 3}', b'{"model": "fight", "active": {"file": "../x.edgehar"}}']
)
def test_a_damaged_state_is_named(takeovers, bundles, content):
    takeovers.put("fight", bundles[0], shadow_s=0)
    next(takeovers.folder.glob("*/state.json")).write_bytes(content)
    with pytest.raises(BundleError, match=r"state\.json: damaged"):
        takeovers.state("fight")


@pytest.mark.parametrize("damage", ["gone", "other"])
def test_a_bundle_that_was_replaced_is_not_opened(takeovers, bundles, damage):
    active = takeovers.put("fight", bundles[0], shadow_s=0).active
    path = takeovers.path_of("fight", active)
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(bundles[1].path.read_bytes())
    with pytest.raises(BundleError, match="edgehar models swap"):
        takeovers.open("fight", active)


def test_a_full_disk_leaves_the_state(takeovers, bundles, monkeypatch):
    takeovers.put("fight", bundles[0], shadow_s=0)

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr("edgehar.model.takeover.os.fsync", full)
        with pytest.raises(BundleError, match="No space left"):
            takeovers.put("fight", bundles[1], shadow_s=0)
    assert name_of(takeovers.state("fight").active) == "b0"


def swap_for_ever(folder, paths):
    takeovers, bundles = Takeovers(folder), [ModelBundle.open(path) for path in paths]
    while True:
        for bundle in bundles:
            takeovers.put("fight", bundle, shadow_s=0)


def test_a_kill_in_mid_swap_leaves_a_model_that_opens(takeovers, bundles):
    context = multiprocessing.get_context("fork")
    for attempt in range(12):
        child = context.Process(target=swap_for_ever, args=(takeovers.folder, [bundle.path for bundle in bundles]))
        child.start()
        while not list(takeovers.folder.glob("*/state.json")):
            time.sleep(0.001)
        # Another moment of a swap each time.
        time.sleep(0.003 * attempt + 0.001)
        os.kill(child.pid, signal.SIGKILL)
        child.join()
        state = takeovers.state("fight")
        for installed in (state.active, *state.previous):
            if installed is not None:
                takeovers.open("fight", installed)
    assert takeovers.put("fight", bundles[0], shadow_s=0).active.name == "b0"


def test_a_bundle_that_was_replaced_after_it_was_opened_is_refused(takeovers, bundles, tmp_path):
    path = tmp_path / "new.edgehar"
    path.write_bytes(bundles[0].path.read_bytes())
    opened = ModelBundle.open(path)
    path.write_bytes(bundles[1].path.read_bytes())
    with pytest.raises(BundleError, match="was replaced"):
        takeovers.put("fight", opened, shadow_s=0)
    assert takeovers.state("fight").active is None


def test_a_disk_that_fails_is_said_as_a_damaged_bundle(takeovers, bundles, monkeypatch):
    active = takeovers.put("fight", bundles[0], shadow_s=0).active

    def fail(_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("edgehar.model.takeover.Path.read_bytes", fail)
    with pytest.raises(BundleError, match="cannot be read: Input/output error"):
        takeovers.open("fight", active)


def test_a_link_to_a_shipped_model_vouches_for_nothing_else(bundles, tmp_path):
    path = tmp_path / "link.edgehar"
    path.write_bytes(bundles[0].path.read_bytes())
    opened = ModelBundle.open(path)
    path.unlink()
    path.symlink_to(find_bundle("fight"))
    signature.require(ModelBundle.open(path), str(tmp_path / "none"))
    with pytest.raises(BundleError, match="is not signed"):
        signature.require(opened, str(tmp_path / "none"))


def test_a_damaged_signature_is_a_damaged_bundle(bundles, tmp_path):
    path = tmp_path / "new.edgehar"
    with zipfile.ZipFile(bundles[0].path) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
        new.writestr(signature.ENTRY, b"x" * 1000, zipfile.ZIP_DEFLATED)
        at = new.getinfo(signature.ENTRY).header_offset + 30 + len(signature.ENTRY)
    content = bytearray(path.read_bytes())
    content[at] = 0xFF
    path.write_bytes(content)
    with pytest.raises(BundleError, match="cannot be read"):
        signature.signature_of(path)
