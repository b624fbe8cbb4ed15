"""What the web server refuses: visitors without a session, strange paths, large requests, clients that hold on."""

import contextlib
import http.client
import json
import re
import socket

import pytest
from support.web_site import Browser, FakeCamera, password_hash, site, trusting

from edgehar.web.guard import MOST_BODY_BYTES, MOST_HEAD_BYTES
from edgehar.web.options import WebOptions, plain_address
from edgehar.web.protocol import Limits
from edgehar.web.site import OPERATIONS


def connected(browser):
    return socket.create_connection(("127.0.0.1", browser.port), 20)


@pytest.fixture
def guarded():
    with site(password_hash=password_hash()) as browser:
        yield browser


def test_without_a_session_nothing_is_shown(guarded):
    for operation in OPERATIONS:
        path = "/api/v1" + re.sub("{[^}]*}", "hall", operation.path)
        if path != "/api/v1/session":
            status, _, body = guarded.ask(operation.method, path, {} if operation.method != "GET" else None)
            assert (status, json.loads(body)["code"]) == (401, "log-in"), path
    for page in ("/", "/events", "/nowhere"):
        status, headers, body = guarded.ask("GET", page)
        assert status == 303
        assert headers["Location"].startswith("./login?next=")
        assert body == b""


def test_a_websocket_is_not_opened_for_any_origin(guarded):
    upgrade = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec_WebSocket_Version": "13"}
    for origin in ("http://evil.example", f"http://127.0.0.1:{guarded.port}"):
        status, headers, _ = guarded.ask("GET", "/api/v1/live", Origin=origin, **upgrade)
        assert status == 401
        assert "Sec-WebSocket-Accept" not in headers


def test_without_a_password_only_the_name_of_this_machine_is_answered():
    with site() as browser:
        port = browser.port
        for host in (f"127.0.0.1:{port}", f"localhost:{port}", f"[::1]:{port}"):
            assert browser.get("/api/v1/cameras", Host=host)[0] == 200
        for host in ("evil.example", f"127.0.0.1.evil.example:{port}", "", "a\tb", "["):
            assert browser.get("/api/v1/cameras", Host=host)[0] == 403


@pytest.mark.parametrize(
    "path",
    [
        "/static/../options.py",
        "/static/..%2foptions.py",
        "/static/%2e%2e/options.py",
        "/static/..%5coptions.py",
        "/static//etc/passwd",
        "/static/%2fetc/passwd",
        "/static/app.js%00.css",
        "/../../etc/passwd",
        "/api/v1/cameras/..%2f..%2fetc/strip",
        "/api/v1/cameras/%00/strip",
        "//evil.example/",
        "/nowhere",
    ],
)
def test_a_path_leads_nowhere_outside(path):
    with site() as browser:
        status, headers, body = browser.ask("GET", path)
        assert status == 404
        assert "Location" not in headers
        assert b"root:" not in body
        assert b"WebOptions" not in body


def test_large_heads_and_bodies_are_refused():
    with site() as browser:
        assert browser.get("/", X_Large="x" * 2 * MOST_HEAD_BYTES)[0] in (400, 431)
        assert browser.ask("POST", "/api/v1/session", b"x" * (MOST_BODY_BYTES + 1), Content_Type="application/json")[
            0
        ] == (413)
        many = ({f"X-{number}": "y" * 100 for number in range(1000)},)
        assert browser.get("/", **many[0])[0] in (400, 431)
        assert browser.get("/")[0] == 200


def test_a_body_without_a_length_is_counted(guarded):
    chunks = b"".join(b"%x\r\n%s\r\n" % (65_536, b"x" * 65_536) for _ in range(20)) + b"0\r\n\r\n"
    head = b"POST /api/v1/session HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
    head += b"Transfer-Encoding: chunked\r\n\r\n"
    with connected(guarded) as client:
        client.sendall(head)
        # It may be refused before all is sent.
        with contextlib.suppress(OSError):
            client.sendall(chunks)
        assert b"413" in client.recv(64)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'{"password":1}', b'{"password":"x","more":1}', b"[" * 100_000, b"\xff"]
)
def test_a_body_that_is_not_as_described_is_refused(guarded, body):
    status, _, answer = guarded.ask("POST", "/api/v1/session", body, Content_Type="application/json")
    assert status == 422
    assert json.loads(answer)["code"] == "invalid"


@pytest.mark.parametrize("sent", [b"", b"GET / HTT", b"GET / HTTP/1.1\r\nX: y\r\n"])
def test_a_silent_or_slow_client_is_let_go(sent):
    with (
        site(limits=Limits(head_s=0.3)) as browser,
        connected(browser) as client,
    ):
        client.sendall(sent)
        assert client.recv(1) == b""


def test_a_slow_client_is_let_go_after_a_whole_request_too():
    with (
        site(limits=Limits(head_s=0.3)) as browser,
        connected(browser) as client,
    ):
        client.sendall(b"HEAD /manifest.webmanifest HTTP/1.1\r\nHost: localhost\r\n\r\nGET / HT")
        answer = b""
        while chunk := client.recv(4096):
            answer += chunk
        assert answer.count(b"HTTP/1.1 ") == 1


def test_idle_clients_do_not_keep_others_out():
    with site(limits=Limits(connections=16)) as browser:
        idle = [connected(browser) for _ in range(200)]
        try:
            assert browser.get("/api/v1/cameras")[0] == 200
            assert idle[0].recv(1) == b""
        finally:
            for client in idle:
                client.close()


