"""The TFLite runtime: whichever of its packages is installed."""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.metadata
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgehar.errors import ConfigError, RuntimeUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator

# Tried in this order: the maintained package, the package it replaced, and the one of a workstation.
RUNTIMES = (
    ("ai-edge-litert", "ai_edge_litert.interpreter"),
    ("tflite-runtime", "tflite_runtime.interpreter"),
    ("tensorflow", "tensorflow.lite.python.interpreter"),
)
# Environment variable that chooses among several installed packages.
RUNTIME_VARIABLE = "EDGEHAR_RUNTIME"


@dataclass(frozen=True)
class Runtime:
    """An importable TFLite runtime.

    Attributes:
        package: name of its package.
        version: version of that package, or "unknown".
        interpreter: its `Interpreter` class.
        module: the module it was imported from.
    """

    package: str
    version: str
    interpreter: Any
    module: Any

    def load_delegate(self, library: str, options: dict[str, str]) -> Any:
        """Return an entry for `Interpreter(experimental_delegates=...)`. Raises ValueError if the library has none."""
        return self.module.load_delegate(library, options)


@functools.cache
def load_runtime() -> Runtime:
    """Import the TFLite runtime named by the environment variable EDGEHAR_RUNTIME, or the first one installed.

    Raises:
        ConfigError: the variable names an unknown runtime.
        RuntimeUnavailableError: no runtime is installed, or the installed one does not work with the installed numpy.
    """
    wanted = os.environ.get(RUNTIME_VARIABLE)
    if wanted and wanted not in (known := [package for package, _ in RUNTIMES]):
        raise ConfigError(f"{RUNTIME_VARIABLE} is {wanted!r}; set it to one of {', '.join(known)}, or unset it")
    reasons = []
    for package, module in RUNTIMES:
        if wanted and package != wanted:
            continue
        try:
            imported = importlib.import_module(module)
        except ImportError as error:
            reasons.append(f"{package}: {error}")
            continue
        _check_numpy(package)
        return Runtime(package, _version(package), imported.Interpreter, imported)
    raise RuntimeUnavailableError(
        f"no TFLite runtime can be imported ({'; '.join(reasons)}); run: pip install {wanted or RUNTIMES[0][0]}"
    )


def _check_numpy(package: str) -> None:
    """Refuse numpy 2 with tflite-runtime: the import works, and the first interpreter fails."""
    if package == "tflite-runtime" and int(importlib.metadata.version("numpy").split(".")[0]) >= 2:
        raise RuntimeUnavailableError(
            "tflite-runtime does not work with numpy 2; run: pip install 'numpy<2' (or: pip install ai-edge-litert)"
        )


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:  # tensorflow-cpu, tf-nightly and the like
        return "unknown"


@contextlib.contextmanager
def without_notices() -> Iterator[None]:
    """Keep the notices of the runtime's C++ code from standard error, and pass on everything else.

    LiteRT writes "INFO: Created TensorFlow Lite XNNPACK delegate for CPU." to the descriptor, without a way to turn it
    off. Output during this time is held in memory and passed on afterwards.
    """
    try:
        real, held = os.dup(2), os.memfd_create("edgehar-stderr")
    except OSError:  # standard error is closed
        yield
        return
    os.dup2(held, 2)
    try:
        yield
    finally:
        os.dup2(real, 2)
        os.lseek(held, 0, os.SEEK_SET)
        with open(held, "rb") as file:  # noqa: PTH123 - a descriptor
            rest = b"".join(line for line in file if not line.startswith((b"INFO: ", b"VERBOSE: ")))
        with contextlib.suppress(OSError):
            os.write(real, rest)
        os.close(real)
