"""A secret is not seen, wherever it ends up."""

import logging
import pickle

import msgspec
import pytest

from edgehar.credentials import MASK, Secret

SECRET = Secret("hunter2")


class Account(msgspec.Struct, frozen=True, kw_only=True):
    password: Secret | None = None


@pytest.mark.parametrize(
    "shown",
    [
        str(SECRET),
        repr(SECRET),
        f"{SECRET}",
        f"{SECRET:>20}",
        "{}".format(SECRET),  # noqa: UP032
        "%s" % SECRET,  # noqa: UP031
        str([SECRET]),
        str({"password": SECRET}),
        repr(Account(password=SECRET)),
        str(ValueError(SECRET)),
    ],
)
def test_it_is_masked(shown):
    assert MASK in shown
    assert "hunter2" not in shown


def test_it_is_masked_in_a_log(caplog):
    logging.getLogger("test").warning("password %s, again %r", SECRET, SECRET)
    assert "hunter2" not in caplog.text


def test_it_gives_its_text_when_asked_to():
    assert SECRET.reveal() == "hunter2"
    assert type(SECRET.reveal()) is str
    assert SECRET == "hunter2"
    assert hash(SECRET) == hash("hunter2")
    assert pickle.loads(pickle.dumps(SECRET)).reveal() == "hunter2"


def test_it_is_not_encoded():
    with pytest.raises(TypeError, match="Secret"):
        msgspec.json.encode(Account(password=SECRET))
    read = msgspec.convert({"password": "hunter2"}, Account, dec_hook=lambda kind, value: kind(value))
    assert type(read.password) is Secret
    assert read == Account(password=SECRET)
