"""Where a model came from: its accuracy with its protocol, the tools and the commit."""

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

# What must be the same in two runs for the accuracy of one to say something about the other.
SAME_NETWORK = ("data.dataset", "data.crop", "labels", "network")


def run_accuracy(folder: Path) -> list[Accuracy]:
    """What the run in `folder` measured on its own test part; empty when it has none, or is not finished."""
    if not (folder / METRICS_FILE).exists():
        return []
    metrics = read_metrics(folder / METRICS_FILE)
    return [_accuracy(metrics, folder)] if "test" in metrics else []


def evaluation_accuracy(folder: Path, config: RunConfig) -> Accuracy:
    """The accuracy that another run, most often a cross-validation, measured for the same kind of network.

    Args:
        folder: what `edgehar-train` wrote.
        config: settings of the network that is converted.

    Raises:
        ConfigError: no such run, or its network is another one.
        DatasetError: its metrics cannot be read.
    """
    if not (folder / METRICS_FILE).exists():
        raise ConfigError(f"{folder}: holds no {METRICS_FILE}; --evaluation takes a finished --out of edgehar-train")
    for path in sorted(folder.rglob(CONFIG_FILE))[:1]:
        ours, theirs = flat(config), flat(load_run(path.parent).config)
        for name in ours:
            if name.startswith(SAME_NETWORK) and ours[name] != theirs[name]:
                raise ConfigError(
                    f"{folder}: measured a network with {name} {theirs[name]!r}, this one has {ours[name]!r}"
                )
    return _accuracy(read_metrics(folder / METRICS_FILE), folder)


def tools(config: RunConfig) -> dict[str, str]:
    """Versions of what trained and what converted the network."""
    runtime = load_runtime()
    return {
        **config.tools,
        "edgehar": edgehar.__version__,
        runtime.package: runtime.version,
        "python": platform.python_version(),
    }


def commit() -> str:
    """Commit of the edgehar that converts, with `-dirty` when changed since; "unknown" outside a checkout."""
    root = Path(edgehar.__file__).parents[1]
    if not (root / ".git").exists():
        return "unknown"
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return result.stdout.strip() or "unknown"


def _accuracy(metrics: dict[str, Any], folder: Path) -> Accuracy:
    """Of a single run, or of the figures over several."""
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
