"""The pages: HTML from templates, in the visitor's language. All that moves comes from the API."""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING, Any

from starlette.responses import HTMLResponse, Response

from edgehar.web.guard import set_cookie, visitor_of
from edgehar.web.texts import LANGUAGES, catalogue, choose_language, text

if TYPE_CHECKING:
    from collections.abc import Sequence

    import jinja2
    from starlette.requests import Request

    from edgehar.web.services import Services

LANGUAGE_COOKIE = "edgehar-language"
SECTIONS = (("live", ""), ("events", "events"), ("teach", "teach"), ("status", "status"), ("settings", "settings"))


def language_of(request: Request, services: Services) -> str:
    """Return the language of this visitor."""
    return choose_language(
        services.options.language,
        request.cookies.get(LANGUAGE_COOKIE, ""),
        request.headers.get("accept-language", ""),
    )


def page(
    request: Request,
    services: Services,
    name: str,
    *,
    status: int = 200,
    sections: Sequence[tuple[str, str]] = SECTIONS,
    **values: Any,
) -> Response:
    """Return a page.

    Args:
        request: of the visitor.
        services: for language and password.
        name: of the template, and of its entry in the menu.
        status: HTTP status.
        sections: name and path of each entry of the menu.
        values: for the template.
    """
    language = language_of(request, services)
    visitor = visitor_of(request)
    html = (
        _environment()
        .get_template(f"{name}.html")
        .render(
            name=name,
            language=language,
            languages=LANGUAGES,
            t=functools.partial(text, language),
            texts=_for_script(language),
            sections=sections,
            root=root_of(request),
            csrf=visitor.csrf or "",
            can_log_out=visitor.session is not None,
            logged_in=visitor.logged_in,
            **values,
        )
    )
    # The page holds the token of the session.
    answer = HTMLResponse(html, status, {"Cache-Control": "no-store"})
    if visitor.session is not None:
        # A visit prolongs the session, so the browser must keep its cookie for as long.
        set_cookie(request, answer, visitor.token, services.options.session_days * 86_400)
    return answer


def root_of(request: Request) -> str:
    """Return the way from this page to the first, so that links work under any path of a proxy."""
    depth: int = request.scope["path"].count("/") - 1
    return "../" * depth or "./"


def manifest(request: Request, services: Services) -> Response:
    """Return what a phone needs to put the pages on its home screen."""
    language = language_of(request, services)
    body = {
        "name": "edgehar",
        "short_name": "edgehar",
        "description": text(language, "app.description"),
        "lang": language,
        "start_url": "./",
        "scope": "./",
        "display": "standalone",
        "background_color": "#0f1214",
        "theme_color": "#0f1214",
        "icons": [
            {"src": "static/icon.svg", "sizes": "any", "type": "image/svg+xml", "purpose": "any"},
            {"src": "static/icon-192.png", "sizes": "192x192", "type": "image/png", "purpose": "any"},
            {"src": "static/icon-512.png", "sizes": "512x512", "type": "image/png", "purpose": "maskable"},
        ],
    }
    return Response(json.dumps(body), media_type="application/manifest+json")


@functools.cache
def _for_script(language: str) -> str:
    """Return the catalogue as JSON that cannot end a script element."""
    return json.dumps(catalogue(language), ensure_ascii=False).replace("<", "\\u003c")


@functools.cache
def _environment() -> jinja2.Environment:
    import jinja2

    return jinja2.Environment(
        loader=jinja2.PackageLoader("edgehar.web"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
