"""A node of a cluster that cannot run a task says why."""

import pytest

from edgehar.errors import ConfigError, DatasetError
from edgehar_training.training.tasks import TaskSetup


def test_another_version_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r" has edgehar .+, the machine of the command 0\.0\.9"):
        TaskSetup({}, [tmp_path], version="0.0.9").prepare()


def test_a_folder_that_the_node_does_not_see_is_named(tmp_path):
    with pytest.raises(DatasetError, match=r"clips: does not exist on .+; every node needs it under the same path"):
        TaskSetup.of(1, [tmp_path, tmp_path / "clips"]).prepare()


def test_a_task_has_as_many_threads_as_processors(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "7")
    environment = TaskSetup.of(3, []).environment
    assert environment["OMP_NUM_THREADS"] == "3"
    # What the user has set is kept.
    assert environment["TF_NUM_INTRAOP_THREADS"] == "7"
