"""A web server on loopback with cameras whose frames and answers a test sets."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
import time

import msgspec
import numpy as np
import pytest

pytest.importorskip("starlette", reason="needs the web extra")

from edgehar.frames import Frame, PixelFormat
from edgehar.health.monitor import Monitor
from edgehar.masks import View
from edgehar.model.manifest import Decision
from edgehar.records import Event, Prediction, Status, StreamState, TimingMs, Window, utc_now
from edgehar.web.board import Board
from edgehar.web.camera import WebCamera
from edgehar.web.live import BOUNDARY
from edgehar.web.options import WebOptions
from edgehar.web.passwords import hash_password
from edgehar.web.server import WebServer
from edgehar.web.services import Parts, Tools
from edgehar.web.site import Site
from support.samples import sample_manifest

PASSWORD = "correct horse"


class FakeCamera:
    """The parts of a stream that the pages use, set by the test."""

    def __init__(self, name="hall", *, labels=("fight", "calm"), view=None):
        self.name, self.view = name, view or View()
        self.manifest = msgspec.structs.replace(
            sample_manifest(), labels=list(labels), files={"head.tflite": "ab" * 32}
        )
        self.newest = None
        self.bundle_path = None
        self.state = StreamState.RUNNING
        self.rules = Decision(threshold=0.5, background=["calm"] if "calm" in labels else [])
        self.wanted_input = []

    def show(self, level=90, height=120, width=160, pixels=None):
        """A new frame, flat unless `pixels` are given."""
        data = np.full((height, width, 3), level, np.uint8) if pixels is None else pixels
        self.newest = Frame(data, PixelFormat.BGR24, 0.0, time.monotonic(), 0)

    def web(self):
        return WebCamera(
            name=self.name,
            key=self.name,
            read_manifest=lambda: self.manifest,
            bundle_path=lambda: self.bundle_path,
            read_view=lambda: self.view,
            frame=lambda: self.newest,
            take_input=self.wanted_input.append,
            state=lambda: self.state,
            status=self.status,
            rules=lambda: self.rules,
        )

    def status(self):
        return Status(time=utc_now(), source=self.name, state=self.state, frames=1, predictions=1, dropped=0, fps=25.0)


def prediction(source="hall", *, seq=0, **scores):
    scores = scores or {"fight": 0.9, "calm": 0.1}
    label = max(scores, key=scores.get)
    return Prediction(
        seq=seq, time=utc_now(), source=source, model="tiny", label=label, score=scores[label], scores=scores,
        window=Window(4, 0.0, 1.0), frame_age_ms=1.0, timing_ms=TimingMs(0.1, 0.1, 0.1), dropped=0, rate_ok=True,
    )  # fmt: skip


def event(phase="start", source="hall", label="fight", id="01a229b8-a5d9-7926-896a-0765da56e3be"):  # noqa: A002
    return Event(
        phase=phase, id=id, revision=int(phase == "end"), time=utc_now(), source=source, model="tiny", label=label,
        peak_score=0.9, start_s=0.0, end_s=1.0 if phase == "end" else None,
    )  # fmt: skip


def free_port():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


class Browser:
    """An HTTP client with a cookie, without a browser's good behavior."""

    def __init__(self, port, tls=None, timeout_s=20):
        self.port, self._tls, self._timeout_s = port, tls, timeout_s
        self.cookie, self.csrf = "", ""

    def connect(self):
        if self._tls is not None:
            return http.client.HTTPSConnection("localhost", self.port, timeout=self._timeout_s, context=self._tls)
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=self._timeout_s)

    def ask(self, method, path, body=None, **headers):
        """Status, headers and body of an answer. `body` is sent as JSON unless it is bytes."""
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.cookie:
            headers.setdefault("Cookie", self.cookie)
        if method not in ("GET", "HEAD"):
            headers.setdefault("X-CSRF-Token", self.csrf)
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            headers.setdefault("Content-Type", "application/json")
        with contextlib.closing(self.connect()) as connection:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()

    def get(self, path, **headers):
        status, _, body = self.ask("GET", path, **headers)
        return status, body

    def json(self, path):
        status, body = self.get(path)
        assert status == 200, body
        return json.loads(body)

    def log_in(self, password=PASSWORD):
        status, headers, body = self.ask("POST", "/api/v1/session", {"password": password})
        if status == 200:
            self.cookie = headers["Set-Cookie"].partition(";")[0]
            self.csrf = json.loads(body)["csrf"]
        return status


class LiveStream:
    """Reads the parts of a live stream."""

    def __init__(self, browser, path):
        self.connection = browser.connect()
        self.connection.request("GET", path)
        self.answer = self.connection.getresponse()
        assert self.answer.status == 200
        assert self.answer.headers["Content-Type"] == f"multipart/x-mixed-replace; boundary={BOUNDARY}"

    def part(self):
        line = b""
        while not line.startswith(b"Content-Type"):
            line = self.answer.readline()
            assert line, "the stream has ended"
        headers = {}
        while line.strip():
            name, _, value = line.decode().partition(":")
            headers[name] = value.strip()
            line = self.answer.readline()
        return headers, self.answer.read(int(headers["Content-Length"]))

    def until(self, kind, wanted=lambda body: True):
        while True:
            headers, body = self.part()
            if headers["X-Kind"] == kind and wanted(body):
                return body

    def close(self):
        self.connection.close()


@contextlib.contextmanager
def site(
    *cameras,
    tls=None,
    clock=time.monotonic,
    limits=None,
    folder=None,
    tools=None,
    reload=lambda: None,
    parts=(),
    **options,
):
    """Serve cameras (one called "hall" by default); gives a `Browser`, the board, and the cameras.

    `parts` are others of its `Parts`, by name.
    """
    cameras = cameras or (FakeCamera(),)
    port = free_port()
    settings = WebOptions(listen=f"127.0.0.1:{port}", **{"pictures_per_s": 10.0, **options})
    seen = [camera.web() for camera in cameras]
    board = Board(seen)
    served = Parts(
        cameras=seen,
        board=board,
        monitor=Monitor(),
        folder=folder,
        tools=tools or Tools(),
        reload=reload,
        **dict(parts),
    )
    pages = Site(settings, served, clock=clock)
    server = WebServer(pages, settings, limits)
    server.start()
    try:
        browser = Browser(port, tls)
        browser.csrf = browser.json("/api/v1/session")["csrf"] or ""
        browser.board, browser.cameras, browser.feed = board, cameras, pages.feed
        browser.stop = server.close
        yield browser
    finally:
        server.close()


_HASH = []


def password_hash():
    """The hash of `PASSWORD`, made once."""
    from edgehar.credentials import Secret

    if not _HASH:
        _HASH.append(hash_password(PASSWORD))
    return Secret(_HASH[0])


def trusting(certificates):
    """A TLS context that trusts the authority of the tests."""
    return ssl.create_default_context(cafile=certificates.authority)
