"""Model bundles: one `NAME.edgehar` file, an uncompressed zip of a model and everything a device needs to run it."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edgehar.errors import BundleError, ConfigError
from edgehar.files import put_in_place
from edgehar.model.manifest import SCHEMA_VERSION, Manifest, least_schema_version
from edgehar.paths import home_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from edgehar._ring import FrameRing, LookResizer, Region, Resizer
    from edgehar.model.look_ring import LookRing

SUFFIX = ".edgehar"
REQUIRED_FILES = ("labels.txt", "encoder.tflite", "head.tflite", "window.tflite", "MODEL_CARD.md")
# Optional files: the network of one step with its states, and the encoder compiled for an Edge TPU.
STEP_FILE, EDGE_TPU_FILE = "step.tflite", "encoder_edgetpu.tflite"
# Bounds of the bytes that are read into memory. Models for small computers have a few megabytes.
MOST_BYTES = 64_000_000
_MOST_MANIFEST_BYTES = 4_000_000


class ModelBundle:
    """A verified bundle, read into memory.

    Attributes:
        path: the file.
        manifest: labels, input, rate, quantization, decision defaults and provenance.
    """

    def __init__(self, path: Path, manifest: Manifest, files: Mapping[str, bytes]) -> None:
        self.path = path
        self.manifest = manifest
        self._files = files

    @classmethod
    def open(cls, model: str | os.PathLike[str]) -> ModelBundle:
        """Read and verify a bundle.

        Args:
            model: path of a bundle, or name of a shipped or installed bundle (`find_bundle`).

        Raises:
            ConfigError: no bundle has this name.
            BundleError: the bundle is damaged, altered, incomplete, too large, or newer than this edgehar.
        """
        path = find_bundle(model)
        with _opened_zip(path) as archive:
            manifest = _decode_manifest(_read_entry(archive, "manifest.json", _MOST_MANIFEST_BYTES), path)
            contents = _read_listed(archive, manifest, path)
        _check_files(manifest, contents, path)
        return cls(path, manifest, contents)

    def read(self, name: str) -> bytes:
        """Return the contents of a file. Raises BundleError if the bundle does not contain it."""
        try:
            return self._files[name]
        except KeyError:
            raise BundleError(f"{self.path}: {name} is missing; it contains {', '.join(sorted(self._files))}") from None

    @property
    def files(self) -> dict[str, bytes]:
        """The contents of every file except the manifest, by name."""
        return dict(self._files)

    def make_resizer(self, *, region: Region | None = None) -> Resizer | LookResizer:
        """Return a Resizer with this model's preprocessing, or a LookResizer for a model with two looks.

        Args:
            region: part of every frame to use, (x, y, width, height) as shares 0 to 1; the whole frame if None.

        Raises:
            ValueError: the region is not within the frame.
        """
        from edgehar._ring import LookResizer, Resizer

        shape, quantization = self.manifest.input, self.manifest.quantization.input
        if shape.crop_side is not None:
            return LookResizer(
                shape.height,
                shape.width,
                quantization.scale,
                quantization.zero_point,
                crop_side=shape.crop_side,
                crop=shape.crop,
                region=region,
                stabilize=shape.stabilize,
                steady_light=shape.steady_light,
            )
        return Resizer(
            shape.height,
            shape.width,
            shape.channels,
            dtype="int8",
            scale=quantization.scale,
            zero_point=quantization.zero_point,
            motion=shape.motion,
            crop=shape.crop,
            region=region,
        )

    def make_ring(self, window: int | None = None, *, region: Region | None = None) -> FrameRing | LookRing:
        """A FrameRing with this model's preprocessing, or a LookRing for a model with two looks.

        Args:
            window: frames; the model's own when None.
            region: the part of every frame that is looked at, (x, y, width, height) as shares 0 to 1; None for all.

        Raises:
            ValueError: the region does not lie within the frame.
        """
        from edgehar._ring import FrameRing, LookResizer
        from edgehar.model.look_ring import LookRing

        shape, quantization = self.manifest.input, self.manifest.quantization.input
        length = window or self.manifest.temporal.window
        if shape.looks is not None:
            resizer = self.make_resizer(region=region)
            assert isinstance(resizer, LookResizer)
            return LookRing(length, resizer)
        return FrameRing(
            length,
            shape.height,
            shape.width,
            shape.channels,
            dtype="int8",
            scale=quantization.scale,
            zero_point=quantization.zero_point,
            motion=shape.motion,
            crop=shape.crop,
            region=region,
        )


def find_bundle(model: str | os.PathLike[str]) -> Path:
    """Return the path of a bundle given by path or by name.

    Names are looked up among the shipped models, then in `$XDG_DATA_HOME/edgehar/models`.

    Raises:
        ConfigError: it is neither a file nor a known name.
    """
    path = Path(model)
    if path.suffix == SUFFIX or path.is_file() or len(path.parts) > 1:
        if not path.is_file():
            raise ConfigError(f"{path}: no such model bundle; known names: {_known_names()}")
        return path
    for folder in _model_folders():
        candidate = folder / f"{path}{SUFFIX}"
        if candidate.is_file():
            return candidate
    raise ConfigError(f"unknown model {str(model)!r}: give a path to a {SUFFIX} file or one of: {_known_names()}")


def _shipped_folders() -> list[Path]:
    package = Path(__file__).parents[1]
    # The second is where a source checkout, installed in place, has the shipped models.
    return [package / "shipped", package.parent / "models"]


def _model_folders() -> list[Path]:
    data_home = Path(os.environ.get("XDG_DATA_HOME") or home_folder() / ".local" / "share")
    return [*_shipped_folders(), data_home / "edgehar" / "models"]


def installed_bundles() -> list[Path]:
    """Return the paths of all bundles that can be given by name, sorted by name."""
    found: dict[str, Path] = {}
    for folder in _model_folders():
        for path in folder.glob(f"*{SUFFIX}"):
            found.setdefault(path.stem, path)
    return [found[name] for name in sorted(found)]


def _known_names() -> str:
    return ", ".join(path.stem for path in installed_bundles()) or "none installed"


@contextlib.contextmanager
def _opened_zip(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    # zlib.error and lzma.LZMAError come from damaged compressed entries, the others from a damaged directory.
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError, zlib.error) as error:
        raise BundleError(f"{path}: not a readable model bundle ({error}); copy or convert it again") from error
    except OSError as error:
        raise BundleError(f"{path}: cannot be read: {error.strerror or error}") from error


def _read_entry(archive: zipfile.ZipFile, name: str, limit: int) -> bytes | None:
    """Return an entry, or None if there is none of this name. Never reads or inflates more than `limit` bytes."""
    try:
        info = archive.getinfo(name)
    except KeyError:
        return None
    # zipfile never gives more than the declared size, whatever an entry inflates to.
    if info.file_size > limit:
        size = f"{info.file_size / 1e6:,.0f} MB; a bundle may have {limit / 1e6:,.0f} MB more"
        raise BundleError(f"{archive.filename}: {name} has {size}")
    with archive.open(info) as entry:
        return entry.read()


def _read_listed(archive: zipfile.ZipFile, manifest: Manifest, path: Path) -> dict[str, bytes]:
    """Return the files that the manifest lists. Other entries are not read."""
    contents, left = {}, MOST_BYTES
    for name in manifest.files:
        content = _read_entry(archive, name, left)
        if content is None:
            raise BundleError(f"{path}: {name} is missing; copy or convert the model again")
        contents[name] = content
        left -= len(content)
    return contents


def _decode_manifest(content: bytes | None, path: Path) -> Manifest:
    if content is None:
        raise BundleError(f"{path}: manifest.json is missing, so this is not a model bundle; convert the model again")
    try:
        version = msgspec.json.decode(content, type=dict[str, msgspec.Raw]).get("schema_version", msgspec.Raw(b"null"))
        number = msgspec.json.decode(version)
        if isinstance(number, int) and number > SCHEMA_VERSION:
            raise BundleError(
                f"{path}: manifest.json: schema_version is {number}, this edgehar understands {SCHEMA_VERSION}; "
                "update edgehar"
            )
        return msgspec.json.decode(content, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BundleError(f"{path}: manifest.json: {error}; convert the model again") from error


def _check_files(manifest: Manifest, contents: Mapping[str, bytes], path: Path) -> None:
    for name in REQUIRED_FILES:
        if name not in manifest.files:
            raise BundleError(f"{path}: manifest.json: files: {name} is missing; convert the model again")
    for name, digest in manifest.files.items():
        if hashlib.sha256(contents[name]).hexdigest() != digest:
            raise BundleError(f"{path}: {name} is altered: its checksum differs from the manifest's; copy it again")
    if (STEP_FILE in contents) != (manifest.stateful is not None):
        raise BundleError(f"{path}: {STEP_FILE} and manifest.json's stateful need each other, and one is missing")
    if _labels_text(manifest.labels) != contents["labels.txt"]:
        raise BundleError(f"{path}: labels.txt differs from the manifest's labels; convert the model again")
    if len(set(manifest.labels)) != len(manifest.labels):
        raise BundleError(f"{path}: manifest.json: labels: a label occurs twice; convert the model again")
    for label in manifest.labels:
        if not label or not label.isprintable():
            raise BundleError(f"{path}: manifest.json: labels: {label!r} cannot be printed; convert the model again")


def _labels_text(labels: list[str]) -> bytes:
    return "".join(f"{label}\n" for label in labels).encode()


def write_bundle(path: str | os.PathLike[str], manifest: Manifest, files: Mapping[str, bytes]) -> Manifest:
    """Write a bundle to a temporary name, flush it, then rename it, so that it is never incomplete.

    Args:
        path: path of the bundle; replaced if it exists.
        manifest: the manifest; its `files` and `schema_version` are filled in here.
        files: contents of `encoder.tflite`, `head.tflite`, `window.tflite`, `MODEL_CARD.md` and any others.
            `labels.txt` is made from the manifest.

    Returns:
        The manifest as written, with the checksum of every file.

    Raises:
        BundleError: a required file is missing, or the bundle cannot be written.
    """
    path = Path(path)
    contents = {"labels.txt": _labels_text(manifest.labels), **files}
    missing = [name for name in REQUIRED_FILES if name not in contents]
    if missing:
        raise BundleError(f"{path}: cannot be written without {', '.join(missing)}")
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    manifest = msgspec.structs.replace(manifest, files=digests, schema_version=least_schema_version(manifest))
    partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive:
            for name, content in {"manifest.json": manifest_json(manifest), **contents}.items():
                # A fixed date, so that the same model gives the same bytes.
                archive.writestr(zipfile.ZipInfo(name), content)
        put_in_place(partial, path)
    except OSError as error:
        raise BundleError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        partial.unlink(missing_ok=True)
    return manifest


def manifest_json(manifest: Manifest) -> bytes:
    """Return the manifest as JSON, indented by two, as it is in a bundle."""
    content = msgspec.to_builtins(manifest)
    # Keys that are unknown to versions of edgehar that read older schemas only.
    if manifest.schema_version < 6:
        del content["provenance"]["alarms"]
    if manifest.schema_version == 1:
        del content["version"], content["provenance"]["taught"]
    return msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n"


def is_bundle_name(name: str) -> bool:
    """Return whether a bundle may have this name: letters, digits, `.`, `_`, `-`, starting with a letter or digit."""
    return re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name) is not None


def is_shipped(path: Path) -> bool:
    """Return whether a bundle came with this package."""
    return path.resolve().parent in {folder.resolve() for folder in _shipped_folders()}
