"""A Ray cluster: one that runs at an address, or one of this machine, started for this program."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import socket
import sys
from typing import TYPE_CHECKING, Any

from edgehar.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

_CONNECT_TIMEOUT_S = 5.0


@contextlib.contextmanager
def ray_cluster(address: str, cpus: int | None = None) -> Iterator[Any]:
    """Connect to a cluster, and disconnect at the end. Meanwhile, standard output goes to standard error.

    Args:
        address: `HOST:PORT` or `ray://HOST:PORT` of a cluster; `$RAY_ADDRESS` if empty. Without either, a cluster is
            started on this machine, for this program.
        cpus: processors of a cluster that is started; None for those of this process.

    Yields:
        The module `ray`.

    Raises:
        ConfigError: Ray is not installed, nothing answers at the address, or its version differs.
    """
    # By default, Ray sends usage statistics to its makers, and its workers have niceness 15: on a machine that is busy
    # with other work they hardly run.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_worker_niceness", "0")
    try:
        import ray
    except ImportError:
        raise ConfigError("--ray needs Ray; run: pip install 'edgehar[cluster]'") from None
    address = address or os.environ.get("RAY_ADDRESS", "")
    options: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    if address:
        _check_address(address)
        options["address"] = address
    else:
        cores = cpus or len(os.sched_getaffinity(0))
        options |= {"address": "local", "num_cpus": cores, "include_dashboard": False}
    with _stdout_kept_clean():
        yield from _joined(ray, address, options)


def _joined(ray: Any, address: str, options: dict[str, Any]) -> Iterator[Any]:
    try:
        with _in_root():
            ray.init(**options)
    except (RuntimeError, ConnectionError, ValueError, OSError, ray.exceptions.RayError) as error:
        text = " ".join(str(error).split())
        raise ConfigError(f"--ray {address}: cannot join the cluster: {text}" if address else f"Ray: {text}") from None
    try:
        yield ray
    finally:
        ray.shutdown()


@contextlib.contextmanager
def _in_root() -> Iterator[None]:
    """Work in the root folder, because Ray's workers import from the folder in which Ray is initialized.

    Otherwise a program that is started in a source tree runs other code on its workers than it does itself.
    """
    here = os.open(".", getattr(os, "O_PATH", os.O_RDONLY))
    try:
        os.chdir("/")
        yield
    finally:
        os.fchdir(here)
        os.close(here)


@contextlib.contextmanager
def _stdout_kept_clean() -> Iterator[None]:
    """Send to standard error what Ray, its threads and processes print, for example if a node is lost."""
    sys.stdout.flush()
    try:
        saved = os.dup(1)
    except OSError:
        # Standard output is closed.
        yield
        return
    try:
        os.dup2(2, 1)
        yield
    finally:
        sys.stdout.flush()
        os.dup2(saved, 1)
        os.close(saved)


def _check_address(address: str) -> None:
    """Raise ConfigError if nothing answers at the address; Ray itself would try for minutes."""
    if address in ("auto", "local"):
        return
    found = re.fullmatch(r"(?:ray://)?(\[[^\]]+\]|[^:/]+):([0-9]+)/?", address)
    if found is None or not 0 < int(found[2]) < 65536:
        raise ConfigError(f"--ray {address}: not an address; write HOST:PORT, for example 10.0.0.5:6379")
    host = found[1].strip("[]")
    try:
        socket.create_connection((host, int(found[2])), _CONNECT_TIMEOUT_S).close()
    except OSError as error:
        reason = error.strerror or error
        raise ConfigError(f"--ray {address}: no cluster answers: {reason}; start one with: ray start --head") from None
