"""Files in object stores: S3, Google Cloud Storage and Azure, through obstore.

Log-in and region come from the environment of each machine, in the variables of the store's own tools, such as
`AWS_ACCESS_KEY_ID`.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgehar.errors import ConfigError, SourceError
from edgehar.sources.address import VIDEO_SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_SCHEMES = ("s3://", "gs://", "az://")
_CHUNK_BYTES = 4 * 2**20
_RETRIES = 3


class StoreUnreachableError(SourceError):
    """This machine cannot reach a store, or has no log-in for it."""


def is_stored(source: str) -> bool:
    """Return whether a source is an object or a prefix of a store."""
    return source.startswith(_SCHEMES)


def list_stored(url: str) -> dict[str, str]:
    """Return the videos below a prefix, or the one that is named, each with a text that changes with its content.

    Args:
        url: such as `s3://bucket/cameras/hall`; its last part names a video if it ends like one.

    Raises:
        ConfigError: obstore is not installed, there is no video, or the store cannot be listed.
    """
    obstore, store, key = _open(url)
    root = url[: len(url) - len(key)].rstrip("/")
    try:
        if Path(key).suffix.lower() in VIDEO_SUFFIXES:
            return {url: _stamp(obstore.head(store, key))}
        found = [item for batch in obstore.list(store, prefix=key.strip("/") or None) for item in batch]
    except FileNotFoundError:
        # A worker reports it, as it does for a file of this machine.
        return {url: ""}
    except Exception as error:
        raise ConfigError(f"{url}: cannot be listed: {_short(error)}") from None
    videos = {f"{root}/{item['path']}": _stamp(item) for item in found if _is_video(item["path"])}
    if not videos:
        raise ConfigError(f"{url}: holds no video file; name the files, or another prefix")
    return dict(sorted(videos.items()))


@contextlib.contextmanager
def local_copy(url: str, on_progress: Callable[[], object]) -> Iterator[str]:
    """Yield the path of a copy of an object, which is deleted at the end.

    Args:
        url: the object.
        on_progress: called while it arrives.

    Raises:
        SourceError: the object does not exist, or this user may not read it.
        StoreUnreachableError: the store cannot be reached from this machine.
        OSError: there is no room for the copy.
    """
    obstore, store, key = _open(url)
    with tempfile.NamedTemporaryFile(prefix="edgehar-batch-", suffix=Path(key).suffix) as file:
        try:
            for chunk in _chunks(obstore, store, key, url):
                file.write(chunk)
                on_progress()
        finally:
            file.flush()
        yield file.name


def _chunks(obstore: Any, store: Any, key: str, url: str) -> Iterator[bytes]:
    errors = obstore.exceptions
    try:
        for chunk in obstore.get(store, key).stream(min_chunk_size=_CHUNK_BYTES):
            yield bytes(chunk)
    except FileNotFoundError:
        raise SourceError(f"{url}: does not exist in the store") from None
    except (errors.PermissionDeniedError, errors.UnauthenticatedError) as error:
        raise SourceError(f"{url}: may not be read: {_short(error)}") from None
    except errors.BaseError as error:
        raise StoreUnreachableError(f"{url}: the store cannot be reached: {_short(error)}") from None


def _open(url: str) -> tuple[Any, Any, str]:
    """Return obstore, the store, and the key below it."""
    try:
        import obstore
        import obstore.exceptions
        from obstore.store import from_url
    except ImportError:
        raise ConfigError(f"{url}: needs obstore; run: pip install 'edgehar[upload]'") from None
    scheme, _, rest = url.partition("://")
    bucket, _, key = rest.partition("/")
    # A server of one's own may speak plain HTTP.
    endpoint = os.environ.get("AWS_ENDPOINT_URL", "")
    options: Any = {"allow_http": True} if endpoint.startswith("http://") else {}
    try:
        store = from_url(f"{scheme}://{bucket}", client_options=options, retry_config={"max_retries": _RETRIES})
        return obstore, store, key
    except Exception as error:
        raise ConfigError(f"{url}: {_short(error)}") from None


def _is_video(path: str) -> bool:
    return Path(path).suffix.lower() in VIDEO_SUFFIXES


def _stamp(item: Any) -> str:
    return f"{item['size']} {item['e_tag'] or item['last_modified']}"


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
