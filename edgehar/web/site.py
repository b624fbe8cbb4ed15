"""The site: pages, API and files, behind the guard."""

from __future__ import annotations

import functools
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.routing import Route, Router

from edgehar.web import pages
from edgehar.web.answers import Problem
from edgehar.web.api import cameras, events, openapi, session, settings, status, teach
from edgehar.web.api.operation import BASE, Operation
from edgehar.web.guard import Guard, RefusedError, json_response
from edgehar.web.live import LiveFeed
from edgehar.web.pages import SECTIONS
from edgehar.web.passwords import Password, Throttle
from edgehar.web.recordings import Recordings
from edgehar.web.responses import static_file
from edgehar.web.services import Services
from edgehar.web.sessions import Sessions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from edgehar.web.api.operation import Handler
    from edgehar.web.options import WebOptions
    from edgehar.web.services import Parts

_log = logging.getLogger(__name__)

OPERATIONS: tuple[Operation, ...] = (
    *session.OPERATIONS,
    *cameras.OPERATIONS,
    *events.OPERATIONS,
    *status.OPERATIONS,
    *settings.OPERATIONS,
    *teach.OPERATIONS,
)


class Site:
    """All pages of one run.

    Attributes:
        pages: path and template of each page.
        sections: name and path of each entry of the menu.
        operations: of the API.
    """

    pages: Sequence[tuple[str, str]] = (
        ("/", "live"),
        ("/login", "login"),
        ("/events", "events"),
        ("/events/{id}", "event"),
        ("/teach", "teach"),
        ("/status", "status"),
        ("/settings", "settings"),
        ("/cameras/{camera}", "camera"),
    )
    sections: Sequence[tuple[str, str]] = SECTIONS
    operations: tuple[Operation, ...] = OPERATIONS

    def __init__(
        self,
        options: WebOptions,
        parts: Parts,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make the pages.

        Args:
            options: settings of `[web]`.
            parts: what is shown.
            clock: monotonic seconds.

        Raises:
            ConfigError: the password cannot be read.
        """
        executor = ThreadPoolExecutor(2, thread_name_prefix="edgehar-web-work")
        self._services = Services(
            options=options,
            parts=parts,
            feed=LiveFeed(
                parts.cameras,
                parts.board,
                executor,
                rate_hz=options.pictures_per_s,
                picture_px=options.picture_px,
                clock=clock,
            ),
            sessions=Sessions(options.session_days * 86_400, clock),
            password=Password.of(options),
            throttle=Throttle(clock),
            recordings=None if parts.folder is None else Recordings(parts.folder),
            executor=executor,
        )

    @property
    def feed(self) -> LiveFeed:
        """The live pictures."""
        return self._services.feed

    def app(self) -> ASGIApp:
        """Return the ASGI application."""
        services = self._services
        routes = [
            *(Route(path, self._page(name)) for path, name in self.pages),
            Route("/manifest.webmanifest", self._bound(_manifest)),
            Route(f"{BASE}/openapi.json", self._openapi),
            *(Route(BASE + o.path, self._bound(o.handler), methods=[o.method]) for o in self.operations),
            Route("/static/{name}", static_file),
        ]
        app = _App(Router(routes, redirect_slashes=False), self._not_found)
        has_password = services.password is not None
        options = services.options
        return Guard(
            app, services.sessions, has_password=has_password, prefix=options.prefix, proxy=options.trusted_proxy
        )

    async def end_streams(self) -> None:
        """End the live streams, so that the server can stop."""
        await self.feed.close()

    def close(self) -> None:
        """End what goes on in the background, and free the threads."""
        tools = self._services.parts.tools
        for tool in (tools.examiner, tools.explainer, tools.counter, tools.teacher):
            if tool is not None:
                tool.stop()
        self._services.executor.shutdown(wait=False, cancel_futures=True)

    def _page(self, name: str) -> Callable[[Request], Response]:
        async def show(request: Request) -> Response:
            return pages.page(request, self._services, name, sections=self.sections)

        return show  # type: ignore[return-value]

    def _bound(self, handler: Handler) -> Callable[[Request], Response]:
        async def answer(request: Request) -> Response:
            try:
                return await handler(request, self._services)
            except RefusedError as refused:
                return refused.response()

        return answer  # type: ignore[return-value]

    def _not_found(self, request: Request, error: HTTPException) -> Response:
        if request.scope["path"].startswith("/api/"):
            return json_response(Problem(str(error.detail), "http"), error.status_code)
        return pages.page(request, self._services, "missing", status=error.status_code, sections=self.sections)

    async def _openapi(self, _: Request) -> Response:
        return json_response(_document(self.operations))


async def _manifest(request: Request, services: Services) -> Response:
    return pages.manifest(request, services)


@functools.cache
def _document(operations: tuple[Operation, ...]) -> dict[str, object]:
    return openapi.document(operations)


class _App:
    """The pages without the middleware of Starlette's application, which takes 1 MB."""

    def __init__(self, router: Router, refused: Callable[[Request, HTTPException], Response]) -> None:
        self._router, self._refused = router, refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; whatever goes wrong before the answer begins has an answer of its own."""
        begun = False

        async def watched(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        # The router raises what it does not find for an application, and answers it itself without one.
        scope["app"] = self
        try:
            await self._router(scope, receive, watched)
        except Exception as error:
            if begun:
                raise
            request = Request(scope)
            answer = self._refused(request, error) if isinstance(error, HTTPException) else _failed(request, error)
            await answer(scope, receive, send)


def _failed(request: Request, error: Exception) -> Response:
    _log.error("web: %s failed: %r", request.scope["path"], error)
    return json_response(Problem("the page has failed; the log says why", "failed"), 500)
