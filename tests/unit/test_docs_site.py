"""The documentation site builds without a warning, finds every option and setting, and makes no outside request."""

import importlib.util
import json
import re
import subprocess
import sys

import pytest
from support.docs import COMMANDS, options_of
from support.paths import ROOT

from edgehar.config.options import Config
from edgehar.config.settings import every_path

pytestmark = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("sphinx", "furo", "myst_parser", "sphinx_copybutton")),
    reason="needs the docs extra",
)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built site, as `make docs` builds it: a broken link or anchor is a warning, and a warning an error."""
    folder = tmp_path_factory.mktemp("site")
    options = ("--fail-on-warning", "--keep-going", "--quiet", "-d", folder / "doctrees", "-b", "html")
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", *options, ROOT / "docs", folder / "html"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return folder / "html"


@pytest.fixture(scope="module")
def entries(site):
    """What the search knows by name: the kind of each, and its full name."""
    text = (site / "searchindex.js").read_text().removeprefix("Search.setIndex(").rstrip(")\n;")
    index = json.loads(text)
    found = {}
    for prefix, objects in index["objects"].items():
        for _page, kind, _priority, _anchor, name in objects:
            found.setdefault(index["objnames"][str(kind)][1], set()).add(f"{prefix}.{name}" if prefix else name)
    return found


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_can_be_searched_for(entries, command):
    program = command.replace(" ", "-")
    missing = {option for option in options_of(command) if f"{program}.{option}" not in entries["cmdoption"]}
    assert missing <= {"--help", "--version", "--verbose"}


def test_every_command_with_options_is_known_to_these_tests(entries):
    programs = {name.partition(".")[0] for name in entries["cmdoption"]}
    assert programs - {command.replace(" ", "-") for command in COMMANDS} == set()


def test_every_setting_can_be_searched_for(entries):
    paths = {".".join(path) for path, _setting in every_path(Config)}
    assert paths - entries["confval"] == set()


def test_every_setting_of_a_training_can_be_searched_for(entries):
    from edgehar.config.settings import settings_of
    from edgehar_training.settings.recipe import SETTINGS

    paths = {f"{group}.{name}" for group, struct in SETTINGS.items() for name in settings_of(struct)}
    assert paths - entries["confval"] == set()


def test_every_public_name_is_in_the_reference(entries):
    import edgehar

    known = set().union(*(names for kind, names in entries.items() if kind in ("class", "exception", "function")))
    assert {f"edgehar.{name}" for name in edgehar.__all__} - known == set()


def test_no_page_loads_anything_from_elsewhere(site):
    for page in site.rglob("*.html"):
        tags = re.findall(r"<(?:script|link|img|iframe|source)\b[^>]*>", page.read_text())
        loaded = [address for tag in tags for address in re.findall(r"(?:src|href)=\"([^\"]*)\"", tag)]
        assert [address for address in loaded if re.match(r"(?:\w+:)?//", address)] == [], page
    for sheet in site.rglob("*.css"):
        assert not re.search(r"(?:url\(|@import)\s*['\"]?(?:https?:)?//", sheet.read_text()), sheet
