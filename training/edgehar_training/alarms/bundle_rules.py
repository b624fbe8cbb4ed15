"""Write other rules of decision into a bundle, or what was measured with them; its networks stay as they are."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING

from msgspec.structs import replace

from edgehar.errors import ConfigError
from edgehar.model.bundle import SUFFIX, ModelBundle, is_bundle_name, manifest_json, write_bundle
from edgehar.model.manifest import least_schema_version
from edgehar.model.merge import with_associated_files

if TYPE_CHECKING:
    from pathlib import Path

    from edgehar.model.manifest import Alarms, Decision, Manifest

WINDOW_FILE = "window.tflite"


def write_rules(
    bundle: ModelBundle, out: Path, decision: Decision, *, name: str | None = None, alarms: Alarms | None = None
) -> Manifest:
    """Write a copy of a bundle with other rules.

    Args:
        bundle: the model.
        out: the bundle to write; it may be the file of `bundle`.
        decision: its rules.
        name: name in the copy; that of the bundle when None.
        alarms: what was measured with these rules; None for what the bundle holds, if its rules stay as they are.

    Returns:
        The manifest as written.

    Raises:
        ConfigError: `out` or `name` cannot name a bundle, or a rule is of a label that the model does not have.
        BundleError: it cannot be written.
    """
    manifest = bundle.manifest
    if out.suffix != SUFFIX:
        raise ConfigError(f"{out}: a bundle's name ends in {SUFFIX}")
    if name is not None and not is_bundle_name(name):
        raise ConfigError(f"{name!r} cannot name a model: use letters, digits, '.', '_' and '-'")
    for label in (*decision.background, *decision.thresholds):
        if label not in manifest.labels:
            raise ConfigError(f"{label!r} is not a label of the model; its labels are {', '.join(manifest.labels)}")
    if alarms is None and decision == manifest.decision:
        alarms = manifest.provenance.alarms
    origin = replace(manifest.provenance, alarms=alarms)
    changed = replace(manifest, decision=decision, name=name or manifest.name, provenance=origin)
    changed = replace(changed, schema_version=least_schema_version(changed))
    files = {file: content for file, content in bundle.files.items() if file not in ("manifest.json", "labels.txt")}
    inside = {"labels.txt": bundle.read("labels.txt"), "manifest.json": manifest_json(replace(changed, files={}))}
    files[WINDOW_FILE] = with_associated_files(_without_associated_files(files[WINDOW_FILE]), inside)
    return write_bundle(out, changed, files)


def _without_associated_files(content: bytes) -> bytes:
    """A TFLite file without the zip that is appended to it, if one is."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return content[: min(info.header_offset for info in archive.infolist())]
    except (zipfile.BadZipFile, ValueError):
        return content
