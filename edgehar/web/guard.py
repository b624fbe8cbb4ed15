"""Access control: checks before every request, and headers on every answer."""

from __future__ import annotations

import asyncio
import hmac
import secrets
import urllib.parse
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import Response

from edgehar.web.answers import Problem
from edgehar.web.options import is_loopback, plain_address

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from edgehar.web.sessions import Session, Sessions

COOKIE = "edgehar-session"
MOST_BODY_BYTES = 1_000_000
MOST_HEAD_BYTES = 16_384
# Deadline of a request's body.
BODY_S = 10.0
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
# What may be asked without a session: the log-in, and what its page consists of.
_OPEN = ("/login", "/api/v1/session", "/static/", "/manifest.webmanifest")

SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "media-src 'self'; connect-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}


class RefusedError(Exception):
    """A request that is refused.

    Attributes:
        status: HTTP status.
        problem: the body of the answer.
        headers: of the answer.
    """

    def __init__(self, status: int, code: str, error: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(error)
        self.status, self.problem, self.headers = status, Problem(error, code), headers or {}

    def response(self) -> Response:
        """Return the answer."""
        return json_response(self.problem, self.status, self.headers)


def json_response(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return a value as JSON, which must not be cached."""
    return Response(
        msgspec.json.encode(value),
        status,
        {"Cache-Control": "no-store", **(headers or {})},
        media_type="application/json",
    )


class Guard:
    """Checks host, session, origin and size of each request before the pages see it."""

    def __init__(
        self, app: ASGIApp, sessions: Sessions, *, has_password: bool, prefix: str = "", proxy: str | None = None
    ) -> None:
        """Guard an application.

        Args:
            app: the application.
            sessions: who is logged in.
            has_password: False if everyone who reaches the address may see everything.
            prefix: path under which a reverse proxy passes requests on.
            proxy: address of a proxy that logs visitors in; only this address is answered. None if there is none.
        """
        self._proxy = None if proxy is None else plain_address(proxy)
        self._app, self._sessions, self._has_password, self._prefix = app, sessions, has_password, prefix
        # Without a password there are no sessions, but other sites must still not know this.
        self._csrf = secrets.token_urlsafe(24)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        if self._prefix and scope["path"] == self._prefix:
            # Without the slash, relative links would lead out of the prefix.
            to = Response(status_code=308, headers={"Location": f"{self._prefix.rpartition('/')[2]}/"})
            await to(scope, receive, send_with_headers)
            return
        try:
            self._check(scope)
        except RefusedError as refused:
            if refused.status == 401 and _wants_page(scope):
                await _to_login(scope)(scope, receive, send_with_headers)
            else:
                await refused.response()(scope, receive, send_with_headers)
            return
        await self._app(scope, receive, send_with_headers)

    def _check(self, scope: Scope) -> None:
        """Prepare the scope for the pages; raises RefusedError."""
        if sum(len(name) + len(value) for name, value in scope["headers"]) > MOST_HEAD_BYTES:
            raise RefusedError(431, "too-large", f"the headers are larger than {MOST_HEAD_BYTES} bytes")
        self._remove_prefix(scope)
        headers = Headers(scope=scope)
        if self._proxy is not None:
            _check_proxy(scope, self._proxy)
        elif not self._has_password:
            _check_host(headers.get("host", ""))
        token = _cookie(headers.get("cookie", ""))
        session = self._sessions.find(token) if token and self._has_password else None
        csrf = (session.csrf if session else None) if self._has_password else self._csrf
        scope["edgehar"] = Visitor(token, session, csrf, self._has_password)
        path = scope["path"]
        if self._has_password and session is None and not path.startswith(_OPEN):
            raise RefusedError(401, "log-in", "log in first: POST /api/v1/session")
        if scope["method"] not in _SAFE:
            _check_origin(headers)
            if path != "/api/v1/session" or scope["method"] != "POST":
                _check_csrf(headers.get("x-csrf-token", ""), csrf)
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > MOST_BODY_BYTES:
            raise RefusedError(413, "too-large", f"the body is larger than {MOST_BODY_BYTES} bytes")

    def _remove_prefix(self, scope: Scope) -> None:
        path = scope["path"]
        if self._prefix and (path.startswith(f"{self._prefix}/")):
            scope["path"] = path[len(self._prefix) :] or "/"
            scope["raw_path"] = urllib.parse.quote(scope["path"]).encode()


class Visitor:
    """The sender of a request.

    Attributes:
        token: of the cookie; "" without one.
        session: None if not logged in.
        csrf: what changing requests must send; None if not logged in.
        has_password: whether there is a password.
    """

    def __init__(self, token: str, session: Session | None, csrf: str | None, has_password: bool) -> None:
        self.token, self.session, self.csrf, self.has_password = token, session, csrf, has_password

    @property
    def logged_in(self) -> bool:
        """Whether everything may be seen."""
        return self.csrf is not None


def visitor_of(request: Request) -> Visitor:
    """Return who asks."""
    visitor: Visitor = request.scope["edgehar"]
    return visitor


async def read_body(request: Request) -> bytes:
    """Return the body; raises RefusedError if it is too large or too slow."""
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MOST_BODY_BYTES:
                    raise RefusedError(413, "too-large", f"the body is larger than {MOST_BODY_BYTES} bytes")
    except TimeoutError:
        raise RefusedError(408, "too-slow", f"the body did not arrive within {BODY_S:g} s") from None
    return bytes(body)


async def read_json(request: Request, kind: type[Any]) -> Any:
    """Return the body as a struct; raises RefusedError if it is not one."""
    # A form of another site can send text/plain, but not this type.
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise RefusedError(415, "not-json", "send application/json")
    try:
        return msgspec.json.decode(await read_body(request), type=kind)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise RefusedError(422, "invalid", f"the body is not valid: {error}") from None


def _check_proxy(scope: Scope, proxy: str) -> None:
    """Refuse whoever goes around the proxy that logs visitors in."""
    client = scope.get("client")
    if client is None or plain_address(client[0]) != proxy:
        raise RefusedError(403, "proxy", "only requests through web.trusted_proxy are answered")


def _check_host(host: str) -> None:
    """Refuse names of other machines, because a site can have its own name point here (DNS rebinding)."""
    try:
        name = urllib.parse.urlsplit(f"//{host}").hostname or "" if host.isprintable() else ""
    except ValueError:
        name = ""
    if not is_loopback(name):
        raise RefusedError(403, "host", "without a password only localhost is answered; set web.password_file")


def _check_origin(headers: Headers) -> None:
    """Refuse what another site sends through the browser of a visitor."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        same = site in ("same-origin", "none")
    else:
        origin = headers.get("origin")
        # The origin of a sandboxed frame is "null", which has no host.
        hosts = {headers.get("host", ""), headers.get("x-forwarded-host", "")} - {""}
        same = origin is None or origin.partition("://")[2] in hosts
    if not same:
        raise RefusedError(403, "origin", "another site sent this request")


def _check_csrf(sent: str, csrf: str | None) -> None:
    if csrf is None or not hmac.compare_digest(sent.encode(), csrf.encode()):
        raise RefusedError(403, "csrf", "send the csrf of GET /api/v1/session in X-CSRF-Token")


def _cookie(header: str) -> str:
    # Not SimpleCookie: a strange cookie of another program on this host would hide ours.
    return cookie_parser(header).get(COOKIE, "")


def set_cookie(request: Request, answer: Response, token: str, max_age_s: float) -> None:
    """Have the browser keep the token of its session for some seconds."""
    # A proxy in front may speak TLS to the browser; if that header is wrong, only this visitor's cookie suffers.
    secure = request.scope["scheme"] == "https" or request.headers.get("x-forwarded-proto") == "https"
    answer.set_cookie(COOKIE, token, max_age=int(max_age_s), path="/", secure=secure, httponly=True, samesite="lax")


def _wants_page(scope: Scope) -> bool:
    return scope["method"] in _SAFE and not scope["path"].startswith("/api/")


def _to_login(scope: Scope) -> Response:
    path = scope["path"]
    target = path.lstrip("/")
    query = scope["query_string"].decode("ascii", "replace")
    after = urllib.parse.quote(f"{target}?{query}" if query else target, safe="")
    depth = max(0, path.count("/") - 1)
    return Response(status_code=303, headers={"Location": f"{'../' * depth or './'}login?next={after}"})
