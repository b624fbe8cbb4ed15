"""The reference of all settings in Markdown, as it stands in `docs/training-settings.md`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgehar.config.settings import settings_of
from edgehar.config.words import toml
from edgehar_training.settings.arguments import flag_of
from edgehar_training.settings.recipe import SETTINGS

if TYPE_CHECKING:
    from edgehar.config.settings import Setting

_HEAD = """\
# Settings of a training

Every option of `edgehar-train` is also a key of a recipe, a TOML file given by `--recipe`, in the table named here. The
command line wins over the recipe. What they are for is told in [train.md](train.md); a run keeps all of them in its
`config.json`. Made by `python -m edgehar_training.settings docs/training-settings.md`.
"""


def reference() -> str:
    """Return all tables."""
    parts = [_HEAD]
    for group, struct in SETTINGS.items():
        parts.append(f"## `[{group}]`: {(struct.__doc__ or '').rstrip('.').lower()}\n")
        parts.append("| key | option | default | what it is |\n|---|---|---|---|")
        parts += [_row(setting) for setting in settings_of(struct).values()]
        parts.append("")
    return "\n".join(parts).strip() + "\n"


def _row(setting: Setting) -> str:
    text = f"{setting.description} It must be {setting.words}.".replace("|", "\\|")
    return f"| `{setting.name}` | `{flag_of(setting)}` | {_default(setting.default)} | {text} |"


def _default(value: Any) -> str:
    return "" if value is None or value in ([], {}) else f"`{toml(value)}`"
