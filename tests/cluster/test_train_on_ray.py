"""`edgehar-train --ray`: the same runs as without Ray, also if a node is lost."""

import json

import numpy as np
import pytest
from support.helpers import environment, run_command, start_command
from support.moving import write_moving_bars

pytest.importorskip("ray", reason="needs Ray: pip install 'edgehar[cluster]'")
pytest.importorskip("keras", reason="needs the train extra")

pytestmark = pytest.mark.training


@pytest.fixture(scope="module")
def arguments(tmp_path_factory):
    data, cache = write_moving_bars(tmp_path_factory.mktemp("bars")), tmp_path_factory.mktemp("cache")
    return [
        *("--data", data, "--cache", cache, "--window", 4, "--epochs", 2, "--batch-size", 4),
        *("--folds", 3, "--deterministic"),
    ]


def results(out):
    """Weights and figures of all runs, without times."""
    found = {}
    for path in sorted(out.rglob("metrics.json")):
        metrics = json.loads(path.read_text())
        metrics.pop("seconds")
        found[str(path.relative_to(out))] = metrics
    for path in sorted(out.rglob("last.npz")):
        with np.load(path) as arrays:
            found |= {f"{path.relative_to(out)}:{name}": arrays[name].tobytes() for name in arrays.files}
    return found


@pytest.mark.usefixtures("source_tree")
def test_runs_on_a_cluster_that_loses_a_node_are_those_made_without_it(arguments, cluster, tmp_path):
    # As many threads as a task of Ray has.
    env = environment(TF_NUM_INTRAOP_THREADS="1", OMP_NUM_THREADS="1", TF_NUM_INTEROP_THREADS="1")
    here = run_command("edgehar-train", *arguments, "--out", tmp_path / "here", timeout_s=280, env=env)
    assert here.returncode == 0, here.stderr
    node = cluster.add_node()
    command = ["edgehar-train", *arguments, "--ray", cluster.address, "--out", tmp_path / "there"]
    with start_command(*command) as process:
        lines = []
        for line in process.stderr:
            lines.append(line)
            if " accuracy " in line:
                node.kill()
        output = process.stdout.read()
    assert process.returncode == 0, lines
    assert output == here.stdout
    assert results(tmp_path / "there") == results(tmp_path / "here")
