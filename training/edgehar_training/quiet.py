"""Keeps TensorFlow's remarks from standard error; its warnings and errors are shown."""

from __future__ import annotations

import contextlib
import importlib.machinery
import importlib.util
import os
import sys
import tempfile
from importlib.abc import MetaPathFinder
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import ModuleType

LEVEL = "TF_CPP_MIN_LOG_LEVEL"
# Of what TensorFlow says while it is loaded, before its log can be set: remarks (their lines begin with I), and that
# the log is not set yet.
_PREFIXES = (b"WARNING: All log messages before absl::InitializeLog()", b"I0000 00:00:")


def quiet_tensorflow() -> None:
    """Let TensorFlow report only warnings and errors, unless the user has set `TF_CPP_MIN_LOG_LEVEL`.

    Call it before TensorFlow is imported; it imports nothing itself.
    """
    if os.environ.setdefault(LEVEL, "2") == "0" or "tensorflow" in sys.modules:
        return
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder(MetaPathFinder):
    """Finds TensorFlow as Python does, and has it loaded without its remarks."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Return the spec that Python finds. Returns None for all other modules."""
        del path, target
        if fullname != "tensorflow":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def quietly(module: ModuleType) -> None:
                with _without_remarks():
                    load(module)

            setattr(spec.loader, "exec_module", quietly)  # noqa: B010 - of this loader alone
        return spec


@contextlib.contextmanager
def _without_remarks() -> Iterator[None]:
    """Redirect standard error of the process, including C++, to a file, and forward all lines but remarks."""
    sys.stderr.flush()
    with tempfile.TemporaryFile() as said:
        kept = os.dup(2)
        os.dup2(said.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
            said.seek(0)
            os.write(2, b"".join(line for line in said if not line.startswith(_PREFIXES)))
