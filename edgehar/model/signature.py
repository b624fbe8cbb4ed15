"""Signatures of bundles: Ed25519 (RFC 8032) over the manifest, which holds the checksum of every other file.

The signature is an entry of the bundle, `signature.json`, that the manifest does not list: older versions of edgehar
read a signed bundle as any other. Keys are those of OpenSSH (`ssh-keygen -t ed25519`).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from edgehar.errors import BundleError, ConfigError, RuntimeUnavailableError
from edgehar.files import whole_file, write_text
from edgehar.model.bundle import ModelBundle, is_shipped
from edgehar.model.manifest import Manifest
from edgehar.paths import home_folder
from edgehar.records import utc_now

if TYPE_CHECKING:
    from collections.abc import Iterable

ENTRY = "signature.json"
KEY_TYPE = "ssh-ed25519"
_MOST_BYTES = 65_536
# What is signed begins with this, so that a signature of something else is never one of a bundle.
_PURPOSE = b"edgehar bundle manifest 1\n"
_SETTINGS_PURPOSE = b"edgehar fleet settings 1\n"
# Errors of reading a damaged zip, and JSON in it.
_UNREADABLE = (OSError, zipfile.BadZipFile, EOFError, RuntimeError, ValueError, zlib.error)


class Signature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The entry of a bundle.

    Attributes:
        key: public key, as in a file of OpenSSH without the comment.
        signature: 64 bytes, in base64.
        time: when it was signed (UTC, ISO 8601); not covered by the signature.
    """

    key: str
    signature: str
    time: str


@dataclass(frozen=True)
class TrustedKey:
    """A public key whose bundles may run here.

    Attributes:
        key: `ssh-ed25519 AAAA...`, without a comment.
        name: the comment: whose key it is.
    """

    key: str
    name: str

    @property
    def fingerprint(self) -> str:
        """The key's fingerprint as `ssh-keygen -l` prints it."""
        digest = hashlib.sha256(base64.b64decode(self.key.split()[1])).digest()
        return f"SHA256:{base64.b64encode(digest).decode().rstrip('=')}"


def parse_key(line: str, where: str) -> TrustedKey:
    """Return the key of a line `ssh-ed25519 AAAA... comment`.

    Raises:
        ConfigError: it is not an Ed25519 key of OpenSSH.
    """
    kind, _, rest = line.strip().partition(" ")
    encoded, _, name = rest.strip().partition(" ")
    try:
        content = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        content = b""
    # Length and name of the kind, then length and bytes of the key (RFC 8709).
    if kind != KEY_TYPE or len(content) != 51 or content[:19] != b"\x00\x00\x00\x0bssh-ed25519\x00\x00\x00\x20":
        raise ConfigError(
            f"{where}: not a public key; give a line {KEY_TYPE} AAAA..., as ssh-keygen -t ed25519 makes it"
        )
    return TrustedKey(f"{KEY_TYPE} {encoded}", name.strip())


