"""Recipes: the settings of a published system in one TOML file, with the claim of its paper.

[paper]     title, claim and differences, for people
[sweep]     result of `edgehar sweep`, if that wrote it
[data] [split] [network] [fit] [augment] [quantize] [run]     settings, named as in `edgehar_training.settings`
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from edgehar.errors import ConfigError
from edgehar.nearest import nearest
from edgehar_training.settings import (
    AugmentSettings,
    DataSettings,
    FitSettings,
    NetworkSettings,
    QuantizeSettings,
    RunSettings,
    SplitSettings,
)

if TYPE_CHECKING:
    from edgehar.config.settings import Struct

T = TypeVar("T")

SETTINGS: dict[str, Struct] = {
    "data": DataSettings,
    "split": SplitSettings,
    "network": NetworkSettings,
    "fit": FitSettings,
    "augment": AugmentSettings,
    "quantize": QuantizeSettings,
    "run": RunSettings,
}


class Paper(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The source of a recipe.

    Attributes:
        title: the system and the data set.
        claim: the figures of the paper, in its words.
        protocol: the split of the paper, and its leaks.
        honest: options for a split without leaks.
        unlike: what the paper does not say, and what differs here.
    """

    title: str
    claim: Annotated[str, Meta(min_length=1)]
    protocol: str
    honest: str = ""
    unlike: str = ""


class Sweep(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The sweep that chose the settings of a recipe.

    Attributes:
        trials: number of trials.
        accuracy: of the best one, mean over the inner folds.
        loss: validation loss of the best one, mean over the inner folds.
    """

    trials: int
    accuracy: float
    loss: float


class Recipe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One recipe: the paper or the sweep that it comes from, and its settings by group."""

    paper: Paper | None = None
    sweep: Sweep | None = None
    settings: dict[str, dict[str, Any]]


def names() -> list[str]:
    """Return the names of the recipes that come with edgehar."""
    return sorted(path.stem for path in _folder().glob("*.toml"))


def read_recipe(name: str) -> Recipe:
    """Read a recipe that comes with edgehar, or a recipe file.

    Raises:
        ConfigError: no such recipe, or an invalid one.
    """
    path, where = Path(name), name
    if name.endswith(".toml"):
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"--recipe {name}: {error}") from error
    elif name in (known := names()):
        text = (_folder() / f"{name}.toml").read_text(encoding="utf-8")
    else:
        near = nearest(name, known)
        hint = f"; did you mean {near}?" if near else ""
        raise ConfigError(f"unknown recipe {name!r}; choose one of {', '.join(known)}, or give a file NAME.toml{hint}")
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{where}: {error}") from error
    return _checked(tables, where)


def _folder() -> Path:
    package = Path(__file__).parents[1]
    installed = package / "recipes"
    # The second folder is that of a source checkout, for an editable install.
    return installed if installed.is_dir() else package.parent / "recipes"


def _checked(tables: dict[str, Any], where: str) -> Recipe:
    paper, sweep = tables.pop("paper", None), tables.pop("sweep", None)
    for group, values in tables.items():
        if group not in SETTINGS:
            raise ConfigError(
                f"{where}: unknown table [{group}]; known are [paper], {', '.join(f'[{g}]' for g in SETTINGS)}"
            )
        try:
            msgspec.convert(values, SETTINGS[group])
        except msgspec.ValidationError as error:
            raise ConfigError(f"{where}: [{group}] {error}") from error
    return Recipe(
        paper=_about(paper, Paper, f"{where}: [paper]"),
        sweep=_about(sweep, Sweep, f"{where}: [sweep]"),
        settings=tables,
    )


def _about(table: Any, kind: type[T], where: str) -> T | None:
    try:
        return None if table is None else msgspec.convert(table, kind)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{where} {error}") from error
