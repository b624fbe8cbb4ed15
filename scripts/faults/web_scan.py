"""Attack the pages of a running edgehar-run, and report what is not refused.

    python scripts/faults/web_scan.py             # every attack; exit code 1 if one succeeds
    python scripts/faults/web_scan.py --wapiti    # then also the scanner wapiti, if it is installed

The run has a password and watches a drawn scene. Afterwards it must still answer, and its log must show no error.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgehar.cli.demo_web import write_scene
from edgehar.web.passwords import hash_password

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PASSWORD = "correct horse battery"  # noqa: S105 - of this test
API = "/api/v1"
# Pieces of paths, and where they are put.
PARTS = (
    *("..", "%2e%2e", "..%2f..%2fetc%2fpasswd", "%2e%2e%2f", "..%5c..", "%00", "a%00.mp4", "%ff%fe", "/etc/passwd"),
    *("....//....//etc/passwd", "%252e%252e%252fetc", "CON", "a" * 3000, "%0d%0aSet-Cookie:x=1", "{{7*7}}", "<b>"),
)
PLACES = (
    *("/static/{}", "/static/../{}", "/cameras/{}", "/events/{}", "/{}"),
    *(f"{API}/events/{{}}", f"{API}/events/{{}}/file.mp4", f"{API}/events/x/file.{{}}"),
    *(f"{API}/cameras/{{}}/picture.jpg", f"{API}/inbox/{{}}/b/clip.mp4", f"{API}/inbox/a/{{}}/clip.mp4"),
    *(f"{API}/events?camera={{}}", f"{API}/events?day={{}}&zone=../etc"),
)
BODIES: tuple[Any, ...] = (
    *(None, 1, "x", [], {}, {"version": 1}, {"changes": [{"path": ["web", "listen"], "value": "0:1"}]}),
    *({"model": "../../etc/passwd"}, {"password": ["x"]}, {"verdict": "right", "label": "\u0000"}),
)
Answer = tuple[int, http.client.HTTPMessage, bytes]


class Target:
    """A running program, and requests to it."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.process, self.port, self.log = process, port, log
        self.cookie = self.csrf = ""

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        """Send a request, with the session if there is one."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.cookie:
            named.setdefault("Cookie", self.cookie)
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)) as connection:
            connection.putrequest(method, path, skip_host="Host" in named, skip_accept_encoding=True)
            for name, value in named.items():
                connection.putheader(name, value)
            if body is not None:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read(1_000_000)

    def send(self, method: str, path: str, value: Any, **headers: str) -> Answer:
        """Send JSON with the token."""
        given = {"Content_Type": "application/json", "X_CSRF_Token": self.csrf, **headers}
        return self.ask(method, path, json.dumps(value).encode(), **given)

    def log_in(self, password: str = PASSWORD) -> Answer:
        """Log in, and keep the session."""
        answer = self.send("POST", f"{API}/session", {"password": password})
        if answer[0] == 200:
            self.cookie = answer[1]["Set-Cookie"].partition(";")[0]
            self.csrf = json.loads(answer[2])["csrf"]
        return answer

    def raw(self, data: bytes) -> bytes:
        """Send bytes, and return the first line of what comes."""
        with socket.create_connection(("127.0.0.1", self.port), 30) as connection:
            connection.sendall(data)
            with contextlib.suppress(OSError):
                return connection.recv(4096).split(b"\r\n")[0]
        return b""


def without_session(target: Target) -> Iterator[str]:
    """Everything but the log-in must be refused."""
    cookie, target.cookie = target.cookie, ""
    for method, path in operations(target, cookie):
        status = target.send(method, path, {})[0]
        if path != f"{API}/session" and status not in (401, 403):
            yield f"{method} {path}: {status}"
    target.cookie = cookie


def operations(target: Target, cookie: str) -> list[tuple[str, str]]:
    """Return method and path of every operation of the API."""
    document = json.loads(target.ask("GET", f"{API}/openapi.json", Cookie=cookie)[2])
    fill = {"{camera}": "hall", "{id}": "x", "{kind}": "mp4", "{folder}": "a", "{moment}": "b"}
    found = []
    for path, methods in document["paths"].items():
        for name, value in fill.items():
            path = path.replace(name, value)
        # These two never end, or take long.
        if not path.endswith(("live.mjpg", "/live", "/doctor")):
            found += [(method.upper(), API + path) for method in methods]
    return found


def wrong_passwords(target: Target) -> Iterator[str]:
    """A thousand guesses: they must be slowed down, and none may be let in."""
    statuses = {target.send("POST", f"{API}/session", {"password": str(number)})[0] for number in range(1000)}
    if not statuses <= {403, 429} or 429 not in statuses:
        yield f"statuses {sorted(statuses)}"


def old_session(target: Target) -> Iterator[str]:
    """A session must not work after the log-out."""
    cookie = target.cookie
    target.ask("DELETE", f"{API}/session", X_CSRF_Token=target.csrf)
    if (status := target.ask("GET", f"{API}/cameras", Cookie=cookie)[0]) != 401:
        yield f"GET cameras: {status}"
    target.log_in()


def forged(target: Target) -> Iterator[str]:
    """Other sites must change nothing and read nothing."""
    for headers in ({"X_CSRF_Token": ""}, {"X_CSRF_Token": "x" * 32}, {"Sec_Fetch_Site": "cross-site"},
                    {"Origin": "https://evil.example"}, {"Origin": "null"}):  # fmt: skip
        if (status := target.send("POST", f"{API}/settings/undo", {}, **headers)[0]) != 403:
            yield f"{headers}: {status}"
    if (status := target.send("PUT", f"{API}/settings", {}, Content_Type="text/plain")[0]) not in (403, 415):
        yield f"text/plain: {status}"
    socketed = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec_WebSocket_Version": "13", "Origin": "http://evil"}
    if (status := target.ask("GET", f"{API}/live", Sec_WebSocket_Key="x" * 22 + "==", **socketed)[0]) == 101:
        yield "a WebSocket of another origin was opened"
    shared = target.ask("GET", f"{API}/cameras", Origin="https://evil.example")[1]
    if "Access-Control-Allow-Origin" in shared:
        yield "another origin may read"


def strange_paths(target: Target) -> Iterator[str]:
    """No path may lead out of the folders, and none may fail."""
    for place in PLACES:
        for part in PARTS:
            status, headers, body = target.ask("GET", place.format(part))
            if status >= 500 or b"root:" in body or headers["Set-Cookie"] == "x=1" or body == b"49":
                yield f"{place.format(part)[:80]}: {status}"


def strange_bodies(target: Target) -> Iterator[str]:
    """Bodies of any kind must be refused without a failure."""
    raw = [b"", b"{", b"[" * 100_000, b"\xff\xfe", b'{"a":1e999}', b'"' + b"x" * 900_000 + b'"']
    for method, path in operations(target, target.cookie):
        if method in ("GET", "DELETE") or path == f"{API}/session":
            continue
        for content in [*(json.dumps(value).encode() for value in BODIES), *raw]:
            status = target.ask(method, path, content, Content_Type="application/json", X_CSRF_Token=target.csrf)[0]
            if status >= 500 or (status < 300 and not path.endswith("undo")):
                yield f"{method} {path} {content[:40]!r}: {status}"


def sizes(target: Target) -> Iterator[str]:
    """Huge heads and bodies must be refused, and quickly."""
    for name, data in (
        ("head", b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 200_000 + b"\r\n\r\n"),
        ("many heads", b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 20_000 + b"\r\n"),
        ("address", b"GET /" + b"x" * 200_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        ("body", b"POST /api/v1/session HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n"),
        ("two lengths", b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx"),
        ("smuggling", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"),
        ("method", b"TRACE / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        ("version", b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n"),
        ("bytes", bytes(range(256)) * 20),
    ):  # fmt: skip
        line = target.raw(data)
        if b" 200 " in line or b" 500 " in line:
            yield f"{name}: {line.decode(errors='replace')}"


def held_connections(target: Target) -> Iterator[str]:
    """Clients that are silent or slow must keep nobody out."""
    with contextlib.ExitStack() as stack:
        for number in range(400):
            connection = socket.create_connection(("127.0.0.1", target.port), 30)
            stack.callback(connection.close)
            if number % 2:
                with contextlib.suppress(OSError):
                    connection.sendall(b"GET / HTTP/1.1\r\nHost: ")
        started_s = time.monotonic()
        if (status := target.ask("GET", f"{API}/cameras")[0]) != 200 or time.monotonic() - started_s > 10:
            yield f"with 400 idle clients: {status} after {time.monotonic() - started_s:.1f} s"


def headers_of_answers(target: Target) -> Iterator[str]:
    """Every answer must tell the browser what is forbidden."""
    for path in ("/", "/login", "/static/app.js", f"{API}/cameras", "/nowhere"):
        headers = target.ask("GET", path)[1]
        policy = headers.get("Content-Security-Policy", "")
        if "default-src 'none'" not in policy or "unsafe" in policy:
            yield f"{path}: Content-Security-Policy {policy!r}"
        if headers.get("X-Content-Type-Options") != "nosniff" or "Server" in headers:
            yield f"{path}: {dict(headers)}"
    cookie = target.log_in()[1]["Set-Cookie"]
    if "HttpOnly" not in cookie or "SameSite=lax" not in cookie:
        yield f"cookie: {cookie}"


ATTACKS: tuple[Callable[[Target], Iterator[str]], ...] = (
    headers_of_answers, without_session, forged, old_session, strange_paths, strange_bodies, sizes, held_connections,
    wrong_passwords,
)  # fmt: skip


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Target]:
    """Run the program on a drawn scene."""
    video, log = folder / "scene.mp4", folder / "log"
    write_scene(video, "synthetic:walking?width=160&height=120&duration_s=1")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    config = folder / "edgehar.toml"
    config.write_text(
        f'model = "actions-synthetic"\noutput = "none"\n[[camera]]\nname = "hall"\nsource = "{video}"\nloop = true\n'
        f'realtime = true\n[record]\ndirectory = "{folder / "rec"}"\n[inbox]\nenabled = true\n'
        f'directory = "{folder / "inbox"}"\n[web]\nlisten = "127.0.0.1:{port}"\n'
        f'password_hash = "{hash_password(PASSWORD)}"\n'
    )
    config.chmod(0o600)
    command = [str(Path(sys.executable).with_name("edgehar-run")), "--config", str(config)]
    with log.open("wb") as stderr, subprocess.Popen(command, stderr=stderr) as process:
        try:
            while b"web: http" not in log.read_bytes():
                if process.poll() is not None:
                    sys.exit(log.read_text())
                time.sleep(0.1)
            yield Target(process, port, log)
        finally:
            process.terminate()


# The run speaks http on loopback, and browsers have dropped the first of these.
_NOT_MISSED = ("X-XSS-Protection", "Strict-Transport-Security", "Secure flag")


def wapiti(target: Target) -> Iterator[str]:
    """Run the scanner of this name as a visitor without and with a session."""
    report = target.log.with_name("wapiti.json")
    command = ["wapiti", "-u", f"http://127.0.0.1:{target.port}/", "-f", "json", "-o", str(report), "--flush-session",
               "--max-scan-time", "240", "-H", f"Cookie: {target.cookie}", "-v", "0"]  # fmt: skip
    subprocess.run(command, check=False, stdout=subprocess.DEVNULL, timeout=400)
    if not report.exists():
        yield "wapiti wrote no report"
        return
    for kind, found in json.loads(report.read_text())["vulnerabilities"].items():
        for one in found:
            if one["info"].startswith(_NOT_MISSED):
                continue
            yield f"{kind}: {one['method']} {one['path']}: {one['info'][:100]}"


def main() -> None:
    """Attack, and print a line for each kind of attack."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wapiti", action="store_true", help="also run the scanner wapiti")
    args = parser.parse_args()
    if args.wapiti and shutil.which("wapiti") is None:
        parser.error("wapiti is not installed: apt-get install wapiti")
    failed = False
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as target:
        target.log_in()
        for attack in (wapiti, *ATTACKS) if args.wapiti else ATTACKS:
            if target.ask("GET", f"{API}/cameras")[0] != 200:
                sys.exit("the session is gone before the attack")
            found = list(attack(target))
            failed = failed or bool(found)
            print(f"{attack.__name__:<20} {'refused' if not found else f'{len(found)} not refused'}", flush=True)
            for line in found[:10]:
                print(f"  {line}")
        log = target.log.read_text()
        alive = target.process.poll() is None
    if not alive or "Traceback" in log or " failed: " in log:
        failed = True
        print(f"the run has ended or failed:\n{log[-2000:]}")
    sys.exit(failed)


if __name__ == "__main__":
    main()
