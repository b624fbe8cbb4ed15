"""The pages under Home Assistant's ingress: a proxy that logs visitors in and removes a path of its own."""

import contextlib
import http.client
import http.server
import threading

import pytest
from support.chromium import window
from support.web_site import FakeCamera, prediction, site
from support.web_visits import shown

PATH = "/api/hassio_ingress/a1b2c3"


class Ingress(http.server.BaseHTTPRequestHandler):
    """Passes requests on as the Supervisor does, and what it gets back as it comes."""

    protocol_version = "HTTP/1.0"
    port = 0

    def do_GET(self):
        assert self.path.startswith(f"{PATH}/")
        headers = {name: value for name, value in self.headers.items() if name.lower() != "connection"}
        headers |= {"X-Ingress-Path": PATH, "X-Forwarded-Proto": "http", "X-Remote-User-Name": "anna"}
        length = int(self.headers.get("Content-Length", 0))
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)) as inner:
            inner.request(self.command, self.path[len(PATH) :], self.rfile.read(length), headers)
            answer = inner.getresponse()
            self.send_response_only(answer.status)
            for name, value in answer.headers.items():
                if name.lower() not in ("connection", "transfer-encoding"):
                    self.send_header(name, value)
            self.end_headers()
            with contextlib.suppress(OSError):
                while part := answer.read1(65_536):
                    self.wfile.write(part)
                    self.wfile.flush()

    do_PUT = do_POST = do_DELETE = do_GET  # noqa: N815 - named by the library

    def log_message(self, *_):
        pass


@pytest.fixture
def through():
    """Serves a proxy in front of a port; gives its own port."""
    with contextlib.ExitStack() as stack:

        def start(port):
            handler = type("To", (Ingress,), {"port": port})
            server = stack.enter_context(http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler))
            server.daemon_threads, server.block_on_close = True, False
            stack.callback(server.shutdown)
            threading.Thread(target=server.serve_forever, args=[0.05], daemon=True).start()
            return server.server_port

        yield start


def test_a_visitor_of_home_assistant_needs_no_other_log_in(browser, through, tools, classroom):
    camera = FakeCamera("hall")
    parts = {"classroom": classroom}
    with site(camera, FakeCamera("yard"), trusted_proxy="127.0.0.1", tools=tools, parts=parts) as server:
        port = through(server.port)
        shown(camera)
        server.board.cameras["hall"].add(prediction())
        with window(browser, port) as visitor:
            page = visitor.open(f"{PATH[1:]}/")
            page.get_by_role("img", name="Live picture of hall").wait_for()
            page.get_by_role("link", name="Teach").click()
            page.get_by_text("3 moments wait").wait_for()
            page.keyboard.press("r")
            page.get_by_text("2 moments wait").wait_for()
            page.get_by_role("link", name="Settings").click()
            page.get_by_label("Find a setting").fill("hysteresis")
            page.get_by_label("hysteresis", exact=True).fill("0.2")
            page.get_by_label("hysteresis", exact=True).blur()
            page.get_by_role("button", name="Save").click()
            page.get_by_text("Saved and in force").wait_for()
            page.locator("#language").select_option("de")
            page.get_by_role("link", name="Einstellungen").wait_for()
            assert page.url.endswith(f"{PATH}/settings")
