"""Logging in to the pages: guesses of the password, sessions and their cookies, requests that other sites forge."""

import contextlib
import json

import pytest
from support.clock import Clock
from support.web_site import PASSWORD, password_hash, site

from edgehar.web.passwords import LONGEST_WAIT_S, Throttle


def tries(browser, count):
    """The statuses of wrong passwords over one connection."""
    with contextlib.closing(browser.connect()) as connection:
        for _ in range(count):
            body = json.dumps({"password": "wrong"})
            connection.request("POST", "/api/v1/session", body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            yield answer.status


@pytest.fixture
def guarded():
    with site(password_hash=password_hash()) as browser:
        yield browser


def test_the_right_password_opens_the_pages_and_logging_out_closes_them_for_good(guarded):
    assert guarded.log_in() == 200
    assert guarded.json("/api/v1/cameras")["cameras"][0]["name"] == "hall"
    cookie = guarded.cookie
    assert guarded.ask("DELETE", "/api/v1/session")[0] == 200
    guarded.cookie = cookie
    assert guarded.get("/api/v1/cameras")[0] == 401


def test_the_cookie_is_kept_from_scripts_and_other_sites(guarded):
    _, headers, _ = guarded.ask("POST", "/api/v1/session", {"password": PASSWORD})
    words = {word.strip().lower() for word in headers["Set-Cookie"].split(";")[1:]}
    assert {"httponly", "samesite=lax", "path=/"} <= words
    assert "secure" not in words
    _, headers, _ = guarded.ask("POST", "/api/v1/session", {"password": PASSWORD}, X_Forwarded_Proto="https")
    assert "; Secure" in headers["Set-Cookie"]


def test_a_thousand_wrong_passwords_are_mostly_not_even_tried():
    clock = Clock()
    with site(password_hash=password_hash(), clock=clock) as browser:
        answers = list(tries(browser, 1000))
        assert answers[:5] == [403] * 5
        assert answers[5:] == [429] * 995
        # Not even the right one, or the answer would tell which it is.
        assert browser.log_in() == 429
        status, headers, _ = browser.ask("POST", "/api/v1/session", {"password": PASSWORD})
        assert (status, headers["Retry-After"]) == (429, "1")
        clock.now_s += 1
        assert browser.log_in("wrong") == 403
        clock.now_s += 1
        assert browser.log_in() == 429
        clock.now_s += 1
        assert browser.log_in() == 200
        assert browser.log_in("wrong") == 403


def test_the_longest_wait_stays_however_often_someone_guesses():
    clock = Clock()
    throttle = Throttle(clock)
    for _ in range(2000):
        throttle.wrong("192.0.2.1")
    assert throttle.wait_s("192.0.2.1") == LONGEST_WAIT_S


def test_guesses_from_one_ipv4_address_do_not_lock_others_out():
    throttle = Throttle(Clock())
    for _ in range(6):
        throttle.wrong("::ffff:192.0.2.1")
    assert throttle.wait_s("192.0.2.1") == 2
    assert throttle.wait_s("::ffff:192.0.2.2") == 0


def test_a_visit_prolongs_the_cookie_as_it_does_the_session(guarded):
    guarded.log_in()
    _, headers, _ = guarded.ask("GET", "/events")
    assert headers["Set-Cookie"].startswith(guarded.cookie)
    assert "Max-Age=1209600" in headers["Set-Cookie"]
    guarded.cookie = ""
    assert "Set-Cookie" not in guarded.ask("GET", "/login")[1]


def test_a_strange_cookie_of_another_program_does_not_hide_the_session(guarded):
    guarded.log_in()
    guarded.cookie = f'other={{"a": "b"}}; {guarded.cookie}'
    assert guarded.get("/api/v1/cameras")[0] == 200


def test_logging_out_ends_the_live_pictures(guarded):
    guarded.log_in()
    with contextlib.closing(guarded.connect()) as connection:
        connection.request("GET", "/api/v1/live", headers={"Cookie": guarded.cookie})
        answer = connection.getresponse()
        assert answer.readline()
        assert guarded.ask("DELETE", "/api/v1/session")[0] == 200
        # Returns when the stream ends; it would go on for ever otherwise.
        answer.read()


def test_a_session_ends_when_it_is_not_used():
    clock = Clock()
    with site(password_hash=password_hash(), clock=clock, session_days=1.0) as browser:
        browser.log_in()
        clock.now_s += 86_000
        assert browser.get("/api/v1/cameras")[0] == 200
        clock.now_s += 86_000
        assert browser.get("/api/v1/cameras")[0] == 200
        clock.now_s += 86_401
        assert browser.get("/api/v1/cameras")[0] == 401


@pytest.mark.parametrize("token", ["", "wrong", "é"])
def test_a_change_needs_the_token_of_the_session(guarded, token):
    guarded.log_in()
    status, _, body = guarded.ask("DELETE", "/api/v1/session", X_CSRF_Token=token)
    assert (status, json.loads(body)["code"]) == (403, "csrf")
    assert guarded.get("/api/v1/cameras")[0] == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://["},
    ],
)
def test_another_site_cannot_log_a_visitor_in(guarded, headers):
    status, _, body = guarded.ask("POST", "/api/v1/session", {"password": PASSWORD}, **headers)
    assert (status, json.loads(body)["code"]) == (403, "origin")


def test_a_form_of_another_site_is_no_log_in(guarded):
    body = json.dumps({"password": PASSWORD}).encode()
    assert guarded.ask("POST", "/api/v1/session", body, Content_Type="text/plain")[0] == 415
