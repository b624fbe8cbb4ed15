"""JSON Schemas (draft 2020-12) of what edgehar emits and reads: `record.schema.json` for each output line,
`manifest.schema.json` for a bundle's manifest, `recording.schema.json` for the sidecar of a clip, `bench.schema.json`
for what `edgehar bench --json` writes, `bench-stream.schema.json` for `edgehar bench stream --json`.
`python -m edgehar.schemas DIR` writes them from their classes.
"""

from __future__ import annotations

import inspect
import json
from typing import Any

import msgspec

from edgehar.bench.results import Report
from edgehar.bench.stream import StreamReport
from edgehar.model.manifest import Manifest
from edgehar.recording.sidecar import Sidecar
from edgehar.records import Record

SCHEMAS: dict[str, Any] = {
    "record.schema.json": Record,
    "manifest.schema.json": Manifest,
    "recording.schema.json": Sidecar,
    "bench.schema.json": Report,
    "bench-stream.schema.json": StreamReport,
}


def schema_text(name: str) -> str:
    """The JSON Schema file of that name, as it is shipped."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"edgehar {name.split('.')[0]}",
        **_without_indents(msgspec.json.schema(SCHEMAS[name])),
    }
    return json.dumps(schema, indent=2) + "\n"


def _without_indents(node: Any) -> Any:
    """The schema with descriptions as Python 3.13 keeps docstrings: older ones keep the indents of the source."""
    if isinstance(node, list):
        return [_without_indents(item) for item in node]
    if not isinstance(node, dict):
        return node
    return {
        key: inspect.cleandoc(value) if key == "description" and isinstance(value, str) else _without_indents(value)
        for key, value in node.items()
    }
