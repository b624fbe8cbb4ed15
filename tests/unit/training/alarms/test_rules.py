"""Rules of decision as words of a command line."""

import pytest
from hypothesis import given
from support.predictions import option_sets

from edgehar.errors import ConfigError
from edgehar.events.options import describe, resolve
from edgehar.model.manifest import Decision
from edgehar_training.alarms.rules import parse_rules

BASE = Decision(thresholds={"fight": 0.4}, background=["idle"], smoothing="ema")


def test_words_change_what_they_name():
    assert parse_rules([], BASE) is BASE
    found = parse_rules(["smoothing=k-of-n", "k=2", "n=4", "thresholds.idle=0.6", "hysteresis=0.1"], BASE)
    assert found == Decision(
        thresholds={"fight": 0.4, "idle": 0.6}, background=["idle"], smoothing="k-of-n", k=2, n=4, hysteresis=0.1
    )
    assert parse_rules(["threshold=0.7"], BASE).thresholds == {}


@given(option_sets())
def test_the_words_that_describe_rules_make_them_again(options):
    rules = resolve(options, Decision(background=["idle"]))
    again = parse_rules(describe(rules).split(" "), Decision(background=["idle"]))
    # Settings of rules that are off are not said.
    assert describe(again) == describe(rules)


def test_a_file_holds_rules_in_its_table_or_at_its_top(tmp_path):
    path = tmp_path / "rules.toml"
    for head in ("", "[decision]\n"):
        path.write_text(f'{head}smoothing = "cusum"\nthresholds = {{ fight = 0.5 }}\n')
        found = parse_rules([str(path), "cusum_seconds=3"], BASE)
        assert (found.smoothing, found.cusum_seconds, found.thresholds) == ("cusum", 3.0, {"fight": 0.5})


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["smoothing"], "KEY=VALUE"),
        (["smoothing="], "has no value"),
        (["smothing=ema"], "did you mean smoothing"),
        (["background=idle"], "unknown key"),
        (["thresholds=0.5"], "thresholds.LABEL"),
        (["hysteresis=2"], "hysteresis"),
        (["k=9"], "k is 9"),
        (["smoothing=median"], "median"),
        (["none.toml"], "cannot be read"),
    ],
)
def test_words_that_are_no_rules_are_refused(words, message):
    with pytest.raises(ConfigError, match=message):
        parse_rules(words, BASE)
