"""What `import edgehar` promises: the public names, and a light import."""

import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path

import pytest

import edgehar
from edgehar import _ring, errors
from edgehar.schemas import SCHEMAS, schema_text

HEAVY = ("numpy", "cv2", "av", "paho", "ai_edge_litert", "tensorflow", "keras", "msgspec")


def test_every_public_name_can_be_had():
    assert set(edgehar.__all__) == set(edgehar._HOMES)
    for name in edgehar.__all__:
        assert getattr(edgehar, name).__name__ == name
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = edgehar.no_such_name


def test_every_error_is_an_edgehar_error():
    raised = [cls for cls in vars(errors).values() if isinstance(cls, type)]
    assert {cls.__name__ for cls in raised} == {name for name in edgehar.__all__ if name.endswith("Error")}
    assert all(issubclass(cls, edgehar.EdgeharError) for cls in raised)


def test_import_is_light():
    code = f"import sys, edgehar; print([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_shipped_schemas_are_those_of_the_classes(name):
    shipped = (Path(edgehar.__file__).parent / "schemas" / name).read_text()
    assert shipped == schema_text(name), "run: python -m edgehar.schemas edgehar/schemas"


def is_editable():
    origin = json.loads(importlib.metadata.distribution("edgehar").read_text("direct_url.json") or "{}")
    return origin.get("dir_info", {}).get("editable", False)


@pytest.mark.skipif(is_editable(), reason="an editable install imports the source tree on purpose")
def test_what_is_tested_is_the_installed_package():
    for module in (edgehar, _ring):
        assert "site-packages" in module.__file__
