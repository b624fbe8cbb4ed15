"""The user guide says only what is there: options, files, records, and Python that runs."""

import re
import shlex
from pathlib import Path

import msgspec
import pytest
from support.docs import COMMANDS, OPTION, options_of
from support.helpers import flat_frames, write_video
from support.paths import ROOT
from support.tiny_bundle import write_tiny_bundle

from edgehar import ModelBundle, records
from edgehar.bench import results as bench_results
from edgehar.model import manifest
from edgehar.sinks.mqtt.device import Device
from edgehar.sinks.mqtt.orders import OrderReport

PAGES = {
    path.relative_to(ROOT).as_posix(): path
    for path in (
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        ROOT / "CHANGELOG.md",
        *sorted((ROOT / "docs").rglob("*.md")),
    )
}
# Whose options a page means by a bare `--option`.
SUBJECTS = {
    "docs/run.md": "edgehar-run",
    "docs/mqtt.md": "edgehar-run",
    "docs/train.md": "edgehar-train",
    "docs/networks.md": "edgehar-train",
    "docs/frames.md": "edgehar-train",
    "docs/convert.md": "edgehar-convert",
    "docs/evaluate.md": "edgehar eval",
    "docs/operating-points.md": "edgehar operate",
    "docs/inspect.md": "edgehar inspect",
    "docs/batch.md": "edgehar batch",
    "docs/sweep.md": "edgehar sweep",
    "docs/bench.md": "edgehar bench",
    "docs/experiments/2026-11-21-benchmark.md": "edgehar bench",
}
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
OUR_FILE = re.compile(r"(?<![\w/.~-])(?:edgehar|ext|scripts|tests|training)/[\w./-]+\.\w+")
OUR_FOLDER = re.compile(r"`((?:edgehar|ext|scripts|tests|training)/(?:[\w-]+/)*)`")


def blocks(page, *languages):
    return [text for language, text in BLOCK.findall(PAGES[page].read_text()) if language in languages]


def inline_code(page):
    return re.findall(r"`([^`\n]+)`", BLOCK.sub("", PAGES[page].read_text()))


def calls(line):
    """The calls of our commands in a line of shell, each as (command, its words)."""
    words = shlex.split(line.replace("\\|", "|"), comments=True)
    found = []
    for number, word in enumerate(words):
        name = " ".join([Path(word).name, *words[number + 1 : number + 3]])
        command = next((command for command in COMMANDS if f"{name} ".startswith(f"{command} ")), None)
        if command is not None:
            found.append((command, []))
        elif word in ("|", "&&", ";"):
            found.append((None, []))
        elif found:
            found[-1][1].append(word)
    return [(command, rest) for command, rest in found if command]


