"""Take pictures of all pages on the built-in scenes, with Chromium. `--readme` writes the one that README shows.

python scripts/web_screenshots.py shots              # every page: two widths, light and dark
python scripts/web_screenshots.py --readme docs/_static/live.jpg
"""

from __future__ import annotations

import argparse
import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

SIZES = ((1280, 800), (390, 844))
# Until every camera has an event with a clip.
EVENTS, DEADLINE_S = 6, 180.0


def main() -> None:
    """Start the demo, wait for events, and take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, help="folder for the pictures of all pages")
    parser.add_argument("--language", default="en", help="of the pages: en, de, ru or kk (default: %(default)s)")
    parser.add_argument("--readme", type=Path, metavar="FILE", help="write the live page only, as JPEG")
    args = parser.parse_args()
    if (args.folder is None) == (args.readme is None):
        parser.error("give a folder, or --readme FILE")
    port = free_port()
    command = [str(Path(sys.executable).with_name("edgehar")), "demo", "--web", f"127.0.0.1:{port}"]
    demo = subprocess.Popen(command)
    try:
        base = f"http://127.0.0.1:{port}/"
        clips = wait_for_clips(f"{base}api/v1/events?limit=50", demo)
        if args.readme is not None:
            wait_for_sure_answers(base)
            shoot(base, [""], args.readme.parent, ((1280, 700),), ("light",), name=args.readme.name)
        else:
            args.folder.mkdir(parents=True, exist_ok=True)
            pages = ["", "events", f"events/{clips[0]}", "cameras/yard", "teach", "settings", "status"]
            shoot(base, pages, args.folder, SIZES, ("light", "dark"), language=args.language)
    finally:
        demo.terminate()
        demo.wait()


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def wait_for_clips(url: str, demo: subprocess.Popen[bytes]) -> list[str]:
    """Return the ids of events with a clip, once there are enough."""
    until_s = time.monotonic() + DEADLINE_S
    while time.monotonic() < until_s and demo.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - our own address
                events: list[dict[str, Any]] = json.load(answer)["events"]
        except OSError:
            events = []
        clips = [event["id"] for event in events if event["clip"]]
        if len(clips) >= EVENTS:
            return clips
        time.sleep(1)
    sys.exit("no events came; look at what the demo prints")


def wait_for_sure_answers(base: str) -> None:
    """Wait until every camera is sure of what it sees: right after a cut, windows hold two actions."""
    with urllib.request.urlopen(f"{base}api/v1/cameras", timeout=5) as answer:  # noqa: S310 - our own address
        names = [camera["camera"] for camera in json.load(answer)["cameras"]]
    sure = 0
    while sure < 2:
        scores = []
        for name in names:
            with urllib.request.urlopen(f"{base}api/v1/cameras/{name}", timeout=5) as answer:  # noqa: S310
                scores.append(json.load(answer)["score"])
        sure = sure + 1 if min(scores) > 0.9 else 0
        time.sleep(0.2)


def shoot(
    base: str,
    pages: list[str],
    folder: Path,
    sizes: Any,
    schemes: tuple[str, ...],
    *,
    name: str | None = None,
    language: str = "en",
) -> None:
    """Take a picture of each page in each size and scheme."""
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"])
        for width, height in sizes:
            for scheme in schemes:
                phone = width < 700
                context = browser.new_context(
                    viewport={"width": width, "height": height},
                    color_scheme=scheme,
                    locale=language,  # type: ignore[arg-type]
                    has_touch=phone,
                    is_mobile=phone,
                )
                window = context.new_page()
                for page in pages:
                    window.goto(base + page)
                    # Pictures and scores come after the page.
                    window.wait_for_timeout(600 if name else 2500)
                    label = page.partition("/")[0] + ("-one" if "/" in page else "") or "live"
                    file = folder / (name or f"{label}-{width}-{scheme}.png")
                    options: Any = {"type": "jpeg", "quality": 82} if file.suffix == ".jpg" else {"full_page": True}
                    window.screenshot(path=file, **options)
                    print(file)
                context.close()
        browser.close()


if __name__ == "__main__":
    main()
