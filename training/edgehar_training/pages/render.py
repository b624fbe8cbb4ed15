"""Render the templates of this folder. They escape every value, and share one style sheet."""

from __future__ import annotations

import functools
import importlib.util
from typing import TYPE_CHECKING, Any

from edgehar.errors import ConfigError
from edgehar.printable import valid_unicode

if TYPE_CHECKING:
    import jinja2
    from markupsafe import Markup


def check_installed(option: str) -> None:
    """Check that Jinja2 is installed, before any long work.

    Args:
        option: the option that asks for a page, for the message.

    Raises:
        ConfigError: it is not.
    """
    if importlib.util.find_spec("jinja2") is None:
        raise ConfigError(f"{option} writes an HTML page, which needs Jinja2; run: pip install 'edgehar[report]'")


def render(template: str, **values: Any) -> str:
    """Return a page, or a part of one.

    Args:
        template: file name in the folder `templates`.
        values: variables of the template. Text is escaped; `Markup` is inserted as it is.

    Raises:
        ConfigError: Jinja2 is not installed.
    """
    check_installed("this command")
    return valid_unicode(_environment().get_template(template).render(**values))


def render_part(template: str, **values: Any) -> Markup:
    """Return a part of a page that another template can insert."""
    from markupsafe import Markup

    return Markup(render(template, **values))  # noqa: S704 - rendered with autoescape


def shown(value: Any) -> str:
    """Return a table cell: three decimals for a float, a dash for None."""
    if value is None:
        return "–"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


@functools.cache
def _environment() -> jinja2.Environment:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("edgehar_training.pages"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["shown"] = shown
    return environment
