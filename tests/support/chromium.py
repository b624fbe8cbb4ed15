"""A real Chromium for tests of pages, and axe-core, which finds what a screen reader cannot read."""

from __future__ import annotations

import contextlib
import shutil
import time
from pathlib import Path

import pytest

AXE = Path.home() / ".local/share/edgehar-tests/node_modules/axe-core/axe.min.js"
DESKTOP, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
# Against a hang: what a page shows within a second takes longer on a busy machine.
PATIENCE_S = 60


@contextlib.contextmanager
def chromium():
    """A browser; the test is skipped where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install playwright")
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    arguments = ["--no-sandbox", "--disable-dev-shm-usage", "--autoplay-policy=no-user-gesture-required"]
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=arguments)
        try:
            yield browser
        finally:
            browser.close()


class Window:
    """A page in a window of its own, which must not log an error."""

    def __init__(self, browser, port, **options):
        options = {"viewport": DESKTOP, "locale": "en-US", "timezone_id": "Europe/Berlin", **options}
        self._context = browser.new_context(**options)
        self._context.set_default_timeout(PATIENCE_S * 1000)
        self.page = self._context.new_page()
        self.url = f"http://127.0.0.1:{port}/"
        self.errors = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda line: self.errors.append(line.text) if line.type == "error" else None)

    def open(self, path=""):
        self.page.goto(self.url + path)
        return self.page

    def until(self, wanted):
        """Wait until a function, or an expression of JavaScript, is true."""
        # Playwright's own way evaluates text in the page, which its policy forbids.
        end_s = time.monotonic() + PATIENCE_S
        while not (wanted() if callable(wanted) else self.page.evaluate(wanted)):
            assert time.monotonic() < end_s, f"never became true: {wanted}"
            self.page.wait_for_timeout(20)

    def violations(self):
        """What axe-core finds, as (rule, element) pairs."""
        if not AXE.exists():
            pytest.skip(f"needs {AXE}: scripts/install_test_tools.sh")
        # The policy of the pages forbids this script, so it is evaluated as the debugger does.
        self.page.evaluate(AXE.read_text())
        found = self.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        return [(rule["id"], node["html"][:120]) for rule in found["violations"] for node in rule["nodes"]]

    def overflow(self):
        """Pixels that the page is wider than the window."""
        return self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")

    def close(self):
        self._context.close()


@contextlib.contextmanager
def window(browser, port, **options):
    opened = Window(browser, port, **options)
    try:
        yield opened
        assert opened.errors == []
    finally:
        opened.close()
