"""A Ray cluster of two nodes on this machine. These tests need an environment with the extra `cluster`."""

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest

RAY = Path(sys.executable).with_name("ray")
# Read when Ray is imported. Ray asks every program for the token. By default, its workers have niceness 15, which on a
# busy machine means that they do not run.
os.environ |= {
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": secrets.token_hex(32),
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",
}

STORE_BYTES = 100_000_000
ROOT = Path(__file__).parents[2]


class Node:
    """A node of a cluster, with one processor: a process and its children."""

    def __init__(self, folder, *arguments):
        command = [RAY, "start", "--num-cpus=1", f"--object-store-memory={STORE_BYTES}", "--disable-usage-stats"]
        self.log = folder / f"node-{time.monotonic_ns()}.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen([*command, "--block", *arguments], stdout=log, stderr=subprocess.STDOUT)

    def wait(self):
        """Wait until the node has joined."""
        deadline_s = time.monotonic() + 180
        while "Ray runtime started" not in (log := self.log.read_text()):
            assert time.monotonic() < deadline_s, f"the node has not joined: {log}"
            assert self.process.poll() is None, log
            time.sleep(0.1)

    def kill(self):
        """Kill the node's processes, children first, as a power cut would."""
        with contextlib.suppress(psutil.NoSuchProcess):
            parent = psutil.Process(self.process.pid)
            for child in [*parent.children(recursive=True), parent]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    child.kill()
        self.process.wait()


class Cluster:
    """A head and the nodes that joined it."""

    def __init__(self):
        # Ray's sockets lie in this folder, and their paths must be short.
        self.folder = Path(tempfile.mkdtemp(prefix="ray", dir="/tmp"))
        self.host = socket.gethostbyname(socket.gethostname())
        with socket.socket() as probe:
            probe.bind((self.host, 0))
            port = probe.getsockname()[1]
        self.address = f"{self.host}:{port}"
        head = ("--head", f"--port={port}", f"--temp-dir={self.folder}", "--include-dashboard=false")
        self.nodes = [Node(self.folder, *head, f"--node-ip-address={self.host}")]
        self.nodes[0].wait()

    def add_node(self):
        """Start a node and wait until it has joined; returns it."""
        self.nodes.append(Node(self.folder, f"--address={self.address}", f"--node-ip-address={self.host}"))
        self.nodes[-1].wait()
        return self.nodes[-1]

    def stop(self):
        """Kill every node, the head last."""
        for node in reversed(self.nodes):
            node.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.fixture
def source_tree(monkeypatch):
    """Run commands in the source tree, whose packages workers must not import."""
    monkeypatch.chdir(ROOT)


@pytest.fixture(scope="session")
def cluster():
    """A cluster with one node besides its head."""
    made = Cluster()
    made.add_node()
    yield made
    made.stop()
