"""Every package of the source tree is installed: an editable install works without it, a user's does not."""

import tomllib

import pytest
from support.paths import ROOT

# Folders that only hold data, with their names in the distribution.
DATA = {"edgehar.shipped", "edgehar_training.recipes"}


@pytest.mark.skipif(not (ROOT / "pyproject.toml").exists(), reason="needs the source tree")
def test_every_package_is_listed():
    with (ROOT / "pyproject.toml").open("rb") as file:
        listed = set(tomllib.load(file)["tool"]["setuptools"]["packages"])
    there = {
        ".".join(path.parent.relative_to(root).parts)
        for root, package in ((ROOT, "edgehar"), (ROOT / "training", "edgehar_training"))
        for path in (root / package).rglob("__init__.py")
    }
    assert there == listed - DATA
