"""Answers in pieces, and the files of the package. Starlette's own would load anyio's tasks, 1.3 MB of memory."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.responses import Response

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

_STATIC = Path(__file__).with_name("static")
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
}


class StreamedResponse(Response):
    """An answer in pieces, which ends when they do or when the client has gone."""

    def __init__(
        self,
        pieces: AsyncIterator[bytes],
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
        media_type: str | None = None,
    ) -> None:
        """Prepare the answer.

        Args:
            pieces: of the body.
            status_code: HTTP status.
            headers: of the answer.
            media_type: of the body.
        """
        # Not the base class's constructor, which sets the length of a body that is known.
        self._pieces = pieces
        self.status_code, self.media_type, self.background = status_code, media_type, None
        self.init_headers(headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - of ASGI
        """Send the answer."""
        sending, leaving = asyncio.ensure_future(self._send(send)), asyncio.ensure_future(_gone(receive))
        try:
            await asyncio.wait((sending, leaving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            sending.cancel()
            leaving.cancel()
            await asyncio.gather(sending, leaving, return_exceptions=True)
        if not sending.cancelled():
            sending.result()

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async for piece in self._pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def static_file(request: Request) -> Response:
    """Return a file of the package; a browser asks each time whether it has changed. Raises HTTPException (404)."""
    name = request.path_params["name"]
    path = _STATIC / name
    # Only what the package brings is served, so a name cannot lead anywhere else.
    if path.suffix not in _TYPES or name not in {file.name for file in _STATIC.iterdir()}:
        raise HTTPException(404)
    facts = path.stat()
    headers = {"Cache-Control": "no-cache", "ETag": f'"{facts.st_mtime_ns:x}-{facts.st_size:x}"'}
    if headers["ETag"] in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(path.read_bytes(), 200, headers, _TYPES[path.suffix])
