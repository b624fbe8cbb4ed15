"""Shards: read back as they were written, and known to be broken when they are not whole."""

import numpy as np
import pytest

from edgehar_training.data.shards import BrokenShardError, read_shard, write_shard


def pictures(count=5):
    return np.random.default_rng(0).integers(0, 256, (count, 6, 8, 3), np.uint8)


@pytest.fixture
def shard(tmp_path):
    path = tmp_path / "clip.npy"
    assert write_shard(path, zip(pictures(), 3 + np.arange(5) / 25, strict=True), (6, 8, 3), "uint8") == 5
    return path


def test_pictures_and_times_come_back_memory_mapped(shard):
    for verify in (False, True):
        found, times_s = read_shard(shard, verify=verify)
        assert isinstance(found, np.memmap)
        assert np.array_equal(found, pictures())
        np.testing.assert_allclose(times_s, np.arange(5) / 25)
    assert np.array_equal(np.load(shard), pictures())  # any program's numpy reads it


@pytest.mark.parametrize("dtype", ["int8", "float32"])
def test_other_kinds_of_numbers(tmp_path, dtype):
    write_shard(tmp_path / "a.npy", [(np.full((2, 3), -7), 0.0)], (2, 3), dtype)
    found, _ = read_shard(tmp_path / "a.npy", verify=True)
    assert found.dtype == dtype
    assert (found == -7).all()


@pytest.mark.parametrize("size", [0, 5, 60, 127, 128, 300, 800, -1])
def test_a_shard_that_is_cut_off_is_broken(shard, size):
    content = shard.read_bytes()
    shard.write_bytes(content[:size])
    for verify in (False, True):
        with pytest.raises(BrokenShardError):
            read_shard(shard, verify=verify)


def test_a_shard_that_goes_on_is_broken(shard):
    shard.write_bytes(shard.read_bytes() + b"x")
    with pytest.raises(BrokenShardError):
        read_shard(shard, verify=False)


def test_every_altered_byte_is_noticed(shard):
    content = shard.read_bytes()
    for place in [*range(140), *range(140, len(content), 37), *range(len(content) - 60, len(content))]:
        altered = bytearray(content)
        altered[place] ^= 4
        shard.write_bytes(altered)
        with pytest.raises(BrokenShardError):
            read_shard(shard, verify=True)


def test_nothing_is_left_of_what_failed(tmp_path):
    def failing():
        yield np.zeros((2, 2), np.uint8), 0.0
        raise RuntimeError("decoder")

    with pytest.raises(RuntimeError):
        write_shard(tmp_path / "a.npy", failing(), (2, 2), "uint8")
    with pytest.raises(BrokenShardError, match="no picture"):
        write_shard(tmp_path / "a.npy", [], (2, 2), "uint8")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(FileNotFoundError):
        read_shard(tmp_path / "a.npy", verify=True)
