"""CONTRIBUTING.md lists the layers that the import contracts enforce."""

import re
import tomllib

import pytest
from support.paths import ROOT


@pytest.mark.parametrize("container", ["edgehar", "edgehar_training"])
def test_the_layers_told_are_those_that_are_enforced(container):
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (enforced,) = (contract["layers"] for contract in contracts if contract.get("containers") == [container])
    tables = (ROOT / "CONTRIBUTING.md").read_text().split("| layer | what it does |\n|---|---|\n")[1:]
    table = tables[["edgehar", "edgehar_training"].index(container)].partition("\n\n")[0]
    told = [re.findall(r"`(\w+)`", row.split(" | ")[0]) for row in table.splitlines()]
    assert told == [layer.split(" | ") for layer in enforced]
