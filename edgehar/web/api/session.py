"""Log in and out."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

import msgspec

from edgehar.web.answers import SessionInfo
from edgehar.web.api.operation import Operation
from edgehar.web.guard import RefusedError, json_response, read_json, set_cookie, visitor_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from edgehar.web.services import Services


class LogIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The password of the pages."""

    password: str


async def read_session(request: Request, services: Services) -> Response:
    """Say who is asking."""
    visitor = visitor_of(request)
    return json_response(SessionInfo(visitor.logged_in, services.password is not None, visitor.csrf))


async def log_in(request: Request, services: Services) -> Response:
    """Check the password, and open a session."""
    given: LogIn = await read_json(request, LogIn)
    if services.password is None:
        raise RefusedError(409, "no-password", "there is no password; everything may be seen")
    address = request.client.host if request.client else ""
    async with services.checking:
        wait_s = services.throttle.wait_s(address)
        if wait_s > 0:
            seconds = math.ceil(wait_s)
            raise RefusedError(
                429, "too-many", f"too many wrong passwords; try again in {seconds} s", {"Retry-After": str(seconds)}
            )
        loop = asyncio.get_running_loop()
        if not await loop.run_in_executor(services.executor, services.password.matches, given.password):
            services.throttle.wrong(address)
            raise RefusedError(403, "wrong-password", "the password is wrong")
    services.throttle.right(address)
    token, session = services.sessions.open()
    answer = json_response(SessionInfo(True, True, session.csrf))
    set_cookie(request, answer, token, services.options.session_days * 86_400)
    return answer


async def log_out(request: Request, services: Services) -> Response:
    """End the session."""
    services.sessions.close(visitor_of(request).token)
    answer = json_response(SessionInfo(False, services.password is not None, None))
    set_cookie(request, answer, "", 0)
    return answer


OPERATIONS = (
    Operation("GET", "/session", read_session, "Whether you are logged in, and the CSRF token.", SessionInfo),
    Operation(
        "POST",
        "/session",
        log_in,
        "Log in; sets a cookie.",
        SessionInfo,
        body=LogIn,
        refusals=((403, "The password is wrong."), (429, "Too many wrong passwords; see Retry-After.")),
    ),
    Operation("DELETE", "/session", log_out, "Log out; the cookie is worthless afterwards.", SessionInfo),
)
