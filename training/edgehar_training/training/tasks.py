"""The process of a task on a Ray cluster: checks of its node, and its share of the processors."""

from __future__ import annotations

import dataclasses
import logging
import os
import platform
from typing import TYPE_CHECKING

from edgehar._version import __version__
from edgehar.errors import ConfigError, DatasetError
from edgehar_training.quiet import quiet_tensorflow

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclasses.dataclass(frozen=True)
class TaskSetup:
    """What the process of a task needs of the command that started it.

    Attributes:
        environment: variables to set.
        folders: folders that its node must see.
        version: version of edgehar where the command runs.
    """

    environment: dict[str, str]
    folders: Sequence[Path]
    version: str = __version__

    @classmethod
    def of(cls, cpus: int, folders: Sequence[Path]) -> TaskSetup:
        """Return the setup of tasks with so many processors each.

        Args:
            cpus: processors of a task.
            folders: folders that each node must see.
        """
        threads = {"TF_NUM_INTRAOP_THREADS": str(cpus), "OMP_NUM_THREADS": str(cpus), "TF_NUM_INTEROP_THREADS": "1"}
        kept = {name: os.environ[name] for name in (*threads, "KERAS_BACKEND") if name in os.environ}
        return cls({**threads, **kept}, folders)

    def prepare(self) -> None:
        """Set up this process, before TensorFlow is imported in it.

        Raises:
            ConfigError: the node has another version of edgehar.
            DatasetError: it does not see a folder.
        """
        node = platform.node()
        if self.version != __version__:
            raise ConfigError(f"{node} has edgehar {__version__}, the machine of the command {self.version}")
        for folder in self.folders:
            if not folder.exists():
                raise DatasetError(f"{folder}: does not exist on {node}; every node needs it under the same path")
        os.environ.update(self.environment)
        logging.basicConfig(format="edgehar-train: %(message)s", level=logging.INFO)
        quiet_tensorflow()
