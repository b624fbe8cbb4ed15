"""Files of recordings over HTTP, in ranges, so that a player can jump."""

from __future__ import annotations

import asyncio
import os
import re
from typing import TYPE_CHECKING

from edgehar.web.guard import RefusedError
from edgehar.web.responses import StreamedResponse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from concurrent.futures import Executor
    from pathlib import Path

    from starlette.responses import Response

_CHUNK = 262_144
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


async def file_response(
    path: Path, media_type: str, *, asked: str | None, executor: Executor, name: str | None = None
) -> Response:
    """Return a file, or the range of it that is asked for. Of several ranges none is served but the whole.

    Args:
        path: the file. If it is deleted meanwhile, the answer goes on.
        media_type: of the file.
        asked: the request's `Range`; None without one.
        executor: its threads read.
        name: name to store it under; None to show it.

    Raises:
        RefusedError: the file is not there (404), or the range is beyond its end (416).
    """
    loop = asyncio.get_running_loop()
    try:
        descriptor = await loop.run_in_executor(executor, os.open, path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        raise RefusedError(404, "no-file", "the file was removed") from None
    try:
        size = os.fstat(descriptor).st_size
        first, last, partial = _span(asked, size)
    except BaseException:
        os.close(descriptor)
        raise
    headers = {"Accept-Ranges": "bytes", "Content-Length": str(last - first + 1), "Cache-Control": "private, no-cache"}
    if partial:
        headers["Content-Range"] = f"bytes {first}-{last}/{size}"
    if name is not None:
        headers["Content-Disposition"] = f'attachment; filename="{name}"'
    content = _content(descriptor, first, last + 1, executor)
    return _FileResponse(content, 206 if partial else 200, headers, media_type, descriptor=descriptor)


class _FileResponse(StreamedResponse):
    """A streaming response that closes its file even if the client went before the first byte."""

    def __init__(self, *args: object, descriptor: int) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self._descriptor = descriptor

    async def __call__(self, scope, receive, send) -> None:  # type: ignore[no-untyped-def]
        """Send the file."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            os.close(self._descriptor)


def _span(asked: str | None, size: int) -> tuple[int, int, bool]:
    """Return the first and last byte to send, and whether that is a part; raises RefusedError if it is not there."""
    found = _RANGE.fullmatch(asked.strip()) if asked is not None and len(asked) < 100 else None
    if found is None or found[0] == "bytes=-":
        return 0, size - 1, False
    if found[1]:
        first = int(found[1])
        last = int(found[2]) if found[2] else max(first, size - 1)
        if last < first:
            return 0, size - 1, False
    else:
        first, last = max(0, size - int(found[2])), size - 1
    if first >= size:
        raise RefusedError(416, "range", f"the file has {size} bytes", {"Content-Range": f"bytes */{size}"})
    return first, min(last, size - 1), True


async def _content(descriptor: int, start: int, stop: int, executor: Executor) -> AsyncIterator[bytes]:
    loop = asyncio.get_running_loop()
    while start < stop:
        chunk = await loop.run_in_executor(executor, os.pread, descriptor, min(_CHUNK, stop - start), start)
        if not chunk:
            return
        start += len(chunk)
        yield chunk
