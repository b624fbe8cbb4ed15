"""`edgehar label`: say what the moments in the inbox show, one or two keys each.

Keys: `r` the answer is right, `w` it is wrong and nothing was to report, a number for another class, `n` a new class,
`s` skip, `u` undo, `d` delete the moment, `q` quit. Labels are kept at once: quit and go on at any time.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Self

from edgehar.cli.common import EXIT_DONE
from edgehar.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TextIO

    from edgehar.teaching.inbox import Inbox, Item
    from edgehar.teaching.labels import Label

_EXAMPLES = """\
examples:
  edgehar label                                     the inbox of the configuration; events first
  edgehar label inbox --play 'ffplay -autoexit {}'  show each clip first
  edgehar label inbox --list --json                 all moments with their labels
  edgehar label inbox --item hall-1f2e/20261130T0225111-event --as ordinary
  edgehar teach fight --inbox inbox --out hall.edgehar"""


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "label",
        help="label what a run has kept in its inbox",
        description=__doc__,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("inbox", nargs="?", type=Path, metavar="DIR", help="the inbox (that of the configuration)")
    parser.add_argument("--config", metavar="FILE", help="the configuration of the run (the usual one)")
    parser.add_argument("--play", metavar="COMMAND", help="run this to show a clip; {} stands for its path")
    parser.add_argument("--list", action="store_true", help="print all moments, the oldest first, and end")
    parser.add_argument("--json", action="store_true", help="with --list: print JSON Lines")
    parser.add_argument("--item", metavar="ID", help="label this moment, and end; needs --as")
    parser.add_argument("--as", dest="label", metavar="LABEL", help="with --item: its label; `ordinary` if nothing was")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """List, label one, or ask about each moment that has no label."""
    from edgehar.teaching.inbox import Inbox

    inbox = Inbox(_folder(args))
    if (args.item is None) != (args.label is None):
        raise ConfigError("--item and --as need each other")
    if args.item is not None:
        return _label_one(inbox, args.item, args.label)
    if not inbox.folder.is_dir():
        raise ConfigError(f"{inbox.folder}: no inbox; set enabled = true under [inbox] and let edgehar-run watch")
    if args.list:
        return _list(inbox, args.json)
    with _Keys(sys.stdin) as keys:
        return Labeling(inbox, keys.read, keys.line, play=args.play).run()


def _folder(args: argparse.Namespace) -> Path:
    if args.inbox is not None:
        return Path(args.inbox)
    from edgehar.config import find_config, load
    from edgehar.teaching.inbox import inbox_folder

    config = load(find_config(args.config or "auto", os.environ))
    return inbox_folder(config.inbox, config.spool.directory)


def _label_one(inbox: Inbox, item_id: str, label: str) -> int:
    from edgehar.records import utc_now
    from edgehar.teaching.labels import Label, check_label, write_label

    check_label(label)
    item = inbox.find(item_id)
    write_label(item.base, Label(label, item.facts.answer, utc_now(), "terminal"))
    print(f"{item.id}: {label}")
    return EXIT_DONE


def _list(inbox: Inbox, as_json: bool) -> int:
    from edgehar.teaching.labels import read_label

    for item in inbox.items():
        label = read_label(item.base)
        if as_json:
            facts = {"id": item.id, "clip": str(item.clip) if item.clip else None, "label": label and label.label}
            print(json.dumps({**facts, **_facts(item)}, ensure_ascii=False))
        else:
            print(f"{item.id}  {describe(item)}  {'-' if label is None else label.label}")
    for path in inbox.damaged:
        print(f"edgehar label: {path}: damaged; delete it", file=sys.stderr)
    return EXIT_DONE


def _facts(item: Item) -> dict[str, Any]:
    import msgspec

    facts: dict[str, Any] = msgspec.to_builtins(item.facts)
    return facts


def describe(item: Item) -> str:
    """Return one line about a moment: when, where, why it was kept, and what the model said."""
    import datetime

    facts = item.facts
    try:
        when = datetime.datetime.fromisoformat(facts.time).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except ValueError:
        when = facts.time
    return f"{when}  {facts.source}  {facts.why}: {facts.answer} {facts.score:.2f}"


class Labeling:
    """Asks about each moment that has no label."""

    def __init__(
        self,
        inbox: Inbox,
        read_key: Callable[[], str],
        read_line: Callable[[str], str],
        *,
        play: str | None = None,
        out: TextIO | None = None,
    ) -> None:
        """Ask nothing yet.

        Args:
            inbox: the inbox.
            read_key: returns the next key; "" at the end of the input.
            read_line: prints a prompt and returns a line; "" at the end of the input.
            play: command that shows a clip, with {} for its path.
            out: where to print; standard output if None.
        """
        self._inbox, self._read_key, self._read_line = inbox, read_key, read_line
        self._play, self._out = play, out or sys.stdout
        self._classes: list[str] = []
        self._waiting: list[Item] = []
        # Positions of the moments that were labeled, in that order.
        self._done: list[int] = []

    def run(self) -> int:
        """Ask until all have labels, or the user quits."""
        self._waiting, self._classes = self._inbox.unlabeled(), self._known_classes()
        if not self._waiting:
            self._print("nothing waits for a label")
            return EXIT_DONE
        at: int | None = 0
        while at is not None and at < len(self._waiting):
            at = self._ask(at)
        folder = self._inbox.folder
        self._print(f"{len(self._done)} labeled; teach with: edgehar teach MODEL --inbox {folder} --out NEW.edgehar")
        return EXIT_DONE

    def _ask(self, at: int) -> int | None:
        """Ask about one moment; return the position of the next one, or None to end."""
        item = self._waiting[at]
        clip = f"  {item.clip}" if item.clip else ""
        self._print(f"[{at + 1}/{len(self._waiting)}] {describe(item)}{clip}")
        self._show(item)
        others = [name for name in self._classes if name != item.facts.answer][:9]
        choices = "".join(f"  [{index}] {name}" for index, name in enumerate(others, 1))
        self._print(f"  [r]ight  [w]rong, ordinary{choices}  [n]ew class  [s]kip  [u]ndo  [d]elete  [q]uit")
        while True:
            key = self._read_key()
            if key in ("", "q", "\x03", "\x04"):
                return None
            if key == "s":
                return at + 1
            if key == "u" and self._done:
                return self._undo()
            if key == "d":
                item.remove()
                return at + 1
            label = self._chosen(key, item, others)
            if label is not None:
                self._keep(at, label)
                return at + 1

    def _chosen(self, key: str, item: Item, others: list[str]) -> Label | None:
        from edgehar.teaching.labels import judged

        answer = item.facts.answer
        if key in ("r", "w"):
            return judged("right" if key == "r" else "wrong", answer, by="terminal")
        if key.isdecimal() and 1 <= int(key) <= len(others):
            return judged("other", answer, label=others[int(key) - 1], by="terminal")
        if key == "n":
            name = self._read_line("  name of the class: ").strip()
            try:
                label = judged("other", answer, label=name, by="terminal")
            except ConfigError as error:
                self._print(f"  {error}")
                return None
            if name not in self._classes:
                self._classes.append(name)
            return label
        return None

    def _keep(self, at: int, label: Label) -> None:
        from edgehar.teaching.labels import write_label

        item = self._waiting[at]
        # The inbox is bounded: a moment may have been removed meanwhile.
        if not item.base.with_name(f"{item.base.name}.json").exists():
            self._print("  this moment is gone")
            return
        write_label(item.base, label)
        self._done.append(at)
        self._print(f"  {label.label}")

    def _undo(self) -> int:
        from edgehar.teaching.labels import remove_label

        at = self._done.pop()
        remove_label(self._waiting[at].base)
        return at

    def _show(self, item: Item) -> None:
        if self._play is None or item.clip is None:
            return
        import shlex
        import subprocess

        command = [part.replace("{}", str(item.clip)) for part in shlex.split(self._play)]
        try:
            subprocess.run(command, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603
        except OSError as error:
            self._print(f"  {command[0]}: {error.strerror}")

    def _known_classes(self) -> list[str]:
        from edgehar.teaching.labels import ORDINARY, read_label

        names: dict[str, None] = {}
        for item in self._inbox.items():
            names |= dict.fromkeys(item.facts.scores)
            try:
                label = read_label(item.base)
            except ConfigError:
                continue
            if label is not None and label.label != ORDINARY:
                names[label.label] = None
        return list(names)

    def _print(self, text: str) -> None:
        from edgehar.printable import printable

        print(printable(text), file=self._out, flush=True)


class _Keys:
    """Single keys from a terminal, without Enter; from anything else, the characters of its lines."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._saved: list[Any] | None = None

    def __enter__(self) -> Self:
        if self._stream.isatty():
            import termios
            import tty

            self._saved = termios.tcgetattr(self._stream)
            tty.setcbreak(self._stream, termios.TCSADRAIN)
        return self

    def __exit__(self, *_: object) -> None:
        if self._saved is not None:
            import termios

            termios.tcsetattr(self._stream, termios.TCSADRAIN, self._saved)

    def read(self) -> str:
        """Return the next key; "" at the end."""
        while (key := self._stream.read(1)) in ("\n", "\r", " "):
            pass
        return key

    def line(self, prompt: str) -> str:
        """Print a prompt and return a line."""
        print(prompt, end="", flush=True)
        if self._saved is None:
            return self._stream.readline()
        import termios
        import tty

        # In its usual mode the terminal shows what is typed.
        termios.tcsetattr(self._stream, termios.TCSADRAIN, self._saved)
        line = self._stream.readline()
        tty.setcbreak(self._stream, termios.TCSADRAIN)
        return line