class Trust:
    """The file of keys whose bundles may run here, one a line."""

    def __init__(self, path: Path) -> None:
        """Use a file, whether it is there or not."""
        self.path = path

    @classmethod
    def at(cls, path: str | None) -> Trust:
        """Use the file of the setting `models.trusted_keys`, or the user's own if that is None."""
        return cls(default_trust_file() if path is None else Path(path).expanduser())

    def read(self) -> list[TrustedKey]:
        """Return the keys.

        Raises:
            ConfigError: the file cannot be read, or a line is not a key.
        """
        try:
            lines = self.path.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{self.path}: cannot be read: {error}") from error
        numbered = ((number, line) for number, line in enumerate(lines, 1) if line.strip() and line.strip()[0] != "#")
        return [parse_key(line, f"{self.path}:{number}") for number, line in numbered]

    def add(self, key: TrustedKey) -> None:
        """Trust a key. OSError if the file cannot be written."""
        others = [other for other in self.read() if other.key != key.key]
        self._write([*others, key])

    def remove(self, wanted: str) -> TrustedKey:
        """Trust a key no longer, given by name, fingerprint or key; return it.

        Raises:
            ConfigError: none or several match.
        """
        keys = self.read()
        found = [key for key in keys if wanted in (key.name, key.fingerprint, key.key)]
        if len(found) != 1:
            names = ", ".join(f"{key.name or '?'} ({key.fingerprint})" for key in found or keys) or "none"
            problem = "several keys match" if found else "no key matches"
            raise ConfigError(f"{self.path}: {problem} {wanted!r}; trusted keys: {names}")
        self._write([key for key in keys if key is not found[0]])
        return found[0]

    def _write(self, keys: Iterable[TrustedKey]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(self.path) as temporary:
            temporary.write_text("".join(f"{key.key} {key.name}".rstrip() + "\n" for key in keys), encoding="utf-8")


def default_trust_file() -> Path:
    """Return `$XDG_CONFIG_HOME/edgehar/trusted_keys`."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or home_folder() / ".config") / "edgehar" / "trusted_keys"


def make_key(path: Path, name: str) -> TrustedKey:
    """Write a new private key, without a passphrase, mode 0600, and `PATH.pub`; return the public key.

    Raises:
        ConfigError: the file exists.
        RuntimeUnavailableError: the library is missing.
    """
    serialization, ed25519 = _library()
    private = ed25519.Ed25519PrivateKey.generate()
    content = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise ConfigError(f"{path}: exists already; give another name") from None
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    key = TrustedKey(_public_text(private), re.sub(r"\s+", " ", name).strip())
    write_text(path.with_name(f"{path.name}.pub"), f"{key.key} {key.name}".rstrip() + "\n")
    return key


def sign(bundle: Path, key_file: Path) -> TrustedKey:
    """Sign a bundle, in place; an earlier signature is replaced. Return the public key.

    Raises:
        ConfigError: the key cannot be used.
        BundleError: the bundle is damaged, or cannot be written.
        RuntimeUnavailableError: the library is missing.
    """
    private = _private_key(key_file)
    # Refuses what is damaged: a signature must never vouch for that.
    listed = ModelBundle.open(bundle).manifest.files
    with zipfile.ZipFile(bundle) as archive:
        entries = {name: archive.read(name) for name in ("manifest.json", *listed)}
    signature = base64.b64encode(private.sign(_PURPOSE + entries["manifest.json"])).decode()
    public = _public_text(private)
    entries[ENTRY] = msgspec.json.encode(Signature(public, signature, utc_now())) + b"\n"
    try:
        with whole_file(bundle) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
            for name, content in entries.items():
                archive.writestr(zipfile.ZipInfo(name), content)
    except OSError as error:
        raise BundleError(f"{bundle}: cannot be written: {error.strerror or error}") from error
    return TrustedKey(public, "")


def sign_settings(text: bytes, key_file: Path) -> Signature:
    """Sign settings that are pushed to devices.

    Raises:
        ConfigError: the key cannot be used.
        RuntimeUnavailableError: the library is missing.
    """
    private = _private_key(key_file)
    signature = base64.b64encode(private.sign(_SETTINGS_PURPOSE + text)).decode()
    return Signature(_public_text(private), signature, utc_now())


def verify_settings(text: bytes, signature: Signature, trusted: Iterable[TrustedKey]) -> TrustedKey:
    """Check that settings are signed by a trusted key; return the key.

    Raises:
        ConfigError: the signature does not hold, or its key is not trusted.
        RuntimeUnavailableError: the library is missing.
    """
    signer = parse_key(signature.key, "settings")
    if not _holds(signature, _SETTINGS_PURPOSE + text):
        raise ConfigError(f"settings: altered: the signature of {signer.fingerprint} does not hold")
    key = next((key for key in trusted if key.key == signer.key), None)
    if key is None:
        raise ConfigError(f"settings: are signed by {signer.fingerprint}, which is not trusted")
    return key


def signature_of(path: Path) -> Signature | None:
    """Return the signature of a bundle, not verified; None if it has none.

    Raises:
        BundleError: the file is not a bundle, or the signature is damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if ENTRY not in archive.namelist():
                return None
            if archive.getinfo(ENTRY).file_size > _MOST_BYTES:
                raise BundleError(f"{path}: {ENTRY} is too large; sign the bundle again")
            return msgspec.json.decode(archive.read(ENTRY), type=Signature)
    except msgspec.DecodeError as error:
        raise BundleError(f"{path}: {ENTRY}: {error}; sign the bundle again") from error
    except _UNREADABLE as error:
        raise BundleError(f"{path}: cannot be read: {error}") from error


def signer_of(bundle: ModelBundle) -> TrustedKey | None:
    """Return the key that signed an open bundle, trusted or not, without a name; None if it is not signed.

    Raises:
        BundleError: the signature does not hold for what was opened.
        RuntimeUnavailableError: the library is missing.
    """
    path = bundle.path
    found = signature_of(path)
    if found is None:
        return None
    try:
        key = parse_key(found.key, str(path))
    except ConfigError:
        raise BundleError(f"{path}: {ENTRY}: its key is not an Ed25519 key; sign the bundle again") from None
    # The file may have been replaced since it was opened.
    try:
        with zipfile.ZipFile(path) as archive:
            content = archive.read("manifest.json")
        same = msgspec.json.decode(content, type=Manifest) == bundle.manifest
    except (*_UNREADABLE, KeyError) as error:
        raise BundleError(f"{path}: cannot be read: {error}") from error
    if not same or not _holds(found, _PURPOSE + content):
        raise BundleError(f"{path}: altered: the signature of {key.fingerprint} does not hold; copy it again")
    return TrustedKey(key.key, "")


def verify(bundle: ModelBundle, trusted: Iterable[TrustedKey]) -> TrustedKey:
    """Check that an open bundle is signed by a trusted key; return the key.

    Opening has checked that the other files are those of the manifest, which is what is signed.

    Raises:
        BundleError: it is not signed, altered since, or signed by a key that is not trusted.
        RuntimeUnavailableError: the library is missing.
    """
    signer, path = signer_of(bundle), bundle.path
    if signer is None:
        raise BundleError(f"{path}: is not signed; sign it with: edgehar sign {path} --key FILE")
    key = next((key for key in trusted if key.key == signer.key), None)
    if key is None:
        problem = f"{path}: is signed by {signer.fingerprint}, which is not trusted"
        raise BundleError(f"{problem}; trust it with: edgehar trust add FILE.pub")
    return key


def require(bundle: ModelBundle, trusted_keys: str | None) -> None:
    """Refuse a bundle unless it came with this package or is signed by a trusted key.

    Args:
        bundle: an open bundle.
        trusted_keys: the setting `models.trusted_keys`.

    Raises:
        BundleError: as `verify`.
        ConfigError: the file of keys cannot be used.
    """
    path = bundle.path.resolve()
    # A link to a shipped bundle may have led elsewhere when it was opened.
    if not is_shipped(path) or ModelBundle.open(path).manifest != bundle.manifest:
        verify(bundle, Trust.at(trusted_keys).read())


def _holds(signature: Signature, content: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature

    _, ed25519 = _library()
    raw = base64.b64decode(signature.key.split()[1])[-32:]
    try:
        ed25519.Ed25519PublicKey.from_public_bytes(raw).verify(base64.b64decode(signature.signature), content)
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True


def _private_key(path: Path) -> Any:
    serialization, ed25519 = _library()
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read: {error.strerror}; make a key with: edgehar sign --new-key FILE"
        ) from error
    for load in (serialization.load_ssh_private_key, serialization.load_pem_private_key):
        try:
            key = load(content, password=None)
        except TypeError as error:
            raise ConfigError(f"{path}: has a passphrase; use a key without one for signing") from error
        except ValueError:
            continue
        if isinstance(key, ed25519.Ed25519PrivateKey):
            return key
    raise ConfigError(f"{path}: not a private Ed25519 key; make one with: edgehar sign --new-key FILE")


def _public_text(private: Any) -> str:
    serialization, _ = _library()
    content: bytes = private.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    return content.decode()


def _library() -> tuple[Any, Any]:
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError as error:
        raise RuntimeUnavailableError(
            f"signatures need cryptography ({error}); run: pip install 'edgehar[sign]'"
        ) from error
    return serialization, ed25519
