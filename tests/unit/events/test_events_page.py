"""docs/events.md: its picture is what the decider makes of the scores and options shown; its defaults are real."""

import re
import tomllib

import msgspec
import pytest
from support.paths import ROOT
from support.predictions import make_prediction

from edgehar.capture.options import GovernorOptions
from edgehar.events.decider import Decider
from edgehar.events.options import DecisionOptions
from edgehar.model.manifest import Decision

PAGE = (ROOT / "docs" / "events.md").read_text()
SCORES = (0.1, 0.4, 0.8, 0.9, 0.6, 0.6, 0.7, 0.3, 0.2, 0.9, 0.9, 0.2, 0.1)
WIDTH = 20


def options_shown():
    """The `[decision]` tables of the page, each as options."""
    tables = [tomllib.loads(text)["decision"] for text in re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)]
    return [msgspec.convert(table, DecisionOptions) for table in tables]


def bar(score, options):
    marks = {options.threshold - options.hysteresis: ":", options.threshold: "|"}
    marks = {round(level * WIDTH): mark for level, mark in marks.items()}
    return "".join(marks.get(i, "#" if i < round(score * WIDTH) else " ") for i in range(WIDTH))


def what_happened(event):
    lasted = "" if event.end_s is None else f": {event.start_s:g} s to {event.end_s:g} s"
    return f"{event.phase}, revision {event.revision}{lasted}"


def picture(options):
    decider = Decider(("fight", "noFight"), options, Decision(background=["noFight"]))
    lines = [f" time  score of fight{'':{WIDTH - 14}}   answer   event"]
    for second, score in enumerate(SCORES):
        scores = {"fight": score, "noFight": round(1 - score, 1)}
        decided, events = decider.update(make_prediction(scores, float(second)))
        told = "; ".join(map(what_happened, events))
        lines.append(f"{second:3d} s  {bar(score, options)} {score:.1f}   {decided.label:8} {told}".rstrip())
    return "\n".join(lines)


def test_the_picture_is_what_happens():
    assert picture(options_shown()[-1]) in PAGE


def test_the_thresholds_shown_do_what_the_page_says():
    decider = Decider(("fight", "noFight"), options_shown()[0])
    for second, (score, label) in enumerate([(0.38, "noFight"), (0.4, "fight"), (0.9, "fight"), (0.38, "noFight")]):
        prediction = make_prediction({"fight": score, "noFight": 1 - score}, float(second))
        assert decider.update(prediction)[0].label == label


@pytest.mark.parametrize("options", [Decision, GovernorOptions])
def test_every_default_is_the_real_one(options):
    rows = [line.split(" | ") for line in PAGE.splitlines() if line.startswith("| `")]
    told = {}
    for keys, default, *_ in rows:
        told |= dict(zip(re.findall(r"`(\w+)`", keys), default.split(", "), strict=False))
    for name, value in msgspec.structs.asdict(options()).items():
        if name == "background":
            continue  # a property of the model, not a rule
        shown = told[name].strip("`")
        expected = {"thresholds": "none"}
        assert shown == expected.get(name, f'"{value}"' if isinstance(value, str) else str(value)), name
