"""The origin of a model: its accuracy with the protocol, the tools and the commit."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import edgehar
from edgehar.errors import ConfigError, ConversionError
from edgehar.model.manifest import Accuracy
from edgehar.model.runtime import load_runtime
from edgehar_training.runs.report import read_metrics
from edgehar_training.runs.run import CONFIG_FILE, METRICS_FILE, flat, load_run

if TYPE_CHECKING:
    from edgehar_training.runs.run import RunConfig

UNKNOWN = "unknown"
# Settings that must be equal in two runs for the accuracy of one to hold for the other.
SAME_NETWORK = ("data.dataset", "data.crop", "labels", "network")


def run_accuracy(folder: Path) -> list[Accuracy]:
    """Return the accuracy of a run on its own test part; empty if it has none or is not finished."""
    if not (folder / METRICS_FILE).exists():
        return []
    metrics = read_metrics(folder / METRICS_FILE)
    return [_accuracy(metrics, folder)] if "test" in metrics else []


def evaluation_accuracy(folder: Path, config: RunConfig) -> Accuracy:
    """Return the accuracy that another run, usually a cross-validation, measured for the same kind of network.

    Args:
        folder: a folder that `edgehar-train` wrote.
        config: settings of the converted network.

    Raises:
        ConfigError: no such run, or a different network.
        DatasetError: its metrics cannot be read.
    """
    if not (folder / METRICS_FILE).exists():
        raise ConfigError(f"{folder}: no {METRICS_FILE}; --evaluation takes a finished run of edgehar-train")
    for path in sorted(folder.rglob(CONFIG_FILE))[:1]:
        ours, theirs = flat(config), flat(load_run(path.parent).config)
        for name in ours:
            if name.startswith(SAME_NETWORK) and ours[name] != theirs[name]:
                raise ConfigError(
                    f"{folder}: measured a network with {name} {theirs[name]!r}, but this one has {ours[name]!r}"
                )
    return _accuracy(read_metrics(folder / METRICS_FILE), folder)


def tools(config: RunConfig) -> dict[str, str]:
    """Return versions of the packages that trained and converted the network."""
    runtime = load_runtime()
    return {
        **config.tools,
        "edgehar": edgehar.__version__,
        runtime.package: runtime.version,
        "python": platform.python_version(),
    }


def commit() -> str:
    """Return the commit of the edgehar that converts, or "unknown" outside a checkout.

    If the checkout has uncommitted changes, the words ", unknown changes" follow the commit: nobody can reproduce such
    a bundle.
    """
    root = Path(edgehar.__file__).parents[1]
    if not (root / ".git").exists():
        return UNKNOWN
    described = _git(root, "describe", "--always", "--abbrev=40", "--exclude=*")
    changed = _git(root, "status", "--porcelain", "--untracked-files=no")
    if not described or changed is None:
        return UNKNOWN
    return f"{described}, unknown changes" if changed else described


def _git(root: Path, *arguments: str) -> str | None:
    """Return what git prints. Returns None if it fails."""
    command = ["git", "-C", str(root), *arguments]
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return None
    return result.stdout.strip()


def _accuracy(metrics: dict[str, Any], folder: Path) -> Accuracy:
    """Return the accuracy of a single run, or of pooled runs."""
    try:
        pooled = "top1" in metrics
        part = metrics if pooled else metrics["test"]
        int8 = metrics.get("int8")
        low, high = (int8 or part)["interval_95"]
        return Accuracy(
            protocol=metrics["protocol"],
            clips=part["clips"],
            seeds=metrics["seeds"] if pooled else [metrics["seed"]],
            float_top1=part["top1"],
            int8_top1=int8["top1"] if int8 else None,
            interval_95=(low, high),
        )
    except KeyError as error:
        raise ConversionError(
            f"{folder / METRICS_FILE}: has no {error}; give the --out of a run with a test part or folds"
        ) from error
