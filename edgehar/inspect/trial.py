"""Trial of a bundle in a child process, because a hostile or damaged network can crash the TFLite runtime.

The runtime trusts what a file says about itself: a wrong shape or index makes it write outside its memory. So before a
bundle runs here for the first time, a child process reads its networks, and runs them once in every way that edgehar
uses them. A bundle that passes is remembered by the checksums of its networks and the version of the runtime.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from edgehar.errors import BundleError, EdgeharError, RuntimeUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from edgehar.model.bundle import ModelBundle

# A Raspberry Pi needs about 5 s; the rest is for a busy machine.
_TIMEOUT_S = 120.0
# Address space of the child, so that a network that asks for everything fails alone.
_MOST_BYTES = 4 << 30
_NETWORKS = ("encoder.tflite", "head.tflite", "window.tflite", "step.tflite")


def open_bundle(model: str | os.PathLike[str]) -> ModelBundle:
    """Open a bundle by its path or name, and refuse it if its networks crash the runtime or do not fit together.

    Raises:
        BundleError: the bundle cannot be used.
        ConfigError: there is no model of this name.
    """
    from edgehar.model.bundle import ModelBundle

    bundle = ModelBundle.open(model)
    check(bundle)
    return bundle


def check(
    bundle: ModelBundle,
    *,
    environ: Mapping[str, str] = os.environ,
    run_child: Callable[[ModelBundle], str] | None = None,
) -> None:
    """Refuse a bundle whose networks crash the runtime or do not fit together. Shipped models need no trial.

    Args:
        bundle: the bundle.
        environ: environment variables, for the folder of results.
        run_child: runs `examine` in a process of its own, and returns what is wrong; a new interpreter when None.

    Raises:
        BundleError: the bundle cannot be used; the message says why.
    """
    from edgehar.model.bundle import is_shipped

    if is_shipped(bundle.path):
        return
    try:
        marker = _marker(bundle, environ)
    except RuntimeUnavailableError:
        # Without a runtime nothing can crash.
        return
    if marker is not None and marker.is_file():
        return
    problem = (run_child or _in_new_interpreter)(bundle)
    if problem:
        raise BundleError(problem)
    if marker is not None:
        # Without a folder for results, each start has its trial.
        with contextlib.suppress(OSError):
            marker.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            marker.touch()


def _marker(bundle: ModelBundle, environ: Mapping[str, str]) -> Path | None:
    """Return the file that remembers that a bundle has passed; None if there is no folder for it."""
    from edgehar._version import __version__
    from edgehar.model.runtime import load_runtime

    runtime = load_runtime()
    identity = [__version__, runtime.package, runtime.version, bundle.manifest.files]
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    for variable, folder in (("CACHE_DIRECTORY", ""), ("XDG_CACHE_HOME", "edgehar"), ("HOME", ".cache/edgehar")):
        if Path(given := environ.get(variable, "").partition(":")[0]).is_absolute():
            return Path(given) / folder / "trials" / digest
    return None


def _in_new_interpreter(bundle: ModelBundle) -> str:
    command = [sys.executable, "-P", "-m", "edgehar.inspect.trial", str(bundle.path), _digest(bundle)]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_TIMEOUT_S, check=False)  # noqa: S603 - our own
    except subprocess.TimeoutExpired:
        return f"{bundle.path}: its networks did not finish within {_TIMEOUT_S:.0f} s; convert the model again"
    except OSError as error:
        return f"{bundle.path}: cannot be tried in a child process: {error.strerror or error}"
    return outcome(bundle.path, done.returncode, done.stdout)


def outcome(path: Path, code: int, stdout: bytes) -> str:
    """Return what a child found: its message, or the signal that ended it; an empty string if all is well."""
    if code == 0:
        return ""
    said = stdout.decode(errors="replace").strip().splitlines()
    if code == 1 and said:
        return said[-1]
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"exit code {code}"
    return f"{path}: its networks crash the TFLite runtime ({name}); convert the model again, or use another bundle"


def examine(path: Path, digest: str) -> str:
    """Try a bundle in this process; returns what is wrong with it, or an empty string.

    Args:
        path: the bundle.
        digest: `_digest` of the bundle that is to be tried. The file may have been replaced since that was opened.
    """
    from edgehar.model.bundle import ModelBundle

    try:
        bundle = ModelBundle.open(path)
        if _digest(bundle) != digest:
            return f"{path}: was replaced while it was checked; do so again"
        for step in _steps(bundle):
            step()
    except EdgeharError as error:
        return str(error)
    except MemoryError:
        return f"{path}: its networks need more than {_MOST_BYTES >> 30} GB of memory; convert the model again"
    except UnicodeDecodeError:
        return f"{path}: a name in its networks is not UTF-8; convert the model again"
    except Exception as error:
        return f"{path}: its networks cannot be run ({type(error).__name__}: {error}); convert the model again"
    return ""


def _digest(bundle: ModelBundle) -> str:
    """Return the SHA-256 of the manifest, which holds the checksum of every file."""
    from edgehar.model.bundle import manifest_json

    return hashlib.sha256(manifest_json(bundle.manifest)).hexdigest()


def _steps(bundle: ModelBundle) -> Iterator[Callable[[], object]]:
    """Yield everything that edgehar does with a bundle's networks."""
    yield lambda: _read(bundle)
    yield lambda: _classify(bundle, "window")
    if bundle.manifest.stateful is not None:
        yield lambda: _classify(bundle, "stateful")
    yield lambda: _run_whole_window(bundle)
    yield lambda: _inspect(bundle)


def _read(bundle: ModelBundle) -> None:
    from edgehar.model.tflite import read_graph

    for name in _NETWORKS:
        if name in bundle.files:
            # tflite-runtime does not bring the schema.
            with contextlib.suppress(RuntimeUnavailableError):
                read_graph(bundle.read(name), f"{bundle.path}: {name}")


def _classify(bundle: ModelBundle, mode: str) -> None:
    import numpy as np

    from edgehar.model.classifier import Classifier

    rng = np.random.default_rng(0)
    with Classifier(bundle, hop=1, mode=mode) as classifier:
        temporal = bundle.manifest.temporal
        for _ in range(temporal.window + temporal.lead_in + 1):
            classifier.push(rng.integers(0, 256, (64, 64, 3), np.uint8))


def _run_whole_window(bundle: ModelBundle) -> None:
    import numpy as np

    from edgehar.model.interpreter import TfliteModel

    model = TfliteModel(bundle.read("window.tflite"), name=f"{bundle.path}: window.tflite")
    expected = (bundle.manifest.temporal.window, *bundle.manifest.input.shape)
    if model.input_shape != expected:
        raise BundleError(f"{bundle.path}: window.tflite: input is {model.input_shape}, the manifest says {expected}")
    model.run(np.zeros(expected, np.int8))


def _inspect(bundle: ModelBundle) -> None:
    from edgehar.inspect import report

    with contextlib.suppress(RuntimeUnavailableError):
        for lines in (report.summary_lines, report.operator_lines, report.tensor_lines, report.edge_tpu_lines):
            list(lines(bundle))


def _main() -> int:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    most = _MOST_BYTES if hard == resource.RLIM_INFINITY else min(_MOST_BYTES, hard)
    if soft == resource.RLIM_INFINITY or soft > most:
        resource.setrlimit(resource.RLIMIT_AS, (most, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    problem = examine(Path(sys.argv[1]), sys.argv[2])
    if problem:
        print(" ".join(problem.split()))
    sys.stdout.flush()
    # What a damaged network has done to the memory must not crash the exit.
    os._exit(1 if problem else 0)


if __name__ == "__main__":
    _main()