def anchors(file):
    """The anchors of a page, as GitHub and the site make them of its headings."""
    headings = re.findall(r"^#+ (.*)$", BLOCK.sub("", file.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def structs_of(module):
    return [c for c in vars(module).values() if isinstance(c, type) and issubclass(c, msgspec.Struct)]


@pytest.mark.parametrize("page", PAGES)
def test_every_option_exists_in_the_command_it_is_used_with(page):
    lines = [line for text in blocks(page, "", "sh") for line in text.replace("\\\n", " ").splitlines()]
    # Lines with a colon are what commands said.
    shell = [line for line in lines if "edgehar" in line and ": " not in line]
    for code in (*shell, *inline_code(page)):
        used = calls(code) if "edgehar" in code else []
        for command, words in used:
            assert {word for word in words if OPTION.fullmatch(word)} <= options_of(command), code
        if code.startswith("--") and not used:
            known = options_of(SUBJECTS[page]) if page in SUBJECTS else set().union(*map(options_of, COMMANDS))
            assert set(OPTION.findall(code)) <= known, code


@pytest.mark.parametrize(
    "page",
    [
        *("docs/run.md", "docs/train.md", "docs/convert.md", "docs/bench.md", "docs/evaluate.md"),
        "docs/operating-points.md",
    ],
)
def test_every_option_is_explained(page):
    told = set(OPTION.findall(PAGES[page].read_text()))
    if page == "docs/train.md":
        told |= set(OPTION.findall(PAGES["docs/training-settings.md"].read_text()))
    told |= {f"--no-{option[2:]}" for option in told} | {option.replace("--no-", "--") for option in told}
    of_every_command = set(OPTION.findall(PAGES["docs/index.md"].read_text()))
    assert options_of(SUBJECTS[page]) - told - of_every_command == set()


@pytest.mark.parametrize("page", PAGES)
def test_every_link_and_path_leads_somewhere(page):
    text = PAGES[page].read_text()
    for target, anchor in re.findall(r"\]\(([^)#]*)(?:#([^)]*))?\)", text):
        if "://" not in target:
            file = PAGES[page].parent / target if target else PAGES[page]
            assert file.exists(), target
            assert not anchor or anchor in anchors(file), f"{target}#{anchor}"
    for path in (*OUR_FILE.findall(text), *OUR_FOLDER.findall(text)):
        assert (ROOT / path).exists(), path


RECORDS_SHOWN = [(page, line) for page in PAGES for line in "".join(blocks(page, "json")).splitlines()]


def test_the_pages_that_explain_records_show_some():
    assert {"README.md", "docs/run.md", "docs/tutorial.md"} <= {page for page, _ in RECORDS_SHOWN}


@pytest.mark.parametrize(("page", "line"), RECORDS_SHOWN)
def test_every_record_shown_is_one(page, line):
    msgspec.json.decode(line, type=records.Record | Device | OrderReport)


@pytest.mark.parametrize(
    ("page", "classes"),
    [
        ("docs/run.md", (records.Prediction, records.Event, records.Status, records.Window, records.TimingMs)),
        ("docs/bundle.md", structs_of(manifest)),
        ("docs/bench.md", structs_of(bench_results)),
    ],
)
def test_every_field_is_explained(page, classes):
    told = {word for code in inline_code(page) for word in re.findall(r"\w+", code)}
    assert {field for cls in classes for field in cls.__struct_fields__} - told == set()


@pytest.mark.parametrize(
    ("page", "number"),
    [(page, n) for page in ("README.md", "docs/python.md") for n in range(len(blocks(page, "python")))],
)
def test_python_runs_as_it_stands(page, number, tmp_path, monkeypatch):
    text = blocks(page, "python")[number]
    code = compile(text, f"{page}: block {number}", "exec")
    if '"camera:' in text:
        pytest.skip("there is no camera here")
    # Found by the names of the shipped models where those are not installed.
    models = tmp_path / "edgehar" / "models"
    models.mkdir(parents=True)
    write_tiny_bundle(models / "fight.edgehar", window=20, rate_hz=12.5, hop=5)
    write_video(tmp_path / "clip.mp4", flat_frames(range(60)))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    exec(code, {"__name__": "__main__"})


def test_the_reference_of_settings_is_what_the_settings_say():
    from edgehar_training.settings.pages import reference

    assert PAGES["docs/training-settings.md"].read_text() == reference()


@pytest.mark.parametrize("path", sorted((ROOT / "models").glob("*.edgehar")), ids=lambda path: path.stem)
def test_figures_of_shipped_models_are_those_of_their_bundles(path):
    bundle, page = ModelBundle.open(path), (ROOT / "docs" / "models.md").read_text()
    row = next(line for line in page.splitlines() if line.startswith(f"| `{path.stem}` |") and line.count("|") == 6)
    assert f"| {path.stat().st_size:,} |" in row
    if (alarms := bundle.manifest.provenance.alarms) is not None:
        rate, share = alarms.false_alarms / alarms.hours, alarms.found / alarms.incidents
        for text in (page, path.with_suffix(".md").read_text(), (ROOT / "README.md").read_text()):
            assert f"{rate:.1f}" in text
            assert f"{share:.0%}".replace("%", " %") in text
