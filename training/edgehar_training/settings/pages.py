"""Reference of all settings in Markdown, for `docs/training-settings.md`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgehar.config.settings import settings_of
from edgehar.config.words import toml
from edgehar_training.settings.arguments import flag_of
from edgehar_training.settings.recipe import SETTINGS

if TYPE_CHECKING:
    from edgehar.config.settings import Setting

_HEAD = """\
# Training settings

Every option of `edgehar-train` is also a key of a recipe, a TOML file given with `--recipe`, in the table named here.
Command-line options override the recipe. [train.md](train.md) explains their use. A run stores all settings in its
`config.json`. This page is written by `python -m edgehar_training.settings docs/training-settings.md`.
"""


def reference() -> str:
    """Return the page."""
    parts = [_HEAD]
    for group, struct in SETTINGS.items():
        parts.append(f"## `[{group}]`: {(struct.__doc__ or '').rstrip('.').lower()}\n")
        parts.append("| key | option | default | meaning |\n|---|---|---|---|")
        parts += [_row(setting) for setting in settings_of(struct).values()]
        parts.append("")
    return "\n".join(parts).strip() + "\n"


def _row(setting: Setting) -> str:
    text = f"{setting.description} It must be {setting.words}.".replace("|", "\\|")
    return f"| `{setting.name}` | `{flag_of(setting)}` | {_default(setting.default)} | {text} |"


def _default(value: Any) -> str:
    return "" if value is None or value in ([], {}) else f"`{toml(value)}`"
