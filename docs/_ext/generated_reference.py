"""Fills pages with what the code says: options of commands from their parsers, settings from their schemas.

A page asks for a part with a comment of its own line, `<!-- generated: commands -->`. A part that is also kept in the
page, so that it can be read on GitHub, stands between two comments (`edgehar.config` writes it) and is replaced here by
one entry for each setting, with an anchor, which the search finds by name.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import io
import json
import re
import signal
import sys
from typing import TYPE_CHECKING, Any, NoReturn
from unittest import mock

from docutils import nodes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sphinx.application import Sphinx

COMMANDS = "<!-- generated: commands -->"


class _ParserBuiltError(Exception):
    """Carries the parser out of a command, in place of running the command."""


def parser_of(script: importlib.metadata.EntryPoint) -> argparse.ArgumentParser:
    """Return the parser that a program makes when it is called without arguments."""

    def stop(parser: argparse.ArgumentParser, *_: Any, **__: Any) -> NoReturn:
        raise _ParserBuiltError(parser)

    # Programs install handlers of signals before they parse.
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    with (
        mock.patch.object(sys, "argv", [script.name]),
        mock.patch.object(argparse.ArgumentParser, "parse_args", stop),
        mock.patch.object(argparse.ArgumentParser, "parse_known_args", stop),
    ):
        try:
            script.load()()
        except _ParserBuiltError as built:
            parser: argparse.ArgumentParser = built.args[0]
            return parser
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
    raise RuntimeError(f"{script.name} parsed no arguments")


def commands_text() -> str:
    """Return the reference of every command that the installed package brings, as Markdown."""
    scripts = importlib.metadata.distribution("edgehar").entry_points.select(group="console_scripts")
    return "\n".join(line for script in sorted(scripts) for line in _command(parser_of(script)))


def _command(parser: argparse.ArgumentParser) -> Iterator[str]:
    below = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    yield f"\n## `{parser.prog}`\n"
    # A command may have options of its own beside commands below it, as `edgehar models` has.
    own = {name for action in parser._actions for name in action.option_strings if name.startswith("--")}
    if not below or own - {"--help", "--version", "--verbose"}:
        yield from _leaf(parser)
    elif parser.description:
        yield from _description(parser.description)
    for group in below:
        # A command has one parser under several names.
        children = {id(child): child for child in group.choices.values()}
        for child in children.values():
            yield from _command(child)


def _leaf(parser: argparse.ArgumentParser) -> Iterator[str]:
    if not parser._actions:
        # `edgehar run` hands all its arguments to `edgehar-run`.
        program = parser.prog.replace(" ", "-")
        yield f"The same as [`{program}`](#{program}).\n"
        return
    _add_late_options(parser)
    if parser.description:
        yield from _description(parser.description)
    usage = parser.format_usage().removeprefix("usage: ").rstrip()
    yield f"```text\n{usage}\n```\n"
    yield f"```{{program}} {parser.prog}\n```\n"
    for action in parser._actions:
        if _is_documented(action):
            yield from _option(parser, action)
    if parser.epilog:
        yield f"```text\n{parser.epilog.rstrip()}\n```\n"


def _is_documented(action: argparse.Action) -> bool:
    hidden = action.help is argparse.SUPPRESS or "--help" in action.option_strings
    return not (hidden or isinstance(action, argparse._SubParsersAction))


def _add_late_options(parser: argparse.ArgumentParser) -> None:
    # A command whose options take long to import adds them when it is about to parse, and --help makes it parse.
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
        parser.parse_known_args(["--help"])


def _option(parser: argparse.ArgumentParser, action: argparse.Action) -> Iterator[str]:
    formatter = parser._get_formatter()
    words = (
        formatter._format_args(action, formatter._get_default_metavar_for_optional(action)) if _takes(action) else ""
    )
    if action.option_strings:
        names = ", ".join(f"{name} {words}".strip() for name in action.option_strings)
    else:
        default = formatter._get_default_metavar_for_positional(action)
        names = formatter._format_args(action, default)
    text = (action.help or "") % {**vars(action), "prog": parser.prog} if action.help else ""
    yield f"````{{option}} {names}\n{_escaped(_capital(text))}\n````\n"


def _takes(action: argparse.Action) -> bool:
    return bool(action.option_strings) and action.nargs != 0


def _capital(text: str) -> str:
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", ")", "!", "?")) or not text else ".")


def _description(text: str) -> Iterator[str]:
    for part in text.strip().split("\n\n"):
        listing = "\n  " in part
        yield f"```text\n{part}\n```\n" if listing else f"{_escaped(' '.join(part.split()))}\n"


def _escaped(text: str) -> str:
    # Help texts are plain text: nothing in them is markup, but code in backticks.
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(part if part.startswith("`") else re.sub(r"([\\*_<>\[\]$|~])", r"\\\1", part) for part in parts)


def settings_text() -> str:
    """Return every setting of the configuration file, each as an entry of its own, as Markdown."""
    from edgehar.config.options import Config
    from edgehar.config.settings import plain_settings, tables_of

    def table(struct: Any, path: str) -> Iterator[str]:
        for setting in plain_settings(struct).values():
            default = _default(setting)
            yield from _entry(f"{path}{setting.name}", setting.words, default, setting.description)
        for setting in tables_of(struct).values():
            title = f"[[{path}{setting.name}]]" if setting.many else f"[{path}{setting.name}]"
            yield f"### `{title}`\n\n{setting.description}\n"
            yield from table(setting.table, f"{path}{setting.name}.")

    return "\n".join(table(Config, ""))


def training_settings_text() -> str:
    """Return every setting of a training, each as an entry of its own, as Markdown."""
    from edgehar.config.settings import settings_of
    from edgehar_training.settings.arguments import flag_of
    from edgehar_training.settings.recipe import SETTINGS

    lines = []
    for group, struct in SETTINGS.items():
        lines.append(f"## `[{group}]`\n\n{(struct.__doc__ or '').strip()}\n")
        for setting in settings_of(struct).values():
            text = f"{setting.description}\n\nOn the command line: `{flag_of(setting)}`."
            lines += _entry(f"{group}.{setting.name}", setting.words, _default(setting), text)
    return "\n".join(lines)


def _default(setting: Any) -> str:
    import msgspec

    from edgehar.config.words import toml

    if setting.default is msgspec.NODEFAULT:
        return "must be set"
    return "not set" if setting.default in (None, [], {}) else toml(setting.default)


def _entry(name: str, kind: str, default: str, text: str) -> Iterator[str]:
    # Options of a directive are YAML, in which a JSON string is a string.
    options = f":type: {json.dumps(kind)}\n:default: {json.dumps(_literal(default))}"
    yield f"````{{confval}} {name}\n{options}\n\n{text}\n````\n"


def _literal(default: str) -> str:
    return default if default in ("not set", "must be set") else f"`{default}`"


BLOCKS: dict[str, tuple[re.Pattern[str], Callable[[], str]]] = {
    "settings": (
        re.compile(r"<!-- settings: .*?-->\n.*?<!-- end of settings -->\n", re.DOTALL),
        settings_text,
    ),
    "training settings": (
        re.compile(r"(?<=\n)## `\[data\]`.*\Z", re.DOTALL),
        training_settings_text,
    ),
}


def _page_of_ours(link: re.Match[str]) -> str:
    # These lie beside docs/; the site includes them as pages.
    return f"](/{link[1].lower()}.md"


def fill(_app: Sphinx, name: str, source: list[str]) -> None:
    """Put the generated parts into the text of a page."""
    source[0] = re.sub(r"\]\((?:\.\./)+(CONTRIBUTING|CHANGELOG)\.md", _page_of_ours, source[0])
    if COMMANDS in source[0]:
        source[0] = source[0].replace(COMMANDS, commands_text())
    for block, (pattern, text) in BLOCKS.items():
        if (block == "training settings") == (name == "training-settings"):
            source[0] = pattern.sub(lambda _, made=text: "\n" + made(), source[0])


def plain_docstring(_app: Sphinx, _what: str, _name: str, _obj: object, _options: object, lines: list[str]) -> None:
    """Escape what reStructuredText would take for markup: docstrings are plain text with code in backticks."""
    for number, line in enumerate(lines):
        parts = re.split(r"(`[^`]*`)", line)
        lines[number] = "".join(part if part.startswith("`") else part.replace("|", r"\|") for part in parts)


def no_double_hyphens(_app: Sphinx, document: nodes.document) -> None:
    """Separate a parameter from its description by a colon, where Sphinx puts two hyphens."""
    for text in [node for node in document.findall(nodes.Text) if node.startswith(" -- ")]:
        text.parent.replace(text, nodes.Text(": " + text.removeprefix(" -- ")))


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("source-read", fill)
    app.connect("autodoc-process-docstring", plain_docstring)
    app.connect("doctree-read", no_double_hyphens)
    return {"parallel_read_safe": True}