def test_nonsense_gets_an_answer_or_the_end_of_the_connection():
    with site() as browser:
        for sent in (
            b"\x00" * 100,
            b"GET\r\n\r\n",
            b"GET / HTTP/9.9\r\n\r\n",
            b"\x16\x03\x01\x02\x00",
            b"PRI * HTTP/2.0\r\n\r\n",
        ):
            with connected(browser) as client:
                client.sendall(sent)
                client.shutdown(socket.SHUT_WR)
                assert client.recv(64)[:9] in (b"", b"HTTP/1.1 ")
        assert browser.get("/")[0] == 200


def test_every_answer_forbids_foreign_scripts_and_frames():
    with site() as browser:
        for path in ("/", "/nowhere", "/static/app.js", "/api/v1/cameras", "/api/v1/nowhere"):
            headers = browser.ask("GET", path)[1]
            policy = headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert "server" not in {name.lower() for name in headers}


def test_a_page_has_no_script_or_style_within_and_asks_no_other_host():
    with site() as browser:
        for path in ("/", "/login", "/nowhere"):
            html = browser.get(path)[1].decode()
            assert not re.search(r"<script(?![^>]*(src=|application/json))|<style|\sstyle=|\son\w+=", html)
            assert not re.search(r"(src|href)=\"(https?:)?//", html)


def test_names_of_labels_and_cameras_cannot_become_html():
    camera = FakeCamera(labels=("</script><script>alert(1)</script>", "calm"))
    with site(camera) as browser:
        assert b"alert(1)" not in browser.get("/")[1]
        assert "alert(1)" in browser.json("/api/v1/cameras")["cameras"][0]["labels"][0]


def test_under_a_prefix_all_works_with_and_without_it():
    with site(prefix="/edge/har", password_hash=password_hash()) as browser:
        assert browser.ask("GET", "/edge/har/events")[1]["Location"] == "./login?next=events"
        assert browser.ask("GET", "/edge/har/cameras/hall")[1]["Location"] == "../login?next=cameras%2Fhall"
        assert browser.get("/edge/har/static/app.js")[0] == 200
        assert browser.get("/static/app.js")[0] == 200
        assert b'content="./"' in browser.get("/edge/har/login")[1]
        assert browser.get("/edge/harmless")[0] == 303
        status, headers, _ = browser.ask("GET", "/edge/har")
        assert (status, headers["Location"]) == (308, "har/")


def test_tls_is_served_with_the_certificate(certificates):
    options = {"cert_file": str(certificates.server), "key_file": str(certificates.server_key)}
    with site(tls=trusting(certificates), password_hash=password_hash(), **options) as browser:
        assert browser.log_in() == 200
        assert browser.get("/")[0] == 200
        plain = Browser(browser.port)
        with pytest.raises((OSError, http.client.HTTPException)):
            plain.get("/")


def test_behind_a_proxy_that_logs_visitors_in_only_it_is_answered():
    page = {"Host": "homeassistant.local:8123", "X_Ingress_Path": "/api/hassio_ingress/abc"}
    with site(trusted_proxy="127.0.0.1") as browser:
        assert browser.get("/", **page)[0] == 200
        assert browser.get("/api/v1/cameras", **page)[0] == 200
        # Another site in the visitor's browser is still refused.
        change = {**page, "Sec_Fetch_Site": "cross-site"}
        assert browser.ask("POST", "/api/v1/settings/undo", **change)[0] == 403
        browser.csrf = ""
        assert browser.ask("POST", "/api/v1/settings/undo", **page)[0] == 403
    with pytest.raises(AssertionError, match="trusted_proxy"), site(trusted_proxy="172.30.32.2"):
        pytest.fail("a client that is not the proxy was answered")


def test_addresses_are_compared_as_addresses():
    assert plain_address("::ffff:172.30.32.2") == plain_address("172.30.32.2") == "172.30.32.2"
    assert plain_address("FE80::1%eth0") == "fe80::1"
    assert plain_address("supervisor") is None


def test_clients_that_begin_no_handshake_keep_nobody_out(certificates):
    options = {"cert_file": str(certificates.server), "key_file": str(certificates.server_key)}
    limits = Limits(handshakes=4)
    with site(tls=trusting(certificates), limits=limits, **options) as browser, contextlib.ExitStack() as stack:
        silent = [stack.enter_context(connected(browser)) for _ in range(20)]
        for _ in range(3):
            assert browser.get("/api/v1/cameras")[0] == 200
        # The oldest were ended: their end is read without waiting for a deadline.
        assert [client.recv(1) for client in silent[:15]] == [b""] * 15


def test_the_password_may_be_in_a_file(tmp_path):
    file = tmp_path / "password"
    file.write_text(password_hash().reveal() + "\n")
    with site(password_file=str(file)) as browser:
        assert browser.log_in("wrong") == 403
        assert browser.log_in() == 200


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"listen": "0.0.0.0:80"}, "needs a password"),
        ({"listen": "[::]:80"}, "needs a password"),
        ({"listen": "camera.local:80"}, "needs a password"),
        ({"listen": "127.0.0.1"}, "must be HOST:PORT"),
        ({"listen": "127.0.0.1:0"}, "must be HOST:PORT"),
        ({"listen": "127.0.0.1:65536"}, "must be HOST:PORT"),
        ({"listen": ":²"}, "must be HOST:PORT"),
        ({"key_file": "k.pem"}, "without cert_file"),
        ({"trusted_proxy": "supervisor"}, "must be an IP address"),
    ],
)
def test_unsafe_or_impossible_settings_are_refused(options, message):
    from edgehar.errors import ConfigError

    with pytest.raises((ValueError, ConfigError), match=message):
        WebOptions(**options)


@pytest.mark.parametrize("listen", ["8088", "127.0.0.1:8088", "localhost:8088", "[::1]:8088", ":8088"])
def test_this_machine_alone_needs_no_password(listen):
    assert not WebOptions(listen=listen).has_password
