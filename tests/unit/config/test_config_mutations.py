"""Any configuration is read, or refused in one line: never a traceback, never a secret."""

import os
import re
import tomllib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgehar.config import Config, ConfigProblemsError, read
from edgehar.config.environment import variable_of
from edgehar.config.pages import sample
from edgehar.config.settings import every_path
from edgehar.config.words import key

# Of the four tests together.
EXAMPLES = int(os.environ.get("CONFIG_MUTATIONS", "1000"))
PASSWORD = "hunter2"
# Every setting set.
COMPLETE = re.sub(r"^#(?=\S)", "", sample(), flags=re.MULTILINE)
PATHS = [path for path, _ in every_path(Config)]
TABLES = sorted({path[0] for path in PATHS if len(path) > 1})

many = settings(
    max_examples=EXAMPLES // 4,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

words = st.sampled_from(
    [
        *(
            "",
            "x",
            "jsonl",
            "true",
            "0.5",
            "-1",
            "1e999",
            "9" * 400,
            "nan",
            "[",
            "{",
            "]",
            '"',
            "'",
            '"""',
            "=",
            "#",
            "\n",
        ),
        *("[[camera]]\n", "[camera]\n", "[decision]\n", "\0", "\x7f", "\u20ac", "\ud800", ".", ",", "1979-05-27", "\\"),
        f"mqtt://me:{PASSWORD}@host",
    ]
)
scalars = st.one_of(
    st.booleans(),
    st.integers(),
    st.integers(-(10**400), 10**400),
    st.floats(),
    st.text(max_size=20),
    st.dates(),
    st.just(f"rtsp://me:{PASSWORD}@cam"),
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)
keys = st.one_of(st.sampled_from([path[-1] for path in PATHS]), st.sampled_from(TABLES), st.text(max_size=12))


def outcome(path, environ=None, overrides=None):
    """Read it; what is wrong must be said in lines without the password."""
    try:
        config = read(path, environ, overrides).config
    except ConfigProblemsError as error:
        lines = [*error.problems, str(error)]
    else:
        assert isinstance(config, Config)
        return
    assert len(lines) > 1
    for line in lines:
        assert len(line.splitlines()) == 1, line
        assert PASSWORD not in line
        assert len(line) < 2000


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("config") / "edgehar.toml"


def test_the_sample_with_nothing_set_is_the_default(path):
    path.write_text(sample())
    assert read(path).config == Config()


def test_every_setting_of_the_sample_can_be_set(path):
    problems = []
    try:
        path.write_text(COMPLETE)
        tomllib.loads(COMPLETE)
        read(path)
    except ConfigProblemsError as error:
        # Some exclude one another.
        problems = [problem for problem in error.problems if "it must be" in problem or "is not a setting" in problem]
    assert problems == []


@many
@given(edits=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 30), words | st.text(max_size=4)), max_size=6))
def test_edited_text(path, edits):
    text = COMPLETE
    for share, removed, inserted in edits:
        start = round(share * len(text))
        text = text[:start] + inserted + text[start + removed :]
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    outcome(path)


def emit(value):
    """A value as TOML; what TOML lacks becomes text that is none."""
    match value:
        case bool():
            return str(value).lower()
        case dict():
            return f"{{{', '.join(f'{key(name)} = {emit(item)}' for name, item in value.items())}}}"
        case list():
            return f"[{', '.join(map(emit, value))}]"
        case str():
            return key(value) if key(value).startswith('"') else f'"{value}"'
    return str(value)


@many
@given(
    top=st.dictionaries(keys, values, max_size=3),
    tables=st.lists(
        st.tuples(st.sampled_from(TABLES), st.booleans(), st.dictionaries(keys, values, max_size=4)), max_size=3
    ),
)
def test_other_values(path, top, tables):
    lines = [f"{key(name)} = {emit(value)}" for name, value in top.items()]
    for name, many_of_them, inner in tables:
        lines.append(f"[[{name}]]" if many_of_them else f"[{name}]")
        lines += [f"{key(name)} = {emit(value)}" for name, value in inner.items()]
    path.write_bytes("\n".join(lines).encode("utf-8", "surrogatepass"))
    outcome(path)


@many
@given(
    environ=st.dictionaries(
        st.sampled_from([variable_of(path) for path in PATHS])
        | st.builds("EDGEHAR_{}".format, st.text("ABEHMOPTU_0129", max_size=20))
        | st.sampled_from(["EDGEHAR_CAMERA__0__SOURCE", "EDGEHAR_CAMERA__0", "EDGEHAR_CAMERA__99999__HOP", "EDGEHAR_"]),
        words | st.text(max_size=20) | st.builds(emit, values),
        max_size=4,
    )
)
def test_any_environment(environ):
    outcome(None, environ)


@many
@given(overrides=st.dictionaries(keys, values | st.none() | st.dictionaries(keys, values | st.none()), max_size=4))
def test_any_overrides(overrides):
    outcome(None, None, overrides)
