"""JSON Schemas (draft 2020-12) of what edgehar emits and reads: `record.schema.json` for each output line,
`manifest.schema.json` for a bundle's manifest. `python -m edgehar.schemas DIR` writes them from their classes.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

from edgehar.manifest import Manifest
from edgehar.results import Record

SCHEMAS: dict[str, Any] = {"record.schema.json": Record, "manifest.schema.json": Manifest}


def schema_text(name: str) -> str:
    """The JSON Schema file of that name, as it is shipped."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"edgehar {name.split('.')[0]}",
        **msgspec.json.schema(SCHEMAS[name]),
    }
    return json.dumps(schema, indent=2) + "\n"
