"""The meaning of a web server's answer to an event."""

import email.utils

import pytest

from edgehar.sinks.webhook.connection import RETRY_AFTER_MAX_S, PostResult, _judge


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_success_is_delivery(status):
    assert _judge(status, None) == PostResult(taken=True, answered=True)


@pytest.mark.parametrize("status", [400, 402, 406, 409, 413, 415, 422, 451, 499])
def test_most_refusals_are_about_the_event(status):
    result = _judge(status, None)
    assert (result.taken, result.refused) == (False, True)
    assert result.what.startswith(f"answers {status}")


@pytest.mark.parametrize(
    ("status", "what"),
    [
        (301, "answers 301 Moved Permanently; check the address"),
        (401, "answers 401 Unauthorized; check the log-in"),
        (403, "answers 403 Forbidden; check the log-in"),
        (404, "answers 404 Not Found; check the address"),
        (408, "answers 408 Request Timeout"),
        (425, "answers 425 Too Early"),
        (429, "answers 429 Too Many Requests"),
        (500, "answers 500 Internal Server Error"),
        (599, "answers 599"),
    ],
)
def test_other_answers_keep_the_event_and_say_what_to_check(status, what):
    assert _judge(status, None) == PostResult(answered=True, what=what)


@pytest.mark.parametrize(
    ("after", "wait_s"),
    [
        ("120", 120),
        (" 7 ", 7),
        ("1000000", RETRY_AFTER_MAX_S),
        ("-5", 0),
        ("1.5", 0),
        ("soon", 0),
        (email.utils.formatdate(0), 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", RETRY_AFTER_MAX_S),
    ],
)
def test_the_wait_that_a_server_asks_for_is_bounded(after, wait_s):
    assert _judge(503, after).wait_s == wait_s


def test_the_wait_may_be_given_as_a_date(monkeypatch):
    monkeypatch.setattr("time.time", lambda: 1_000_000_000.0)
    assert _judge(503, email.utils.formatdate(1_000_000_090, usegmt=True)).wait_s == 90
