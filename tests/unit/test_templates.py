"""Texts about events: every field, any label, and templates that cannot be used."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.recordings import event

from edgehar import ConfigError
from edgehar.templates import FIELDS, Template, is_wanted


def test_every_field_is_filled_in():
    ended = msgspec.structs.replace(event("end", 1.0, 2.5), clip="hall/a.mp4", clip_url="https://host/hall/a.mp4")
    text = Template("x", " ".join(f"{name}={{{name}}}" for name in FIELDS)).fill(ended)
    assert text == (
        "label=bright camera=hall score=0.90 time=2026-11-21T05:40:00.123Z duration_s=1.5 clip=hall/a.mp4 "
        f"clip_url=https://host/hall/a.mp4 id={ended.id} model=tiny phase=end"
    )


def test_what_is_not_known_yet_is_empty():
    assert Template("x", "[{duration_s}{clip}{clip_url}]").fill(event("start", 1.0)) == "[]"


@given(label=st.text(), camera=st.text())
def test_json_stays_json_whatever_the_label(label, camera):
    template = Template.of_json("x", '{{"text": "{label} at {camera}", "score": {score}}}')
    filled = template.fill(msgspec.structs.replace(event("start", 1.0), label=label, source=camera))
    assert json.loads(filled) == {"text": f"{label} at {camera}", "score": 0.9}


def test_braces_in_a_label_are_not_fields():
    assert Template("x", "{label}").fill(event("start", 1.0, label="{camera}")) == "{camera}"


@pytest.mark.parametrize("text", ["{nothing}", "{label.__class__}", "{label!r}", "{label:>9}", "{", "}", "{}", "{0}"])
def test_templates_that_cannot_be_used_are_refused(text):
    with pytest.raises(ConfigError, match=r"^webhook: body: .*braces"):
        Template("webhook: body", text)


@pytest.mark.parametrize("text", ['{{"text": {label}}}', "{label}", '{{"text": "{label}"', "plain"])
def test_a_template_that_makes_no_json_is_refused(text):
    with pytest.raises(ConfigError, match="not JSON when filled in"):
        Template.of_json("webhook: body", text)


def test_filters():
    everything = {"labels": [], "cameras": [], "min_score": 0.0}
    assert is_wanted(event("start", 1.0), **everything)
    for wrong in ({"labels": ["dark"]}, {"cameras": ["porch"]}, {"min_score": 0.91}):
        assert not is_wanted(event("start", 1.0), **{**everything, **wrong})
